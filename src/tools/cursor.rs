//! Cursor: where the next page of an answer begins.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Result};

/// The answer that a cursor belongs to.
pub(super) struct Pages {
    version: String,
    digest: String,
}

#[derive(Serialize, Deserialize)]
struct Cursor {
    /// Results before the page.
    offset: usize,
    version: String,
    digest: String,
}

impl Pages {
    /// The pages of the answer to `input`, without its cursor, on one version of the index.
    pub fn new(version: &str, input: &impl Serialize) -> Self {
        let input = serde_json::to_vec(input).expect("an input is plain data");
        let digest = blake3::hash(&input).to_hex()[..16].to_owned();
        Self { version: version.to_owned(), digest }
    }

    /// The number of results before the page of `cursor`; 0 without one.
    pub fn offset(&self, cursor: Option<&str>) -> Result<usize> {
        let Some(text) = cursor else { return Ok(0) };
        let refuse = |expected: &str| Error::Argument {
            name: "cursor",
            value: format!("{:?}", crate::base::text::prefix(text, 80)),
            expected: expected.to_owned(),
        };
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let cursor: Option<Cursor> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let cursor =
            cursor.ok_or_else(|| refuse("the next_cursor of the previous page, unchanged"))?;
        if cursor.digest != self.digest {
            return Err(refuse("the next_cursor of a call with the same other arguments"));
        }
        if cursor.version != self.version {
            let expected = "a cursor of this version of the index, which was updated since; call \
                            again without a cursor";
            return Err(refuse(expected));
        }
        Ok(cursor.offset)
    }

    /// The cursor of the page after `offset` results.
    pub fn next(&self, offset: usize) -> String {
        let (version, digest) = (self.version.clone(), self.digest.clone());
        let cursor = Cursor { offset, version, digest };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&cursor).expect("a cursor is plain data"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_the_same_input_on_the_same_version() {
        let pages = Pages::new("v1", &("query", 20));
        assert_eq!(pages.offset(None).unwrap(), 0);
        let cursor = pages.next(20);
        assert_eq!(pages.offset(Some(&cursor)).unwrap(), 20);
        let refused = |pages: &Pages, cursor: &str| {
            let message = pages.offset(Some(cursor)).unwrap_err().to_string();
            assert!(message.starts_with("cursor = ") && message.len() < 400, "{message}");
            message
        };
        assert!(refused(&Pages::new("v2", &("query", 20)), &cursor).contains("was updated"));
        assert!(refused(&Pages::new("v1", &("other", 20)), &cursor).contains("same other"));
        for bad in ["", "x", "AAAA", &"A".repeat(100_000)] {
            assert!(refused(&pages, bad).contains("next_cursor"));
        }
    }
}
