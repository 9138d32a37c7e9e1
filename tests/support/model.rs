//! Models of `tests/golden`, and copies of them with changes.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::Place;

/// The path of a file or model in `tests/golden`.
pub fn golden(name: &str) -> String {
    format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))
}

pub fn golden_json<T: serde::de::DeserializeOwned>(name: &str) -> T {
    serde_json::from_slice(&fs::read(golden(name)).unwrap()).unwrap()
}

/// A real BERT with tiny random weights: its results mean nothing, but they are always the same.
pub fn tiny_model() -> String {
    golden("bert")
}

/// Gives the token of `word` in the model of `folder` an embedding so large that the mean of its
/// values is infinite.
pub fn overflow_token(folder: &Path, word: &str) {
    let tokenizer: Value =
        serde_json::from_slice(&fs::read(folder.join("tokenizer.json")).unwrap()).unwrap();
    let id = tokenizer["model"]["vocab"][word].as_u64().expect("a word of the vocabulary") as usize;
    let file = folder.join("model.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    let head_bytes = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let head: Value = serde_json::from_slice(&bytes[8..8 + head_bytes]).unwrap();
    let tables = head.as_object().unwrap().iter();
    let (_, table) = tables
        .into_iter()
        .find(|(name, _)| name.ends_with("word_embeddings.weight"))
        .expect("a table of word embeddings");
    assert_eq!(table["dtype"], "F32");
    let d = table["shape"][1].as_u64().unwrap() as usize;
    let first = 8 + head_bytes + table["data_offsets"][0].as_u64().unwrap() as usize + 4 * d * id;
    bytes[first..first + 4 * d]
        .chunks_exact_mut(4)
        .for_each(|value| value.copy_from_slice(&3e38_f32.to_le_bytes()));
    fs::write(file, bytes).unwrap();
}

impl Place {
    /// The path of a copy of the model `golden`, called `name`, whose files `edit` has changed.
    pub fn edited_model(&self, golden: &str, name: &str, edit: impl FnOnce(&Path)) -> String {
        let folder = self.path().join(name);
        fs::create_dir(&folder).unwrap();
        fs::create_dir(folder.join("1_Pooling")).unwrap();
        let network = ["config.json", "model.safetensors", "tokenizer.json"];
        for file in network.iter().chain(&["modules.json", "1_Pooling/config.json"]) {
            let from = super::golden(&format!("{golden}/{file}"));
            if fs::exists(&from).unwrap() {
                fs::copy(from, folder.join(file)).unwrap();
            }
        }
        edit(&folder);
        folder.display().to_string()
    }

    /// A copy of the tiny model that counts as another model, because its configuration differs.
    pub fn other_model(&self) -> String {
        self.edited_model("bert", "other", |folder| {
            let config = fs::read_to_string(folder.join("config.json")).unwrap();
            fs::write(folder.join("config.json"), config + "\n").unwrap();
        })
    }
}
