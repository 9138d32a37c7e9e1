//! Models of `tests/golden`, and copies of them with changes.

use std::fs;
use std::path::Path;

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

impl Place {
    /// The path of a copy of the model `golden`, called `name`, whose files `edit` has changed.
    pub fn edited_model(&self, golden: &str, name: &str, edit: impl FnOnce(&Path)) -> String {
        let folder = self.path().join(name);
        fs::create_dir(&folder).unwrap();
        for file in ["config.json", "model.safetensors", "tokenizer.json"] {
            let from = super::golden(&format!("{golden}/{file}"));
            fs::copy(from, folder.join(file)).unwrap();
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
