//! Which files of a repository does a model need?

use std::collections::BTreeSet;

/// Weights in the order of preference: the name of the only file or of the first part, and the
/// end of each name.
const WEIGHTS: [(&str, &str); 2] = [("model", ".safetensors"), ("pytorch_model", ".bin")];

/// The names in `files` that a model needs, those without weights first. modules: the folders that
/// `modules.json` names.
pub fn wanted<'a>(files: &'a [String], modules: &[String]) -> Vec<&'a str> {
    let mut folders: BTreeSet<&str> = modules.iter().map(|path| path.trim_matches('/')).collect();
    folders.insert("");
    let (mut texts, mut weights) = (Vec::new(), Vec::new());
    for folder in folders {
        let here: Vec<(&str, &str)> = files
            .iter()
            .filter_map(|path| {
                let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
                (parent == folder).then_some((path.as_str(), name))
            })
            .collect();
        texts.extend(here.iter().filter(|(_, name)| is_text(name)).map(|(path, _)| *path));
        let of = |(stem, end): (&str, &str)| -> Vec<&str> {
            let all = here.iter().filter(|(_, name)| is_weights(name, stem, end));
            all.map(|(path, _)| *path).collect()
        };
        weights.extend(
            WEIGHTS.into_iter().map(of).find(|found| !found.is_empty()).into_iter().flatten(),
        );
    }
    texts.extend(weights);
    texts
}

fn is_text(name: &str) -> bool {
    let exact = [
        "config.json",
        "tokenizer.json",
        "modules.json",
        "config_sentence_transformers.json",
        "tokenizer_config.json",
        "adapter_config.json",
    ];
    exact.contains(&name) || name.starts_with("sentence_") && name.ends_with("_config.json")
}

/// `model.safetensors`, `model-00001-of-00002.safetensors` or `model.safetensors.index.json`, but
/// not `model_fp16.safetensors`.
fn is_weights(name: &str, stem: &str, end: &str) -> bool {
    let Some(rest) = name.strip_prefix(stem) else { return false };
    let part = |middle: &str| middle.starts_with('-') && middle.contains("-of-");
    match rest.strip_suffix(end) {
        Some(middle) => middle.is_empty() || part(middle),
        None => rest.strip_prefix(end) == Some(".index.json"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[&str], modules: &[&str]) -> Vec<String> {
        let own = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        own(&wanted(&own(files), &own(modules)))
    }

    #[test]
    fn what_other_programs_read_is_left_out_and_safetensors_are_preferred() {
        let found = of(
            &[
                ".gitattributes",
                "1_Pooling/config.json",
                "2_Dense/config.json",
                "2_Dense/model.safetensors",
                "2_Dense/pytorch_model.bin",
                "README.md",
                "config.json",
                "flax_model.msgpack",
                "model.safetensors",
                "model_fp16.safetensors",
                "modules.json",
                "onnx/config.json",
                "onnx/model.onnx",
                "pytorch_model.bin",
                "sentence_bert_config.json",
                "tokenizer.json",
                "unused/config.json",
            ],
            &["", "1_Pooling", "2_Dense", "3_Normalize"],
        );
        let expected = [
            "config.json",
            "modules.json",
            "sentence_bert_config.json",
            "tokenizer.json",
            "1_Pooling/config.json",
            "2_Dense/config.json",
            "model.safetensors",
            "2_Dense/model.safetensors",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn all_parts_and_their_index_are_wanted() {
        for (stem, end) in WEIGHTS {
            let parts = [1, 2].map(|i| format!("{stem}-0000{i}-of-00002{end}"));
            let index = format!("{stem}{end}.index.json");
            let files = [&parts[0], &parts[1], &index, "training_args.bin", "optimizer.pt"];
            assert_eq!(of(&files, &[]), files[..3], "{stem}");
        }
    }
}
