//! The vocabulary of a static model: that of its teacher, without tokens that stand for nothing.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::Value;

use crate::base::error::{Error, Result};
use crate::base::text::without_byte_order_mark;
use crate::embedding::token::Tokenizer;

/// The tokens of a static model.
pub struct Vocabulary {
    /// The teacher's id of each token: `[n]`, ascending.
    pub ids: Vec<u32>,
    /// `tokenizer.json`, in which token `i` has the id `i`.
    pub tokenizer: Value,
}

impl Vocabulary {
    /// That of `tokenizer.json` in `folder`, which `tokenizer` was read from.
    pub fn read(folder: &Path, tokenizer: &Tokenizer) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        let broken = |detail: String| Error::ModelBroken { path: path.clone(), detail };
        let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
        let bytes = without_byte_order_mark(&bytes).map_err(broken)?;
        let json = serde_json::from_slice(bytes).map_err(|e| broken(e.to_string()))?;
        Self::new(tokenizer.vocabulary(), json)
    }

    /// tokens: by their ids, added ones included.
    fn new(mut tokens: BTreeMap<u32, String>, mut tokenizer: Value) -> Result<Self> {
        // No text gets special tokens, and none is padded.
        for key in ["post_processor", "truncation", "padding"] {
            tokenizer[key] = Value::Null;
        }
        let model = &tokenizer["model"];
        // Other models have tables that name tokens by their place, or merges that name their parts.
        if model["type"] == "WordPiece" || (model["type"].is_null() && model["merges"].is_null()) {
            tokens.retain(|_, token| !is_unused(token));
            renumber(&mut tokenizer, &tokens);
        } else if tokens.keys().enumerate().any(|(i, id)| i != *id as usize) {
            let found = format!("a tokenizer of the type {} with unused ids", model["type"]);
            let supported = "one whose tokens have the ids 0 to n - 1, or WordPiece".to_owned();
            return Err(Error::ModelUnsupported { found, supported });
        }
        Ok(Self { ids: tokens.into_keys().collect(), tokenizer })
    }
}

/// The tokens that BERT reserves: `[unused7]`.
fn is_unused(token: &str) -> bool {
    let number = token.strip_prefix("[unused").and_then(|rest| rest.strip_suffix(']'));
    number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Gives each of `tokens` its place as its id, and drops all others.
fn renumber(tokenizer: &mut Value, tokens: &BTreeMap<u32, String>) {
    let places: HashMap<&str, usize> =
        tokens.values().enumerate().map(|(i, token)| (token.as_str(), i)).collect();
    if let Some(vocab) = tokenizer["model"]["vocab"].as_object_mut() {
        vocab.retain(|token, _| places.contains_key(token.as_str()));
        vocab.iter_mut().for_each(|(token, id)| *id = places[token.as_str()].into());
    }
    if let Some(added) = tokenizer["added_tokens"].as_array_mut() {
        let place = |token: &Value| places.get(token["content"].as_str()?).copied();
        added.retain(|token| place(token).is_some());
        for token in added {
            token["id"] = place(token).into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reserved_tokens_are_dropped_and_the_others_keep_their_order() {
        let vocab = json!({ "[PAD]": 0, "[unused0]": 1, "[UNK]": 2, "a": 3, "[unused]x": 4 });
        let tokens: BTreeMap<u32, String> = [
            (0, "[PAD]"),
            (1, "[unused0]"),
            (2, "[UNK]"),
            (3, "a"),
            (4, "[unused]x"),
            (9, "[MORE]"),
        ]
        .map(|(id, token)| (id, token.to_owned()))
        .into();
        let added = json!([
            { "id": 1, "content": "[unused0]" },
            { "id": 2, "content": "[UNK]" },
            { "id": 9, "content": "[MORE]" },
        ]);
        let json = json!({
            "model": { "type": "WordPiece", "vocab": vocab },
            "added_tokens": added,
            "post_processor": { "type": "TemplateProcessing" },
        });
        let new = Vocabulary::new(tokens.clone(), json.clone()).unwrap();
        assert_eq!(new.ids, [0, 2, 3, 4, 9]);
        let expected = json!({ "[PAD]": 0, "[UNK]": 1, "a": 2, "[unused]x": 3 });
        assert_eq!(new.tokenizer["model"]["vocab"], expected);
        let expected = json!([{ "id": 1, "content": "[UNK]" }, { "id": 4, "content": "[MORE]" }]);
        assert_eq!(new.tokenizer["added_tokens"], expected);
        assert!(new.tokenizer["post_processor"].is_null());
        let mut other = json;
        other["model"]["type"] = "BPE".into();
        let error = Vocabulary::new(tokens, other).err().unwrap().to_string();
        assert!(error.contains("BPE") && error.contains("unused ids"), "{error}");
    }
}
