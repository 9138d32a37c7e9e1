//! Networks against candle, an independent implementation, with sizes and constants that no golden
//! model has. The models of candle create the weights, so that names and shapes are checked, too.

use candle_nn::{Module, VarBuilder, VarMap};
use candle_transformers::models::{
    jina_bert, llama, modernbert, nomic_bert, qwen2, qwen3, stella_en_v5,
};
use serde_json::{Value, json};

use super::*;

const CPU: candle_core::Device = candle_core::Device::Cpu;

/// Compares every hidden state of some sequences. `theirs` builds a model from a config and weights,
/// and returns the hidden states, `[1, tokens, hidden]`, of ids, `[1, tokens]`.
fn check<C: serde::de::DeserializeOwned>(
    config: Value,
    theirs: impl Fn(&C, VarBuilder<'_>, &Tensor) -> candle_core::Result<Tensor>,
) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let parsed: C = serde_json::from_value(config.clone()).unwrap();
    let map = VarMap::new();
    // The first model creates the weights, which are then replaced by random ones.
    let made = VarBuilder::from_varmap(&map, DType::F32, &CPU);
    theirs(&parsed, made, &Tensor::new(&[[1_u32]], &CPU).unwrap()).unwrap();
    let tensors = shaken(&map);
    let weights = || VarBuilder::from_tensors(tensors.clone(), DType::F32, &CPU);
    candle_core::safetensors::save(&tensors, folder.path().join("model.safetensors")).unwrap();
    let encoder = Encoder::load(folder.path(), &Device::cpu(2).unwrap()).unwrap();
    let batch = random_batch(&[1, 2, 33, 150]);
    let got = encoder.forward(&batch).unwrap();
    let mut greatest = 0.0_f32;
    for i in 0..batch.n() {
        let ids = Tensor::new(batch.seq(i), &CPU).unwrap().unsqueeze(0).unwrap();
        let want = theirs(&parsed, weights(), &ids).unwrap();
        let want: Vec<f32> = want.flatten_all().unwrap().to_vec1().unwrap();
        let rows = (batch.cu_seqlens[i] as usize..batch.cu_seqlens[i + 1] as usize)
            .map(|row| got.row(row));
        let got: Vec<f32> = rows.flatten().copied().collect();
        greatest = greatest.max(worst(&got, &want));
    }
    eprintln!("{}: greatest difference to candle {greatest:e}", config["model_type"]);
    assert!(greatest < TOLERANCE, "{}: {greatest:e}", config["model_type"]);
}

/// Pseudo-random values: weights of norms around 1, all others around 0. The decoder of a language
/// model becomes the identity.
fn shaken(map: &VarMap) -> HashMap<String, Tensor> {
    let vars = map.data().lock().unwrap();
    let mut names: Vec<&String> = vars.keys().collect();
    names.sort();
    // candle creates a norm that ModernBERT does not have, but does not require it.
    names.retain(|name| *name != "model.layers.0.attn_norm.weight");
    let mut rng = fastrand::Rng::with_seed(5);
    let mut shake = |name: &String| {
        let shape = vars[name].shape().clone();
        let center = if shape.rank() == 1 && name.ends_with("weight") { 1.0 } else { 0.0 };
        let mut one = |i: usize| match name.as_str() {
            "lm_head.weight" => f32::from(u8::from(i / shape.dims()[1] == i % shape.dims()[1])),
            _ => (rng.f32() * 2.0 - 1.0) * 0.3 + center,
        };
        let values: Vec<f32> = (0..shape.elem_count()).map(&mut one).collect();
        (name.clone(), Tensor::from_vec(values, shape.clone(), &CPU).unwrap())
    };
    names.into_iter().map(&mut shake).collect()
}

#[test]
fn nomic_bert_under_its_first_names_and_with_biases() {
    let config = json!({
        "model_type": "nomic_bert", "vocab_size": 600, "n_embd": 60, "n_head": 3, "n_layer": 3,
        "n_inner": 84, "n_positions": 200, "type_vocab_size": 2, "layer_norm_epsilon": 1e-3,
        "rotary_emb_fraction": 1.0, "rotary_emb_base": 321.0, "rotary_emb_interleaved": false,
        "qkv_proj_bias": true, "mlp_fc1_bias": true, "mlp_fc2_bias": true,
        "activation_function": "swiglu", "prenorm": false,
    });
    check(config, |config: &nomic_bert::Config, weights, ids| {
        nomic_bert::NomicBertModel::load(weights, config)?.forward(ids, None, None)
    });
}

#[test]
fn modernbert_under_its_first_names() {
    let config = json!({
        "model_type": "modernbert", "vocab_size": 600, "hidden_size": 48, "num_hidden_layers": 5,
        "num_attention_heads": 3, "intermediate_size": 72, "max_position_embeddings": 200,
        "layer_norm_eps": 1e-3, "norm_eps": 1e-3, "pad_token_id": 0,
        "global_attn_every_n_layers": 2, "global_rope_theta": 5000.0, "local_attention": 10,
        "local_rope_theta": 77.0,
    });
    check(config, |config: &modernbert::Config, weights, ids| {
        modernbert::ModernBert::load(weights, config)?.forward(ids, &ids.ones_like()?)
    });
}

#[test]
fn jina_bert_with_a_number_of_heads_that_is_no_power_of_two() {
    let config = json!({
        "model_type": "bert", "position_embedding_type": "alibi", "feed_forward_type": "geglu",
        "vocab_size": 600, "hidden_size": 60, "num_hidden_layers": 3, "num_attention_heads": 6,
        "intermediate_size": 84, "max_position_embeddings": 200, "type_vocab_size": 2,
        "layer_norm_eps": 1e-3, "hidden_act": "gelu", "initializer_range": 0.02, "pad_token_id": 0,
    });
    check(config, |config: &jina_bert::Config, weights, ids| {
        jina_bert::BertModel::new(weights, config)?.forward(ids)
    });
}

fn decoder(model_type: &str) -> Value {
    json!({
        "model_type": model_type, "vocab_size": 600, "hidden_size": 48, "intermediate_size": 72,
        "num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 2,
        "max_position_embeddings": 200, "max_window_layers": 3, "use_sliding_window": false,
        "tie_word_embeddings": true, "rope_theta": 321.0, "rms_norm_eps": 1e-3,
        "hidden_act": "gelu_pytorch_tanh", "attention_bias": false,
    })
}

#[test]
fn qwen2_at_other_sizes() {
    let mut config = decoder("qwen2");
    config["sliding_window"] = json!(4096);
    check(config, |config: &qwen2::Config, weights, ids| {
        qwen2::Model::new(config, weights)?.forward(ids, 0, None)
    });
}

#[test]
fn stella_is_qwen2_that_sees_the_whole_sequence() {
    let mut config = decoder("qwen2");
    config["auto_map"] = json!({ "AutoModel": "modeling_qwen.Qwen2Model" });
    config["hidden_act"] = json!("silu");
    let theirs = json!({
        "variant": "Large", "norm_eps": 1e-3, "activation_fn": "silu", "type_vocab_size": 0,
        "scaling_factor": 1.0, "embed_head": { "in_features": 48, "out_features": 8 },
    });
    config.as_object_mut().unwrap().extend(theirs.as_object().unwrap().clone());
    check(config, |config: &stella_en_v5::Config, weights, ids| {
        stella_en_v5::Model::new(config, weights)?.forward(ids, &ids.ones_like()?)
    });
}

#[test]
fn qwen3_with_heads_that_are_wider_than_the_hidden_state() {
    let mut config = decoder("qwen3");
    config["head_dim"] = json!(20);
    check(config, |config: &qwen3::Config, weights, ids| {
        qwen3::Model::new(config, weights)?.forward(ids, 0)
    });
}

#[test]
fn llama_with_positions_stretched_as_llama_3_does() {
    let mut config = decoder("llama");
    config["hidden_act"] = json!("silu");
    config["num_hidden_layers"] = json!(1);
    config["rope_scaling"] = json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    });
    config["tie_word_embeddings"] = json!(false);
    // The model returns logits of the last token only. With the identity as the decoder they start
    // with the hidden state, so the prefixes of a sequence yield all of its hidden states.
    check(config, |config: &llama::LlamaConfig, weights, ids| {
        let config = config.clone().into_config(false);
        let model = llama::Llama::load(weights, &config)?;
        let last = |n: usize| {
            let mut cache = llama::Cache::new(false, DType::F32, &config, &CPU)?;
            model.forward(&ids.narrow(1, 0, n)?, 0, &mut cache)?.narrow(1, 0, 48)
        };
        let states: Vec<Tensor> = (1..=ids.dims()[1]).map(last).collect::<Result<_, _>>()?;
        Tensor::cat(&states, 0)
    });
}
