//! The JSON of an OpenAI-compatible endpoint: requests and responses for embeddings.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::json;

use crate::base::vector::Matrix;

/// The body of a request for the vectors of `texts`, preferably as base64.
pub fn request(model: &str, texts: &[String]) -> String {
    json!({ "model": model, "input": texts, "encoding_format": "base64" }).to_string()
}

/// The response of an endpoint.
#[derive(Debug)]
pub struct Answer {
    /// `[n, d]`, in the order of the texts.
    pub vectors: Matrix,
    /// Tokens of all texts, if the endpoint reports them.
    pub tokens: Option<usize>,
}

impl Answer {
    /// Concatenates two responses whose vectors have the same length.
    pub(super) fn followed_by(mut self, other: Self) -> Self {
        other.vectors.rows().for_each(|row| self.vectors.push_row(row));
        self.tokens = self.tokens.zip(other.tokens).map(|(a, b)| a + b);
        self
    }
}

#[derive(Deserialize)]
struct List {
    data: Vec<Item>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Item {
    /// The position of the text; some endpoints leave it out.
    index: Option<usize>,
    embedding: Values,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<usize>,
}

/// One vector: floats, or base64 of little-endian f32.
struct Values(Vec<f32>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValuesVisitor).map(Values)
    }
}

struct ValuesVisitor;

impl<'de> Visitor<'de> for ValuesVisitor {
    type Value = Vec<f32>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("floats, or base64 of them")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<f32>, E> {
        let bytes = STANDARD.decode(text).map_err(E::custom)?;
        let (words, []) = bytes.as_chunks::<4>() else {
            return Err(E::custom(format!("{} bytes are not whole floats", bytes.len())));
        };
        Ok(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<f32>, A::Error> {
        let mut values = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(1 << 16));
        // Most endpoints write null for a number that is not finite.
        while let Some(value) = seq.next_element::<Option<f32>>()? {
            values.push(value.unwrap_or(f32::NAN));
        }
        if values.is_empty() {
            Err(A::Error::custom("a vector without values"))
        } else {
            Ok(values)
        }
    }
}

/// Why a response is of no use.
#[derive(Debug, PartialEq)]
pub enum Defect {
    /// A phrase that describes what is wrong with it.
    Malformed(String),
    /// The vector of this text holds a number that is not finite.
    NotFinite { text: usize },
}

/// Parses the response to `n` texts, in any order. d: values of a vector, if known.
pub fn answer(body: &[u8], n: usize, d: Option<usize>) -> Result<Answer, Defect> {
    let answer = parse(body, n, d).map_err(Defect::Malformed)?;
    let is_finite = |text: &usize| answer.vectors.row(*text).iter().all(|v| v.is_finite());
    match (0..n).find(|text| !is_finite(text)) {
        Some(text) => Err(Defect::NotFinite { text }),
        None => Ok(answer),
    }
}

fn parse(body: &[u8], n: usize, d: Option<usize>) -> Result<Answer, String> {
    let list = serde_json::from_slice(body).or_else(|error| {
        // Python writes NaN and Infinity, which are no JSON.
        without_python_numbers(body)
            .and_then(|body| serde_json::from_slice(&body).ok())
            .ok_or_else(|| format!("no embeddings: {error}"))
    });
    let list: List = list?;
    if list.data.len() != n {
        return Err(format!("{} vectors for {n} texts", list.data.len()));
    }
    let mut rows: Vec<Option<Vec<f32>>> = vec![None; n];
    for (i, item) in list.data.into_iter().enumerate() {
        let at = item.index.unwrap_or(i);
        match rows.get_mut(at) {
            Some(row @ None) => *row = Some(item.embedding.0),
            Some(Some(_)) => return Err(format!("two vectors for text {at}")),
            None => return Err(format!("a vector for text {at} of {n}")),
        }
    }
    let rows: Vec<Vec<f32>> = rows.into_iter().flatten().collect();
    let d = d.or_else(|| rows.first().map(Vec::len)).filter(|d| *d > 0).ok_or("no values")?;
    if let Some(row) = rows.iter().find(|row| row.len() != d) {
        return Err(format!("vectors of {} values, expected {d}", row.len()));
    }
    let mut vectors = Matrix::with_capacity(n, d);
    rows.iter().for_each(|row| vectors.push_row(row));
    Ok(Answer { vectors, tokens: list.usage.and_then(|usage| usage.prompt_tokens) })
}

/// `body` with null for each NaN and Infinity outside of strings; `None` if there is none.
fn without_python_numbers(body: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut rest) = (Vec::with_capacity(body.len()), body);
    let (mut in_string, mut is_changed) = (false, false);
    while let [first, tail @ ..] = rest {
        let number = ["NaN", "Infinity", "-Infinity"]
            .iter()
            .find(|number| !in_string && rest.starts_with(number.as_bytes()));
        if let Some(number) = number {
            out.extend_from_slice(b"null");
            rest = &rest[number.len()..];
            is_changed = true;
            continue;
        }
        out.push(*first);
        rest = tail;
        match first {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                out.extend(rest.first());
                rest = rest.get(1..).unwrap_or_default();
            }
            _ => {}
        }
    }
    is_changed.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base64(values: &[f32]) -> String {
        STANDARD.encode(values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())
    }

    fn read(body: serde_json::Value, n: usize, d: Option<usize>) -> Result<Answer, Defect> {
        answer(body.to_string().as_bytes(), n, d)
    }

    #[test]
    fn floats_and_base64_are_read_and_put_in_the_order_of_the_texts() {
        let body = json!({
            "data": [
                { "index": 1, "embedding": base64(&[1.5, -2.0]) },
                { "index": 0, "embedding": [0.25, 3] },
            ],
            "usage": { "prompt_tokens": 7, "total_tokens": 7 },
        });
        let answer = read(body, 2, None).unwrap();
        assert_eq!(answer.vectors.as_slice(), [0.25, 3.0, 1.5, -2.0]);
        assert_eq!(answer.tokens, Some(7));
        let bare = read(json!({ "data": [{ "embedding": [1.0] }] }), 1, Some(1)).unwrap();
        assert_eq!((bare.vectors.as_slice(), bare.tokens), (&[1.0][..], None));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_a_sentence() {
        let one = |embedding: serde_json::Value| json!({ "data": [{ "embedding": embedding }] });
        let two = |a: usize, b: usize| json!({ "data": [{ "index": a, "embedding": [1] }, { "index": b, "embedding": [1] }] });
        for (body, n, d, part) in [
            (json!("hello"), 1, None, "no embeddings"),
            (json!({ "data": [] }), 1, None, "0 vectors for 1"),
            (one(json!([])), 1, None, "without values"),
            (one(json!("")), 1, None, "no values"),
            (one(json!("AAAA")), 1, None, "3 bytes"),
            (one(json!("no base64!")), 1, None, "no embeddings"),
            (one(json!([1, 2, 3])), 1, Some(4), "3 values, expected 4"),
            (two(0, 0), 2, None, "two vectors for text 0"),
            (two(0, 2), 2, None, "text 2 of 2"),
        ] {
            let Defect::Malformed(message) = read(body, n, d).unwrap_err() else {
                panic!("{part}");
            };
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_vector_that_is_not_finite_is_found_in_any_spelling() {
        let not_finite = base64(&[1.0, f32::NAN]);
        for bad in
            [r"[1, null]", "[1, NaN]", "[-Infinity, 1]", "[1e39, 1]", &format!("{not_finite:?}")]
        {
            let body = format!(
                r#"{{"data": [{{"index": 1, "embedding": {bad}}}, {{"index": 0, "embedding": [1, 2]}}],
                "model": "a \" NaN"}}"#
            );
            let found = answer(body.as_bytes(), 2, Some(2)).unwrap_err();
            assert_eq!(found, Defect::NotFinite { text: 1 }, "{bad}");
        }
    }
}
