//! SkipReason: why a file is not indexed, and how many files were skipped for each reason.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $words:literal),+ $(,)?) => {
        /// Why a file that was found is not indexed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum SkipReason { $($(#[$doc])* $variant),+ }

        impl SkipReason {
            /// Every reason, in the order of [`Skipped`].
            pub const ALL: &[SkipReason] = &[$(Self::$variant),+];

            /// The words after a count: `3 binary`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $words),+ }
            }
        }
    };
}

reasons! {
    /// Excluded by `.gitignore`, `.git/info/exclude` or the global excludes file.
    GitIgnored = "excluded by .gitignore rules",
    /// Excluded by `.codeintelignore`.
    CodeintelIgnored = "excluded by .codeintelignore",
    /// The name of the file, or of a folder above it, starts with a dot.
    Hidden = "hidden",
    /// Neither text nor in an encoding that is recognised.
    Binary = "binary",
    /// More bytes than `source.file_bytes_max`.
    TooLarge = "too large",
    /// The name of the file, or of a folder above it.
    NotUtf8 = "with names that are not UTF-8",
    /// A file or a folder.
    Unreadable = "unreadable",
    /// `index.skip` names it.
    Setting = "excluded by index.skip",
    /// The map from generated code to its source.
    SourceMap = "source maps",
    /// Text that is mostly base64 or hexadecimal digits.
    Encoded = "encoded data",
    /// The folder of a git repository without a work tree.
    GitData = "git repositories without a work tree",
    /// Without a line; it is in the index, and has nothing to find.
    Empty = "empty",
    /// Never followed: a link may loop, or lead out of its root.
    Symlink = "symbolic links",
    /// A socket, a pipe or a device.
    NotRegular = "not regular files",
    /// With lines, or as a whole, longer than a regular expression is searched in.
    LongLines = "with lines too long for the expression",
    /// Modified during every attempt to read it.
    ChangedWhileRead = "changed while read",
    /// Listed, but gone when it was read.
    Vanished = "vanished",
}

/// How many files were skipped, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped {
    counts: [usize; SkipReason::ALL.len()],
}

impl Skipped {
    pub fn add(&mut self, reason: SkipReason) {
        self.add_many(reason, 1);
    }

    pub fn add_many(&mut self, reason: SkipReason, files: usize) {
        self.counts[reason as usize] += files;
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
    }

    pub fn get(&self, reason: SkipReason) -> usize {
        self.counts[reason as usize]
    }

    pub fn total(&self) -> usize {
        self.counts.iter().sum()
    }

    /// The reasons that apply to at least one file.
    pub fn iter(&self) -> impl Iterator<Item = (SkipReason, usize)> + '_ {
        SkipReason::ALL.iter().map(|&reason| (reason, self.get(reason))).filter(|(_, n)| *n > 0)
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.total() == 0 {
            return f.write_str("none");
        }
        for (i, (reason, count)) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{count} {}", reason.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_shown_by_reason() {
        let mut skipped = Skipped::default();
        assert_eq!(skipped.to_string(), "none");
        skipped.add_many(SkipReason::Binary, 2);
        let mut more = Skipped::default();
        more.add(SkipReason::TooLarge);
        more.add(SkipReason::Binary);
        skipped.merge(&more);
        assert_eq!(skipped.to_string(), "3 binary, 1 too large");
        assert_eq!(skipped.total(), 4);
    }
}
