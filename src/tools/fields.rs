//! Fields: the fields of a JSON object that a client sent, read one by one.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::tool::JsonObject;
use crate::base::error::{Error, Result};
use crate::base::text::{half_surrogate_pair, without_byte_order_mark};

/// Characters of a wrong value that an error shows.
const SHOWN_MAX: usize = 80;

/// The fields of an object that were not read yet. A field that is null counts as absent, because
/// many clients write an option that is not set as null.
pub struct Fields(JsonObject);

/// An input that is read from the fields of an object.
pub trait FromFields: Sized {
    fn from_fields(fields: Fields) -> Result<Self>;
}

impl FromFields for JsonObject {
    fn from_fields(fields: Fields) -> Result<Self> {
        Ok(fields.0)
    }
}

impl Fields {
    /// Parses the body of a request.
    ///
    /// json: `[len]`.
    pub fn parse(json: &[u8]) -> Result<Self> {
        let wrong =
            |value: String, expected: String| Error::Argument { name: "body", value, expected };
        let encoding = |detail| {
            wrong("text in another encoding".to_owned(), format!("JSON in UTF-8 ({detail})"))
        };
        let json = without_byte_order_mark(json).map_err(encoding)?;
        let json = std::str::from_utf8(json).map_err(|error| encoding(error.to_string()))?;
        match serde_json::from_str(json) {
            Ok(Value::Object(fields)) => {
                Ok(Self(fields.into_iter().filter(|(_, value)| !value.is_null()).collect()))
            }
            Ok(other) => Err(wrong(shown(&other), "a JSON object".to_owned())),
            Err(error) => {
                let cause = match half_surrogate_pair(json) {
                    Some((at, escape)) => {
                        let at = at + 1;
                        format!("{escape} at byte {at} is half of a surrogate pair, no character")
                    }
                    None => error.to_string(),
                };
                let head: String = json.chars().take(SHOWN_MAX).collect();
                Err(wrong(format!("{head:?}"), format!("a JSON object ({cause})")))
            }
        }
    }

    /// Takes a field of any type.
    pub fn value(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    pub fn text(&mut self, name: &'static str) -> Result<Option<String>> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(refused(name, &other, "a string")),
        }
    }

    /// A whole number that is not negative.
    pub fn count(&mut self, name: &'static str) -> Result<Option<usize>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        // Some languages have only floating-point numbers.
        let whole = |number: &f64| number.fract() == 0.0 && (0.0..9e15).contains(number);
        let count = match value.as_u64() {
            Some(count) => usize::try_from(count).ok(),
            None => value.as_f64().filter(whole).map(|number| number as usize),
        };
        count.map(Some).ok_or_else(|| refused(name, &value, "a whole number"))
    }

    pub fn flag(&mut self, name: &'static str) -> Result<Option<bool>> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(refused(name, &other, "true or false")),
        }
    }

    /// An object with the fields of `T`.
    pub fn object<T: DeserializeOwned>(&mut self, name: &'static str) -> Result<Option<T>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let read = T::deserialize(&value);
        read.map(Some).map_err(|error| refused(name, &value, &format!("an object ({error})")))
    }

    /// A list of strings, or a single one.
    pub fn texts(&mut self, name: &'static str) -> Result<Option<Vec<String>>> {
        const EXPECTED: &str = "a string or a list of strings";
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(vec![text])),
            Some(Value::Array(values)) => {
                let text = |(i, value)| match value {
                    Value::String(text) => Ok(text),
                    other => {
                        let value = format!("{} at position {i}", shown(&other));
                        Err(Error::Argument { name, value, expected: EXPECTED.to_owned() })
                    }
                };
                values.into_iter().enumerate().map(text).collect::<Result<_>>().map(Some)
            }
            Some(other) => Err(refused(name, &other, EXPECTED)),
        }
    }

    /// One of the words of `choices`.
    pub fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let found = choices.iter().find(|(word, _)| value == *word);
        let words = || choices.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>();
        match found {
            Some((_, choice)) => Ok(Some(*choice)),
            None => Err(refused(name, &value, &words().join(" or "))),
        }
    }

    /// Refuses fields that nothing read. known: the names of those that there are.
    pub fn refuse_others(self, known: &str) -> Result<()> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(other) => Err(Error::Argument {
                name: "body",
                value: format!("the field {other:?}"),
                expected: format!("only {known}"),
            }),
        }
    }
}

fn refused(name: &'static str, value: &Value, expected: &str) -> Error {
    Error::Argument { name, value: shown(value), expected: expected.to_owned() }
}

/// The beginning of a value, for a message.
fn shown(value: &Value) -> String {
    value.to_string().chars().take(SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields {
        Fields::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn null_is_absent_and_a_wrong_value_is_named_with_what_is_allowed() {
        let all =
            r#"{"a": null, "n": 3.0, "t": "x", "l": ["x", "y"], "w": "one", "f": true, "z": 1}"#;
        let mut all = fields(&format!("\u{feff}{all}"));
        assert_eq!(all.text("a").unwrap(), None);
        assert_eq!(all.count("n").unwrap(), Some(3));
        assert_eq!(all.text("t").unwrap().as_deref(), Some("x"));
        assert_eq!(all.texts("l").unwrap().unwrap(), ["x", "y"]);
        assert_eq!(all.choice("w", &[("one", 1), ("two", 2)]).unwrap(), Some(1));
        assert_eq!(all.flag("f").unwrap(), Some(true));
        let message = all.refuse_others("a and n").unwrap_err().to_string();
        assert_eq!(message, "body = the field \"z\" is not valid: expected only a and n");

        let wrong =
            r#"{"n": "3", "m": -1, "k": 1.5, "t": ["x"], "l": ["x", 2], "w": "three", "f": 1}"#;
        let mut wrong = fields(wrong);
        let choices = [("one", 1), ("two", 2)];
        for (error, message) in [
            (wrong.count("n").unwrap_err(), "n = \"3\" is not valid: expected a whole number"),
            (wrong.count("m").unwrap_err(), "m = -1 is not valid: expected a whole number"),
            (wrong.count("k").unwrap_err(), "k = 1.5 is not valid: expected a whole number"),
            (wrong.text("t").unwrap_err(), "t = [\"x\"] is not valid: expected a string"),
            (
                wrong.texts("l").unwrap_err(),
                "l = 2 at position 1 is not valid: expected a string or",
            ),
            (wrong.flag("f").unwrap_err(), "f = 1 is not valid: expected true or false"),
            (
                wrong.choice("w", &choices).unwrap_err(),
                "w = \"three\" is not valid: expected \"one\" or \"two\"",
            ),
        ] {
            assert!(error.to_string().starts_with(message), "{error}");
        }
    }

    #[test]
    fn a_body_that_is_no_object_says_why() {
        let deep = "[".repeat(1000);
        for (body, part) in [
            (&b"input=x"[..], "line 1 column 1"),
            (b"", "EOF"),
            (b"[1]", "body = [1] is not valid: expected a JSON object"),
            (b"\xFF\xFE{\0", "UTF-16 (little-endian); convert it to UTF-8"),
            (b"{\"a\": \"\xff\"}", "index 7"),
            (br#"{"a": "\ud83d"}"#, r"\ud83d at byte 8 is half of a surrogate pair"),
            (br#"{"a": 1,}"#, "trailing comma at line 1 column 9"),
            (br#"{"a": NaN}"#, "expected value at line 1 column 7"),
            (deep.as_bytes(), "recursion limit exceeded"),
        ] {
            let message = Fields::parse(body).err().unwrap().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
