//! ObjectId: the lines of a file as an id, `src/main.rs#L10-L20`.

use std::fmt;
use std::str::FromStr;

use crate::base::error::Error;

/// Lines of a file. As text it stays readable and valid when a new version is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ObjectId {
    pub path: String,
    /// From 1.
    pub start_line: u32,
    /// Inclusive.
    pub end_line: u32,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#L{}-L{}", self.path, self.start_line, self.end_line)
    }
}

impl FromStr for ObjectId {
    type Err = Error;

    fn from_str(id: &str) -> Result<Self, Error> {
        let parsed = id.rsplit_once("#L").and_then(|(path, lines)| {
            let (start, end) = lines.split_once("-L")?;
            let (start_line, end_line) = (start.parse().ok()?, end.parse().ok()?);
            let is_range = 1 <= start_line && start_line <= end_line && !path.is_empty();
            is_range.then(|| Self { path: path.to_owned(), start_line, end_line })
        });
        parsed.ok_or_else(|| Error::Argument {
            name: "ids",
            value: format!("{:?}", crate::base::text::prefix(id, 200)),
            expected: "ids that search returned, such as src/main.rs#L10-L20".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text_and_others_are_refused() {
        for path in ["src/a.rs", "a#L1-L2", "é b/#.md"] {
            let id = ObjectId { path: path.to_owned(), start_line: 3, end_line: 9 };
            assert_eq!(id.to_string().parse::<ObjectId>().unwrap(), id);
        }
        for text in ["", "a", "a#L1", "a#L2-L1", "a#L0-L1", "#L1-L2", "a#L1-L99999999999"] {
            assert!(text.parse::<ObjectId>().is_err(), "{text}");
        }
    }
}
