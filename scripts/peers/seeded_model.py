"""Writes models of known shapes with weights from a seed, to measure them without the real weights.

`seeded_model.py FOLDER TOKENIZER SHAPE… [--tiny]` writes FOLDER/SHAPE: config.json, the given tokenizer.json,
model.safetensors in f16, and the other files that sentence-transformers reads. The vectors are meaningless, but the
amount of work is that of the real model. `--tiny` keeps the widths, with two layers and a vocabulary of BERT's size.
"""

import json
import shutil
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

# From config.json of each model.
BERT = {"model_type": "bert", "hidden_act": "gelu", "layer_norm_eps": 1e-12, "max_position_embeddings": 512,
        "position_embedding_type": "absolute", "type_vocab_size": 2, "vocab_size": 30522}  # fmt: skip
SHAPES = {
    "minilm": BERT | {
        "hidden_size": 384, "intermediate_size": 1536, "num_attention_heads": 12, "num_hidden_layers": 6,
    },
    "bge-base": BERT | {
        "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12,
    },
    "qwen3-0.6b": {
        "model_type": "qwen3", "hidden_act": "silu", "hidden_size": 1024, "intermediate_size": 3072, "head_dim": 128,
        "num_attention_heads": 16, "num_key_value_heads": 8, "num_hidden_layers": 28, "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6, "rope_theta": 1000000, "vocab_size": 151669, "tie_word_embeddings": True,
        "attention_bias": False, "use_sliding_window": False,
    },
}  # fmt: skip
ARCHITECTURES = {"bert": "BertModel", "qwen3": "Qwen3Model"}
# Longer texts are truncated to this number of tokens.
TOKENS_MAX = 512
# The standard deviation of newly initialised weights in both families.
DEVIATION = 0.02


def bert_tensors(config):
    d, inner = config["hidden_size"], config["intermediate_size"]
    yield "embeddings.word_embeddings.weight", [config["vocab_size"], d]
    yield "embeddings.position_embeddings.weight", [config["max_position_embeddings"], d]
    yield "embeddings.token_type_embeddings.weight", [config["type_vocab_size"], d]
    yield from norm("embeddings.LayerNorm", d)
    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}"
        for name in ["query", "key", "value"]:
            yield from linear(f"{at}.attention.self.{name}", d, d)
        yield from linear(f"{at}.attention.output.dense", d, d)
        yield from norm(f"{at}.attention.output.LayerNorm", d)
        yield from linear(f"{at}.intermediate.dense", inner, d)
        yield from linear(f"{at}.output.dense", d, inner)
        yield from norm(f"{at}.output.LayerNorm", d)
    yield from linear("pooler.dense", d, d)


def qwen3_tensors(config):
    d, inner, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    yield "embed_tokens.weight", [config["vocab_size"], d]
    for layer in range(config["num_hidden_layers"]):
        at = f"layers.{layer}"
        yield f"{at}.input_layernorm.weight", [d]
        for name, rows in [("q", queries), ("k", keys), ("v", keys)]:
            yield f"{at}.self_attn.{name}_proj.weight", [rows, d]
        yield f"{at}.self_attn.q_norm.weight", [head]
        yield f"{at}.self_attn.k_norm.weight", [head]
        yield f"{at}.self_attn.o_proj.weight", [d, queries]
        yield f"{at}.post_attention_layernorm.weight", [d]
        yield f"{at}.mlp.gate_proj.weight", [inner, d]
        yield f"{at}.mlp.up_proj.weight", [inner, d]
        yield f"{at}.mlp.down_proj.weight", [d, inner]
    yield "norm.weight", [d]


def norm(name, d):
    yield f"{name}.weight", [d]
    yield f"{name}.bias", [d]


def linear(name, outputs, inputs):
    yield f"{name}.weight", [outputs, inputs]
    yield f"{name}.bias", [outputs]


TENSORS = {"bert": bert_tensors, "qwen3": qwen3_tensors}


def values(seed, name, shape):
    """f16: ones for the weights of norms, normally distributed around 0 for the rest."""
    if len(shape) == 1 and name.endswith("weight"):
        return np.ones(shape, np.float16)
    return (np.random.default_rng(seed).standard_normal(shape, np.float32) * DEVIATION).astype(np.float16)


def write_safetensors(path, tensors):
    """Writes the length of the header in 8 bytes, the header as JSON, then the tensors."""
    header, end = {}, 0
    for name, shape in tensors:
        begin, end = end, end + 2 * int(np.prod(shape))
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file, ThreadPoolExecutor() as pool:
        file.write(struct.pack("<Q", len(text)) + text)
        for made in pool.map(lambda item: values(item[0], *item[1]), enumerate(tensors)):
            file.write(made.tobytes())
    return end


def write_model(folder, tokenizer, shape, tiny):
    config = dict(SHAPES[shape])
    kind, d = config["model_type"], config["hidden_size"]
    if tiny:
        config |= {"num_hidden_layers": 2, "vocab_size": BERT["vocab_size"]}
    (folder / "1_Pooling").mkdir(parents=True)
    shutil.copy(tokenizer, folder / "tokenizer.json")
    pooling = {
        "word_embedding_dimension": d,
        "pooling_mode_mean_tokens": kind == "bert",
        "pooling_mode_lasttoken": kind != "bert",
    }
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    files = {
        "config.json": config | {"architectures": [ARCHITECTURES[kind]]},
        # Every family uses the tokenizer of BERT.
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"},
        "sentence_bert_config.json": {"max_seq_length": TOKENS_MAX, "do_lower_case": False},
        "modules.json": [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{name}"}
            for i, (path, name) in enumerate(modules)
        ],
        "1_Pooling/config.json": pooling,
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=1))
    return write_safetensors(folder / "model.safetensors", list(TENSORS[kind](config)))


def main():
    folder, tokenizer, *shapes = [word for word in sys.argv[1:] if word != "--tiny"]
    sizes = {shape: write_model(Path(folder) / shape, tokenizer, shape, "--tiny" in sys.argv) for shape in shapes}
    print(", ".join(f"{shape} {size / 1e6:,.0f} MB" for shape, size in sizes.items()))


if __name__ == "__main__":
    main()
