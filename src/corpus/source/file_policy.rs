//! FilePolicy: what goes into an index of each kind of file.
//!
//! | kind | what it is | indexed |
//! |---|---|---|
//! | code | a programming language | in every channel |
//! | document | prose and markup | in every channel |
//! | data | configuration and data | in every channel; by words only if it is large, a lock file, a table, a picture, a log or a list |
//! | generated | written by a program: by its name, its first comment, its lines or `linguist-generated` | by words only |
//! | vendored | code and documents of others: by its folder or `linguist-vendored` | in every channel |
//!
//! Source maps and encoded data are skipped. The first of these decides: `index.skip`,
//! `index.every_channel`, `index.words_only`, the attributes of git, this file.

use std::fmt;

use super::file_content::{is_encoded, looks_generated, looks_like_data};
use super::file_names::{Named, named};
use super::{Globs, Language, RepoPath, SkipReason};
use crate::base::config::IndexSettings;
use crate::base::error::{Error, Result};

/// Raised by every change of the rules, so that an index notices it.
const POLICY_VERSION: u32 = 1;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == word)
            }
        }
    };
}

words! {
    /// What a file is, as far as its place in an index depends on it.
    FileKind {
        Code = "code",
        Document = "document",
        /// Configuration, tables, lock files.
        Data = "data",
        /// Written by a program.
        Generated = "generated",
        /// Code or a document that somebody else wrote.
        Vendored = "vendored",
    }
}

words! {
    /// How the chunks of a file are found.
    Channels {
        Every = "every",
        /// By their words and names; they have no vector.
        Words = "words",
    }
}

/// What is indexed of a file, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub kind: FileKind,
    pub channels: Channels,
    /// A few words; empty if the kind says it all.
    pub why: &'static str,
}

impl Choice {
    /// What is indexed of a file of which nothing but its language is known.
    pub fn every_channel(language: Language) -> Self {
        Self { kind: kind_of(language), channels: Channels::Every, why: "" }
    }
}

/// The attributes that git has for a file; `None` if they are not specified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks {
    /// `linguist-generated`
    pub generated: Option<bool>,
    /// `linguist-vendored`
    pub vendored: Option<bool>,
}

impl fmt::Display for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (state, name) in [(self.generated, "generated "), (self.vendored, "vendored ")] {
            match state {
                None => {}
                Some(true) => f.write_str(name)?,
                Some(false) => write!(f, "-{name}")?,
            }
        }
        Ok(())
    }
}

/// The rules for kinds of files, with those of the settings.
#[derive(Debug, Clone)]
pub struct FilePolicy {
    skip: Globs,
    every_channel: Globs,
    words_only: Globs,
}

/// What decides the choices of a version, beside its files: the rules and the settings.
pub fn policy_fingerprint(settings: &IndexSettings) -> String {
    let IndexSettings { skip, every_channel, words_only, .. } = settings;
    let mut text = POLICY_VERSION.to_string();
    for (name, globs) in
        [("skip", skip), ("every_channel", every_channel), ("words_only", words_only)]
    {
        if !globs.is_empty() {
            text += &format!(" {name}={globs}");
        }
    }
    text
}

impl FilePolicy {
    pub fn new(settings: &IndexSettings) -> Result<Self> {
        let globs = |name, value: &str| {
            let globs = split(value);
            Globs::new(globs.iter().copied()).map_err(|error| Error::Argument {
                name,
                value: format!("{value:?}"),
                expected: format!("globs with commas between them ({error})"),
            })
        };
        Ok(Self {
            skip: globs("index.skip", &settings.skip)?,
            every_channel: globs("index.every_channel", &settings.every_channel)?,
            words_only: globs("index.words_only", &settings.words_only)?,
        })
    }

    /// Whether `index.skip` names the file.
    pub fn skips(&self, path: &RepoPath) -> bool {
        self.skip.is_match(path.as_str())
    }

    /// What is indexed of the file `path`, or why it is skipped. text: all of it.
    pub fn choose(
        &self,
        path: &RepoPath,
        language: Language,
        text: &str,
        marks: Marks,
    ) -> std::result::Result<Choice, SkipReason> {
        let chosen = rule(path, language, text, marks);
        let wanted = if self.every_channel.is_match(path.as_str()) {
            Some((Channels::Every, "index.every_channel"))
        } else if self.words_only.is_match(path.as_str()) {
            Some((Channels::Words, "index.words_only"))
        } else {
            None
        };
        match wanted {
            None => chosen,
            Some((channels, why)) => {
                let kind = chosen.map_or(FileKind::Data, |choice| choice.kind);
                Ok(Choice { kind, channels, why })
            }
        }
    }
}

/// The choice of the table at the top of this file.
fn rule(
    path: &RepoPath,
    language: Language,
    text: &str,
    marks: Marks,
) -> std::result::Result<Choice, SkipReason> {
    let names = named(path);
    let named = names.first().copied();
    if named == Some(Named::SourceMap) {
        return Err(SkipReason::SourceMap);
    }
    let words = |kind, why| Ok(Choice { kind, channels: Channels::Words, why });
    if marks.generated == Some(true) {
        return words(FileKind::Generated, "linguist-generated");
    }
    if let Some(Named::Data(why)) = named {
        return words(FileKind::Data, why);
    }
    if marks.generated.is_none() {
        let by_name = match named {
            Some(Named::Generated(why)) => Some(why),
            _ => None,
        };
        if let Some(why) = by_name.or_else(|| looks_generated(language, text)) {
            return words(FileKind::Generated, why);
        }
    }
    if language == Language::Text && is_encoded(text) {
        return Err(SkipReason::Encoded);
    }
    if let Some(why) = looks_like_data(language, text) {
        return words(FileKind::Data, why);
    }
    let kind = kind_of(language);
    let in_vendored_folder = names.contains(&Named::Vendored);
    let (is_vendored, why) = match marks.vendored {
        Some(is_vendored) => (is_vendored, "linguist-vendored"),
        None => (in_vendored_folder, "its folder is one of vendored files"),
    };
    if is_vendored && kind != FileKind::Data {
        return Ok(Choice { kind: FileKind::Vendored, channels: Channels::Every, why });
    }
    Ok(Choice { kind, channels: Channels::Every, why: "" })
}

/// The kind of a file of which nothing but its language is known.
pub(super) fn kind_of(language: Language) -> FileKind {
    use Language::*;
    match language {
        Json | Yaml | Toml | Xml | Ini | Csv | Diff => FileKind::Data,
        language if language.is_code() => FileKind::Code,
        _ => FileKind::Document,
    }
}

/// The globs of a list: commas between braces belong to a glob.
fn split(list: &str) -> Vec<&str> {
    let mut depth = 0usize;
    let globs = list.split(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    globs.map(str::trim).filter(|glob| !glob.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(change: impl FnOnce(&mut IndexSettings)) -> FilePolicy {
        let mut settings = IndexSettings::default();
        change(&mut settings);
        FilePolicy::new(&settings).unwrap()
    }

    fn choose(
        policy: &FilePolicy,
        path: &str,
        text: &str,
        marks: Marks,
    ) -> Result<Choice, SkipReason> {
        let path = RepoPath::new(path);
        let language = Language::detect(&path, text.lines().next().unwrap_or_default());
        policy.choose(&path, language, text, marks)
    }

    #[track_caller]
    fn check(path: &str, text: &str, kind: FileKind, channels: Channels) {
        let choice = choose(&policy(|_| {}), path, text, Marks::default()).unwrap();
        assert_eq!((choice.kind, choice.channels), (kind, channels), "{path}: {choice:?}");
    }

    #[test]
    fn names_decide_for_files_that_tools_write() {
        use Channels::*;
        for (path, kind, channels) in [
            ("src/lib.rs", FileKind::Code, Every),
            ("docs/a.md", FileKind::Document, Every),
            ("notes", FileKind::Document, Every),
            ("Cargo.toml", FileKind::Data, Every),
            ("Cargo.lock", FileKind::Data, Words),
            ("web/package-lock.json", FileKind::Data, Words),
            ("go.sum", FileKind::Data, Words),
            ("data/rows.csv", FileKind::Data, Words),
            ("logo.svg", FileKind::Data, Words),
            ("app.min.js", FileKind::Generated, Words),
            ("api/a.pb.go", FileKind::Generated, Words),
            ("vendor/x/a.go", FileKind::Vendored, Every),
            ("vendor/x/a.pb.go", FileKind::Generated, Words),
            ("node_modules/x/package.json", FileKind::Data, Every),
            ("src/vendor.rs", FileKind::Code, Every),
        ] {
            check(path, "x = 1\n", kind, channels);
        }
        let map = choose(&policy(|_| {}), "dist/app.js.map", "{}", Marks::default());
        assert_eq!(map, Err(SkipReason::SourceMap));
    }

    #[test]
    fn content_decides_where_names_do_not() {
        use Channels::*;
        let json = format!("[{}]\n", "\"word\", ".repeat(6000));
        check("tokenizer.json", &json, FileKind::Data, Words);
        check("small.json", "{\"a\": 1}\n", FileKind::Data, Every);
        check("schema.yaml", &"key: value of it\n".repeat(9000), FileKind::Data, Words);
        check("words.txt", &"alpha\nbeta\n".repeat(4000), FileKind::Data, Words);
        check("prose.txt", &"Some words of a sentence.\n".repeat(2000), FileKind::Document, Every);
        for head in [
            "// Code generated by protoc-gen-go. DO NOT EDIT.\n",
            "/* eslint-disable */\n/* This file was automatically generated. */\n",
            "/**\n * @generated\n */\n",
            "# Autogenerated by Thrift Compiler\n#\n# DO NOT EDIT UNLESS YOU ARE SURE\n",
        ] {
            check("a.go", &format!("{head}package a\n"), FileKind::Generated, Words);
        }
        let about = "//! Finds files that are generated, such as those of `protoc`.\nfn a() {}\n";
        check("a.rs", about, FileKind::Code, Every);
        check(
            "b.rs",
            "const HEAD: &str = \"Code generated by x. DO NOT EDIT.\";\n",
            FileKind::Code,
            Every,
        );
    }

    #[test]
    fn minified_scripts_are_told_from_scripts_with_a_long_line() {
        use Channels::*;
        let minified = "function a(b){return b.c(d=>e(d))};".repeat(200);
        check("a.js", &minified, FileKind::Generated, Words);
        check("b.js", &format!("/*! licence */\n{minified}\n"), FileKind::Generated, Words);
        let image = "iVBORw0KGgoAAAANSUhEUg".repeat(2000);
        let script =
            format!("const icon = \"data:{image}\";\nfunction draw() {{\n  return icon;\n}}\n");
        check("icon.js", &script, FileKind::Code, Every);
        check("icon.py", &script, FileKind::Code, Every);
    }

    #[test]
    fn encoded_data_is_skipped() {
        let line = "iVBORw0KGgoAAAANSUhEUg+/".repeat(3) + "\n";
        let text = format!("-----BEGIN X-----\n{}", line.repeat(40));
        let found = choose(&policy(|_| {}), "key.pem", &text, Marks::default());
        assert_eq!(found, Err(SkipReason::Encoded));
    }

    #[test]
    fn attributes_come_before_the_rules_and_settings_before_attributes() {
        let rules = policy(|_| {});
        let marks = |generated, vendored| Marks { generated, vendored };
        let of = |policy: &FilePolicy, path: &str, marks| {
            let choice = choose(policy, path, "x\n", marks).unwrap();
            (choice.kind, choice.channels)
        };
        use Channels::*;
        assert_eq!(of(&rules, "a.rs", marks(Some(true), None)), (FileKind::Generated, Words));
        assert_eq!(of(&rules, "a.pb.go", marks(Some(false), None)), (FileKind::Code, Every));
        assert_eq!(of(&rules, "a.rs", marks(None, Some(true))), (FileKind::Vendored, Every));
        assert_eq!(of(&rules, "vendor/a.rs", marks(None, Some(false))), (FileKind::Code, Every));
        let settings = policy(|settings| {
            settings.every_channel = "*.{lock,csv}, api".to_owned();
            settings.words_only = "docs/**,*.csv".to_owned();
            settings.skip = "testdata".to_owned();
        });
        assert_eq!(of(&settings, "Cargo.lock", Marks::default()), (FileKind::Data, Every));
        assert_eq!(of(&settings, "a.csv", Marks::default()), (FileKind::Data, Every));
        assert_eq!(
            of(&settings, "api/a.rs", marks(Some(true), None)),
            (FileKind::Generated, Every)
        );
        assert_eq!(of(&settings, "docs/a.md", Marks::default()), (FileKind::Document, Words));
        assert!(settings.skips(&RepoPath::new("x/testdata/a.rs")));
    }

    #[test]
    fn globs_of_a_setting_that_are_no_globs_are_named() {
        let settings = IndexSettings { words_only: "a, [b".to_owned(), ..IndexSettings::default() };
        let message = FilePolicy::new(&settings).unwrap_err().to_string();
        assert!(message.contains("index.words_only") && message.contains("[b"), "{message}");
    }
}
