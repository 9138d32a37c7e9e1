//! Every family against the reference, alone and in any batch.

use super::*;
use crate::device::{Candle, Cpu, InstructionSet};

/// Each folder with reference hidden states, and the maximum tokens of its network.
pub const EMBEDDERS: [(&str, usize); 15] = [
    ("bert", 514),
    ("roberta", 512),
    ("xlm_roberta", 512),
    ("distilbert", 512),
    ("mpnet", 512),
    ("modernbert", 514),
    ("nomic_bert", 514),
    ("gte", 514),
    ("qwen2", 514),
    ("qwen3", 514),
    ("mistral", 514),
    ("llama", 514),
    ("gemma3_text", 514),
    ("jina_bert", 514),
    ("jina_bert_code", 514),
];

/// Those that candle-transformers computes.
const CANDLE_TRANSFORMERS: [(&str, usize); 2] = [("t5", 514), ("deberta_v2", 514)];

/// One device for each instruction set of this processor, and candle's.
fn devices() -> impl Iterator<Item = Device> {
    let available = InstructionSet::ALL.into_iter().filter(|set| set.is_available());
    let native = available.map(|set| Device::Cpu(Cpu::with_instructions(2, set).unwrap()));
    native.chain([Device::Candle(Candle::on_cpu(Cpu::new(2).unwrap()))])
}

/// All texts in several orders, and every text alone.
fn batches(n: usize) -> Vec<Vec<usize>> {
    let alone = (0..n).map(|i| vec![i]);
    orders(n).into_iter().chain(alone).collect()
}

fn check_ids(name: &str, got: &Ragged, expected: &HashMap<String, Tensor>) {
    assert_eq!(got.ids, whole_numbers(&expected["input_ids"]), "{name}");
    assert_eq!(got.cu_seqlens, whole_numbers(&expected["cu_seqlens"]), "{name}");
    let types: Vec<u32> = got.token_type_ids.iter().map(|&kind| kind.into()).collect();
    assert_eq!(types, whole_numbers(&expected["token_type_ids"]), "{name}");
}

/// The texts of the reference, tokenised by `name` and checked against the ids of the reference.
pub fn read_texts(name: &str, expected: &HashMap<String, Tensor>) -> Ragged {
    let texts = texts("texts.json");
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let got = Tokenizer::open(&golden(name), 512).unwrap().encode_batch(&texts).unwrap();
    check_ids(name, &got, expected);
    got
}

#[test]
fn every_family_equals_the_reference_alone_and_in_any_batch() {
    let of_ours = EMBEDDERS.map(|model| (model, NetworkKind::Layers));
    let others = CANDLE_TRANSFORMERS.map(|model| (model, NetworkKind::CandleTransformers));
    for ((name, tokens_max), kind) in of_ours.into_iter().chain(others) {
        assert_eq!(NetworkKind::read(&golden(name)).unwrap(), kind);
        let expected = expected(name);
        let all = read_texts(name, &expected);
        let hidden = matrix(&expected["last_hidden"]);
        let mut greatest = 0.0_f32;
        for device in devices() {
            let encoder = Encoder::load(&golden(name), &device).unwrap();
            assert_eq!((encoder.hidden_dim(), encoder.max_positions()), (64, tokens_max), "{name}");
            for order in batches(all.n()) {
                let batch = batch(&all, &order);
                let got = encoder.forward(&batch).unwrap();
                let rows = order.iter().flat_map(|&i| all.cu_seqlens[i]..all.cu_seqlens[i + 1]);
                let want: Vec<f32> = rows.flat_map(|i| hidden.row(i as usize).to_vec()).collect();
                greatest = greatest.max(worst(got.as_slice(), &want));
                for pooling in [Pooling::Mean, Pooling::Cls, Pooling::Last] {
                    let got = pool(&got, &batch.cu_seqlens, pooling, true);
                    let want = matrix(&expected[pooling.as_str()]);
                    for (got, &i) in got.rows().zip(&order) {
                        greatest = greatest.max(worst(got, want.row(i)));
                    }
                }
            }
        }
        eprintln!("{name}: greatest difference {greatest:e}");
        assert!(greatest < TOLERANCE, "{name}: {greatest:e}");
    }
}

#[test]
fn every_reranker_equals_the_reference_alone_and_in_any_batch() {
    let pairs: Vec<(String, String)> =
        serde_json::from_slice(&std::fs::read(golden("pairs.json")).unwrap()).unwrap();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    for name in [
        "bert_rerank",
        "xlm_roberta_rerank",
        "modernbert_rerank",
        "deberta_v2_rerank",
        "qwen3_rerank",
    ] {
        let expected = expected(name);
        let mut tokenizer = Tokenizer::open(&golden(name), 512).unwrap();
        if let Some(template) = PairTemplate::read(&golden(name)).unwrap() {
            tokenizer = tokenizer.with_template(template).unwrap();
        }
        let all = tokenizer.encode_pairs(&pairs).unwrap();
        check_ids(name, &all, &expected);
        let want = matrix(&expected["logits"]);
        let mut greatest = 0.0_f32;
        for device in devices() {
            let classifier = Classifier::load(&golden(name), &device).unwrap();
            assert_eq!(classifier.labels(), 1);
            for order in batches(all.n()) {
                let got = classifier.logits(&batch(&all, &order)).unwrap();
                for (got, &i) in got.rows().zip(&order) {
                    greatest = greatest.max(worst(got, want.row(i)));
                }
            }
        }
        eprintln!("{name}: greatest difference {greatest:e}");
        assert!(greatest < TOLERANCE, "{name}: {greatest:e}");
    }
}

#[test]
fn every_expansion_equals_the_reference_alone_and_in_any_batch() {
    for name in ["bert_splade", "distilbert_splade"] {
        let expected = expected(name);
        let all = read_texts(name, &expected);
        let want = matrix(&expected["splade"]);
        let mut greatest = 0.0_f32;
        for device in devices() {
            let splade = Splade::load(&golden(name), &device).unwrap();
            assert_eq!(splade.vocab_size(), want.d());
            for order in batches(all.n()) {
                let got = splade.expand(&batch(&all, &order)).unwrap();
                for (got, &i) in got.iter().zip(&order) {
                    assert!(got.ids.is_sorted() && got.weights.iter().all(|weight| *weight > 0.0));
                    let mut full = vec![0.0; want.d()];
                    for (&id, &weight) in got.ids.iter().zip(&got.weights) {
                        full[id as usize] = weight;
                    }
                    greatest = greatest.max(worst(&full, want.row(i)));
                }
            }
        }
        eprintln!("{name}: greatest difference {greatest:e}");
        assert!(greatest < TOLERANCE, "{name}: {greatest:e}");
    }
}

#[test]
fn a_long_text_expands_the_same_in_blocks_as_at_once() {
    let splade = Splade::load(&golden("bert_splade"), &Device::cpu(2).unwrap()).unwrap();
    let long = random_batch(&[500, 0, 3]);
    let got = splade.expand(&long).unwrap();
    assert_eq!((got.len(), &got[1]), (3, &crate::base::vector::SparseVec::default()));
    let alone = splade.expand(&batch(&long, &[2])).unwrap();
    assert_eq!(got[2].ids, alone[0].ids);
    assert!(worst(&got[2].weights, &alone[0].weights) < 1e-5);
}

#[test]
fn an_expansion_by_another_pooling_is_refused() {
    let folder = copy_of("bert_splade");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let modules = r#"[{ "path": "1_SpladePooling", "type": "a.b.SpladePooling" }]"#;
    write("modules.json", modules);
    std::fs::create_dir(folder.path().join("1_SpladePooling")).unwrap();
    let device = Device::cpu(1).unwrap();
    let load = |strategy: &str| {
        let text =
            format!(r#"{{ "pooling_strategy": "{strategy}", "activation_function": "relu" }}"#);
        write("1_SpladePooling/config.json", &text);
        Splade::load(folder.path(), &device)
    };
    assert!(load("max").is_ok());
    let error = load("sum").err().unwrap().to_string();
    assert!(error.contains("pooling_strategy \"sum\""), "{error}");
}
