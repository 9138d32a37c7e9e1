"""Writes cases.json: model folders as people have them, and the vectors that sentence-transformers computes for them.

Usage: make.py [NAME...]   (needs sentence-transformers; the folders beside this one are the bases)
A case is a base folder with changes: `config` is merged into config.json, `files` are written, `into` moves the base
into a subfolder, `drop` removes keys of config.json. `bin` has the tensors saved by torch.save, by folder.
"""
import json, os, shutil, sys, tempfile
os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

here = os.path.dirname(os.path.abspath(__file__))
golden = os.path.dirname(here)
LONG = "def f(x, y): return [f(i, y) for i in range(x) if i % 2 == 0 and not y.HasKey(i)] # The Sum "
TEXTS = ["how do we retry an http request with backoff?", "X", LONG, "Straße ÜBER naïve CAFÉ 日本"]

T, P, D, N, O = "Transformer", "Pooling", "Dense", "Normalize", "Dropout"
def modules(*kinds, path=""):
    paths = {T: path}
    return [{"idx": i, "name": str(i), "path": paths.get(k, f"{i}_{k}"), "type": f"sentence_transformers.models.{k}"}
            for i, k in enumerate(kinds)]
def pooled(pooling, *more, **case):
    files = {"modules.json": modules(T, P, *more), "1_Pooling/config.json": {"word_embedding_dimension": 64, **pooling}}
    return {"base": "bert", **case, "files": {**files, **case.get("files", {})}}
def flags(*on):
    names = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]
    return {f"pooling_mode_{n}": n in on for n in names}
def rope(base="llama", drop=("rope_parameters",), **config):
    # The class of some families replaces what tokenizer.json says.
    files = {"tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"}}
    return {"base": base, "config": config, "drop": list(drop), "files": files}
st = "config_sentence_transformers.json"
PROMPTS = {"prompts": {"query": "find the code: ", "document": None}, "default_prompt_name": "query"}

CASES = {
    "no modules.json": {"base": "bert"},
    "no modules.json, a causal language model": {"base": "llama", "config": {"architectures": ["LlamaForCausalLM"]}},
    "no flag": pooled({}),
    "every flag false": pooled(flags()),
    "one flag": pooled(flags("cls_token")),
    "a word beside old flags": pooled({**flags("cls_token"), "pooling_mode": "mean"}),
    "a list of one": pooled({"pooling_mode": ["max"]}),
    "a list": pooled({"pooling_mode": ["mean", "cls"]}),
    "a list beside old flags": pooled({**flags("max_tokens"), "pooling_mode": ["lasttoken", "cls"]}),
    "several flags": pooled(flags("mean_tokens", "max_tokens", "cls_token", "lasttoken", "weightedmean_tokens", "mean_sqrt_len_tokens")),
    "several flags, normalised": pooled(flags("mean_tokens", "max_tokens"), N),
    "mean_sqrt_len_tokens": pooled(flags("mean_sqrt_len_tokens")),
    "weightedmean": pooled({"pooling_mode": "weightedmean"}),
    "dropout": pooled(flags("mean_tokens"), O, N, files={"2_Dropout/config.json": {"dropout": 0.1}}),
    "a dense layer behind two poolings": pooled({"pooling_mode": ["cls", "mean"]}, D, N, files={"2_Dense/config.json":
        {"in_features": 128, "out_features": 8, "bias": True, "activation_function": "torch.nn.modules.activation.Tanh"}},
        dense="2_Dense"),
    **{f"include_prompt false, {mode}": pooled({"pooling_mode": mode, "include_prompt": False}, files={st: PROMPTS}, prompt="query")
       for mode in ["mean", "cls", "max", "weightedmean", "lasttoken", "mean_sqrt_len_tokens"]},
    "include_prompt false without a prompt": pooled({"pooling_mode": "mean", "include_prompt": False}),
    "include_prompt true": pooled({"pooling_mode": "mean"}, files={st: PROMPTS}, prompt="query"),
    "a prompt that is null": pooled({"pooling_mode": "mean"}, files={st: PROMPTS}, prompt="document"),
    "the default prompt": pooled({"pooling_mode": "mean"}, files={st: {"prompts": {"any": "text: "}, "default_prompt_name": "any"}}, prompt="document"),
    "0_Transformer": {"base": "bert", "into": "0_Transformer", "files": {
        "config.json": {"__version__": "0.2.5"}, "modules.json": modules(T, P, path="0_Transformer"),
        "0_Transformer/sentence_bert_config.json": {"max_seq_length": 16, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": 64, **flags("mean_tokens")}}},
    **{f"sentence_{name}_config.json": {"base": base, "files": {f"sentence_{name}_config.json": {"max_seq_length": 12},
        "modules.json": modules(T, P), "1_Pooling/config.json": {"word_embedding_dimension": 64, **flags("mean_tokens")}}}
       for name, base in [("bert", "bert"), ("roberta", "roberta"), ("distilbert", "distilbert"), ("camembert", "roberta"),
                          ("albert", "bert"), ("xlm-roberta", "xlm_roberta"), ("xlnet", "bert")]},
    "an empty first settings file": {"base": "roberta", "files": {"sentence_bert_config.json": {},
        "sentence_roberta_config.json": {"max_seq_length": 12},
        "modules.json": modules(T, P), "1_Pooling/config.json": {"word_embedding_dimension": 64, **flags("mean_tokens")}}},
    "do_lower_case": {"base": "roberta", "files": {"sentence_roberta_config.json": {"do_lower_case": True},
        "modules.json": modules(T, P), "1_Pooling/config.json": {"word_embedding_dimension": 64, **flags("mean_tokens")}}},
    "the tokenizer's limit": {"base": "bert", "files": {"tokenizer_config.json": {"model_max_length": 10}}},
    "truncation on the left": {"base": "bert", "files": {"tokenizer_config.json": {"model_max_length": 10, "truncation_side": "left"}}},
    "truncation on the left by tokenizer.json": {"base": "bert", "files": {"tokenizer_config.json": {"model_max_length": 10}}, "truncation": "Left"},
    "truncation on the right against tokenizer.json": {"base": "bert", "files": {"tokenizer_config.json":
        {"model_max_length": 10, "truncation_side": "right"}}, "truncation": "Left"},
    **{f"{key} {value} of {kind}": {"base": "bert", "files": {"tokenizer_config.json": {key: value, **({"tokenizer_class": kind} if kind else {})}}}
       for key, value, kind in [("do_lower_case", False, "BertTokenizer"), ("do_lower_case", False, "PreTrainedTokenizerFast"),
                                ("do_lower_case", False, None), ("strip_accents", False, "BertTokenizerFast"), ("tokenize_chinese_chars", False, "BertTokenizer")]},
    "truncate_dim": pooled(flags("mean_tokens"), N, files={st: {"truncate_dim": 16, "similarity_fn_name": "dot"}}),
    "truncate_dim beyond the vector": pooled(flags("mean_tokens"), files={st: {"truncate_dim": 1000}}),
    "truncate_dim of several poolings": pooled({"pooling_mode": ["mean", "cls"]}, files={st: {"truncate_dim": 80}}),
    "a prompt by name": pooled({"pooling_mode": "mean"}, files={st: {"prompts": {"classification": "Classify this: "}}}, prompt="classification"),
    "no theta in rope_parameters": rope(rope_theta=500.0, rope_parameters={"rope_type": "linear", "factor": 4.0}, drop=()),
    "no theta anywhere": rope(rope_parameters={"rope_type": "linear", "factor": 4.0}, drop=()),
    "linear": rope(rope_theta=500.0, rope_scaling={"type": "linear", "factor": 2.0}),
    "dynamic": rope(rope_theta=500.0, rope_scaling={"type": "dynamic", "factor": 2.0}),
    "yarn": rope(rope_theta=500.0, rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}),
    "yarn by type": rope(rope_theta=10000.0, rope_scaling={"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}),
    "yarn with everything": rope(rope_parameters={"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64, "rope_theta": 500.0,
        "beta_fast": 16, "beta_slow": 2, "attention_factor": 1.25}, drop=()),
    "yarn with mscale": rope(rope_parameters={"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64,
        "mscale": 0.7, "mscale_all_dim": 0.4, "truncate": False}, drop=()),
    "yarn without the original length": rope(rope_parameters={"rope_type": "yarn", "factor": 4.0}, drop=()),
    "llama3": rope(rope_theta=500.0, rope_parameters={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64}, drop=()),
    "longrope": rope(rope_parameters={"rope_type": "longrope", "factor": 4.0, "original_max_position_embeddings": 514,
        "short_factor": [1 + i / 4 for i in range(8)], "long_factor": [2 + i for i in range(8)]}, drop=()),
    "old keys win": rope(rope_parameters={"rope_type": "linear", "factor": 4.0}, rope_scaling={"type": "linear", "factor": 2.0}, drop=()),
    "one kind of layer stretched": rope("gemma3_text", rope_parameters={"full_attention": {"rope_type": "linear", "factor": 8.0},
        "sliding_attention": {"rope_type": "default"}}, drop=()),
    "old keys of two kinds of layers": rope("gemma3_text", rope_theta=5000.0, rope_local_base_freq=100.0, rope_scaling={"rope_type": "linear", "factor": 8.0}),
    "no theta of two kinds of layers": rope("modernbert", rope_parameters={"full_attention": {"rope_type": "linear", "factor": 8.0},
        "sliding_attention": {"rope_type": "default"}}, drop=()),
}

def build(case, folder):
    into = os.path.join(folder, case.get("into", ""))
    os.makedirs(into, exist_ok=True)
    base = os.path.join(golden, case["base"])
    for name in ["config.json", "model.safetensors", "tokenizer.json"]:
        shutil.copy(os.path.join(base, name), os.path.join(into, name))
    edit(os.path.join(into, "config.json"), case)
    tokenizer = json.load(open(os.path.join(into, "tokenizer.json")))
    if "truncation" in case:
        tokenizer["truncation"] = {"direction": case["truncation"], "max_length": 6, "strategy": "LongestFirst", "stride": 0}
        json.dump(tokenizer, open(os.path.join(into, "tokenizer.json"), "w"))
    for name, value in case.get("files", {}).items():
        os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
        json.dump(value, open(os.path.join(folder, name), "w"))
    if "dense" in case:
        shutil.copy(os.path.join(here, "dense.bin"), os.path.join(folder, case["dense"], "pytorch_model.bin"))

def edit(path, case):
    config = json.load(open(path))
    for key in case.get("drop", []):
        config.pop(key, None)
    config.update(case.get("config", {}))
    json.dump(config, open(path, "w"))

def vectors(case):
    with tempfile.TemporaryDirectory() as folder:
        build(case, folder)
        # The bases have no tokenizer_config.json; what pads is never seen, since each text is embedded alone.
        model = SentenceTransformer(folder, device="cpu", backend="torch")
        if model.tokenizer.pad_token is None:
            model.tokenizer.pad_token = model.tokenizer.convert_ids_to_tokens(0)
        named = lambda texts: model.encode(texts, prompt_name=case.get("prompt"))
        encode = {"query": model.encode_query, "document": model.encode_document}.get(case.get("prompt"), named)
        return [[round(float(v), 6) for v in encode([text])[0]] for text in TEXTS]

if __name__ == "__main__":
    torch.manual_seed(7)
    dense = os.path.join(here, "dense.bin")
    if not os.path.exists(dense):
        torch.save({"linear.weight": torch.randn(8, 128) / 8, "linear.bias": torch.randn(8) / 8}, dense)
    out = {"texts": TEXTS, "cases": []}
    for name, case in CASES.items():
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        try:
            case = {"name": name, **case, "expected": vectors(case)}
        except Exception as e:
            print(f"{name}: FAILED {type(e).__name__}: {e}"); continue
        print(name, [round(v, 3) for v in case["expected"][0][:3]], len(case["expected"][0]))
        out["cases"].append(case)
    if len(sys.argv) == 1:
        with open(os.path.join(here, "cases.json"), "w") as f:
            f.write('{"texts": ' + json.dumps(TEXTS) + ',\n"cases": [\n')
            f.write(",\n".join(json.dumps(c, separators=(",", ":")) for c in out["cases"]) + "\n]}\n")
    # The network of `bert` as torch.save writes it, in two parts.
    tensors = load_file(os.path.join(golden, "bert", "model.safetensors"))
    names = sorted(tensors)
    halves = {"a.bin": names[: len(names) // 2], "b.bin": names[len(names) // 2:]}
    for part, half in halves.items():
        torch.save({name: tensors[name] for name in half}, os.path.join(here, f"bert-{part}"))
    with open(os.path.join(here, "bert-pytorch_model.bin.index.json"), "w") as f:
        json.dump({"metadata": {}, "weight_map": {name: part for part, half in halves.items() for name in half}}, f)
