//! A line of JSON as a row: its fields as they were written, and what is wrong with it.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::lines::Defect;
use crate::base::text::{half_surrogate_pair, prefix};

/// Characters of a value that a message quotes.
const SHOWN_MAX: usize = 40;

/// The fields that a row may have. Others are ignored.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default, deserialize_with = "as_written")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_written")]
    text: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_written")]
    query: Option<&'a RawValue>,
}

/// A null is a value too, for an `id`.
fn as_written<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(value).map(Some)
}

/// A row of JSON.
pub struct JsonRow<'a> {
    line: &'a str,
    fields: Fields<'a>,
}

impl<'a> JsonRow<'a> {
    /// shape: an object such as is expected, for the message.
    pub fn parse(line: &'a str, shape: &str) -> Result<Self, Defect> {
        // Files with a byte order mark each may have been put together.
        let line = line.strip_prefix('\u{feff}').unwrap_or(line);
        // An array would be read as the fields in their order.
        if !line.trim_start().starts_with('{') {
            serde_json::from_str::<IgnoredAny>(line).map_err(|error| syntax(line, 0, &error))?;
            let detail = format!("expected an object {shape}, found {}", shown(line.trim()));
            return Err(Defect::new(detail));
        }
        let fields = serde_json::from_str(line).map_err(|error| syntax(line, 0, &error))?;
        Ok(Self { line, fields })
    }

    /// The id, byte for byte.
    pub fn id(&self) -> Option<Box<RawValue>> {
        self.fields.id.map(ToOwned::to_owned)
    }

    pub fn text(&self) -> Result<String, Defect> {
        self.string("text", self.fields.text)
    }

    pub fn query(&self) -> Result<String, Defect> {
        self.string("query", self.fields.query)
    }

    fn string(&self, name: &str, value: Option<&RawValue>) -> Result<String, Defect> {
        let Some(value) = value.map(RawValue::get) else {
            return Err(Defect::new(format!("the object has no field {name:?}")));
        };
        let at = value.as_ptr() as usize - self.line.as_ptr() as usize;
        if !value.starts_with('"') {
            let detail = format!("{name:?} is {}; expected a string", shown(value));
            return Err(Defect::at(self.line, at, detail));
        }
        if let Some((half, escape)) = half_surrogate_pair(value) {
            let detail = format!(
                "{escape} in {name:?} is half of a surrogate pair, which is not a character; \
                 remove it, or write its other half beside it"
            );
            return Err(Defect::at(self.line, at + half, detail));
        }
        serde_json::from_str(value).map_err(|error| syntax(self.line, at, &error))
    }
}

/// An error of the parser, which began at byte `from` of `line`.
fn syntax(line: &str, from: usize, error: &serde_json::Error) -> Defect {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let cause = text.strip_suffix(&position).unwrap_or(&text);
    let at = from + error.column().saturating_sub(1);
    Defect::at(line, at, format!("not valid JSON: {cause} in {}", shown(line)))
}

/// The beginning of a value, for a message.
fn shown(value: &str) -> &str {
    let end = value.char_indices().nth(SHOWN_MAX).map_or(value.len(), |(at, _)| at);
    prefix(value, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: &str = r#"{"text": "..."}"#;

    fn text(line: &str) -> Result<String, Defect> {
        JsonRow::parse(line, SHAPE)?.text()
    }

    #[test]
    fn an_id_is_what_was_typed() {
        for id in [
            "18446744073709551616",
            "18446744073709551617",
            "-0",
            "1.0",
            "1e3",
            "0.1000000000000000055511151231257827",
            r#""a\u0041\/\ud83d""#,
            r#"{"b": [1,  2.50],"a":null}"#,
            "null",
            "true",
        ] {
            let line = format!(r#"{{"text": "a", "id":  {id} }}"#);
            let row = JsonRow::parse(&line, SHAPE).unwrap();
            assert_eq!(row.id().unwrap().get(), id);
            assert_eq!(serde_json::to_string(&row.id()).unwrap(), id);
        }
        assert!(JsonRow::parse(r#"{"text": "a"}"#, SHAPE).unwrap().id().is_none());
    }

    #[test]
    fn a_defect_says_the_cause_and_the_column() {
        for (line, column, cause) in [
            (r#"{"text": "é\ud83d"}"#, Some(12), r"\ud83d in "),
            (r#"{"text": "\ude00"}"#, Some(11), "half of a surrogate pair"),
            (r#"{"text": "a",}"#, Some(14), "trailing comma"),
            (r#"{"text": NaN}"#, Some(10), "expected value"),
            (r#"{"text": 7}"#, Some(10), "\"text\" is 7; expected a string"),
            (r#"{"text": null}"#, Some(10), "\"text\" is null"),
            (r#"{"text": "a", "text": "b"}"#, Some(20), "duplicate field `text`"),
            (r#"{"text": "a\x"}"#, Some(13), "invalid escape"),
            (r#"{"text": "a" "id": 1}"#, Some(14), "expected `,` or `}`"),
            (r#"{"text": "a""#, Some(12), "EOF while parsing an object"),
            (r#"{"txt": "a"}"#, None, "no field \"text\""),
            (r#"["a", "b"]"#, None, "expected an object {\"text\": \"...\"}, found [\"a\", \"b\"]"),
            ("not json", Some(2), "not valid JSON: expected ident in not json"),
            ("{\"text\": \"a\u{0}\"}", Some(11), "control character"),
        ] {
            let defect = text(line).unwrap_err();
            assert!(defect.detail.contains(cause), "{line}: {defect:?}");
            assert_eq!(defect.column, column, "{line}: {defect:?}");
        }
        assert_eq!(text(r#"{"text": "\ud83d\ude00 \u0000"}"#).unwrap(), "😀 \0");
        let deep =
            format!(r#"{{"text": "a", "x": {}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(text(&deep).unwrap(), "a");
    }
}
