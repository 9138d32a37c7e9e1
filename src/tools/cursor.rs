//! Cursor: where the next page of an answer begins.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
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
        Self { version: version.to_owned(), digest: digest(input) }
    }

    /// The number of results before the page of `cursor`; 0 without one.
    pub fn offset(&self, cursor: Option<&str>) -> Result<usize> {
        let Some(text) = cursor else { return Ok(0) };
        let cursor: Cursor = decode(text)?;
        check_digest(text, &cursor.digest, &self.digest)?;
        if cursor.version != self.version {
            let expected = "a cursor of this version of the index, which was updated since; call \
                            again without a cursor";
            return Err(refused(text, expected));
        }
        Ok(cursor.offset)
    }

    /// The cursor of the page after `offset` results.
    pub fn next(&self, offset: usize) -> String {
        let (version, digest) = (self.version.clone(), self.digest.clone());
        encode(&Cursor { offset, version, digest })
    }
}

/// The answer that a cursor belongs to, if the cursor names the last result before its page. It stays
/// valid when the index is updated.
pub(super) struct Places {
    digest: String,
}

#[derive(Serialize, Deserialize)]
struct PlaceCursor<P> {
    after: P,
    digest: String,
}

impl Places {
    /// The pages of the answer to `input`, without its cursor.
    pub fn new(input: &impl Serialize) -> Self {
        Self { digest: digest(input) }
    }

    /// The place after which the page of `cursor` begins.
    pub fn parse<P: DeserializeOwned>(&self, cursor: Option<&str>) -> Result<Option<P>> {
        let Some(text) = cursor else { return Ok(None) };
        let cursor: PlaceCursor<P> = decode(text)?;
        check_digest(text, &cursor.digest, &self.digest)?;
        Ok(Some(cursor.after))
    }

    /// The cursor of the page after the place `after`.
    pub fn cursor(&self, after: &impl Serialize) -> String {
        encode(&PlaceCursor { after, digest: self.digest.clone() })
    }
}

fn digest(input: &impl Serialize) -> String {
    let input = serde_json::to_vec(input).expect("an input is plain data");
    blake3::hash(&input).to_hex()[..16].to_owned()
}

fn encode(cursor: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(cursor).expect("a cursor is plain data"))
}

fn decode<C: DeserializeOwned>(text: &str) -> Result<C> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let cursor = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    cursor.ok_or_else(|| refused(text, "the next_cursor of the previous page, unchanged"))
}

fn check_digest(text: &str, digest: &str, expected: &str) -> Result<()> {
    if digest == expected {
        return Ok(());
    }
    Err(refused(text, "the next_cursor of a call with the same other arguments"))
}

fn refused(cursor: &str, expected: &str) -> Error {
    let value = format!("{:?}", crate::base::text::prefix(cursor, 80));
    Error::Argument { name: "cursor", value, expected: expected.to_owned() }
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
    #[test]
    fn a_cursor_of_a_place_is_good_for_the_same_input_on_any_version() {
        let places = Places::new(&"query");
        assert_eq!(places.parse::<u32>(None).unwrap(), None);
        let cursor = places.cursor(&7);
        assert_eq!(places.parse(Some(&cursor)).unwrap(), Some(7));
        let error = Places::new(&"other").parse::<u32>(Some(&cursor)).unwrap_err().to_string();
        assert!(error.contains("same other"), "{error}");
        let error = places.parse::<u32>(Some("x")).unwrap_err().to_string();
        assert!(error.starts_with("cursor = ") && error.contains("next_cursor"), "{error}");
    }
}
