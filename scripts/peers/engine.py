"""Another embedding engine: one contestant of `scripts/bench-peers`, run in its virtual environment.

`engine.py export MODEL GRAPHS` writes the model as ONNX graphs. `engine.py NAME DTYPE MODEL GRAPHS
THREADS` loads one engine, prints a line when it is ready, and answers each line of JSON with one line:
{"texts": file of JSON Lines, "vectors": file} embeds once and writes the vectors; {"texts", "seconds"}
embeds repeatedly for that time and returns the costs.
"""

import json
import os
import statistics
import sys
import time
import warnings
from pathlib import Path

import numpy as np

TOKENS_MAX = 256
# The batch size of sentence-transformers, used for every engine.
BATCH = 32
# The inputs of the exported graphs; their output vectors have length 1.
INPUTS = ["input_ids", "attention_mask"]


def export(model, graphs):
    """Writes plain-f32.onnx as torch exports it, fused-f32.onnx with ONNX Runtime's operators for BERT, and
    both with 8-bit weights and one scale per channel, as sentence-transformers quantises for AVX-512 VNNI."""
    import torch
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model
    from transformers import AttentionInterface, AutoModel

    def attention(_module, query, key, value, mask, **_):
        # The exact form that ONNX Runtime's optimiser can fuse.
        scores = torch.matmul(query, key.transpose(-1, -2)) / query.shape[-1] ** 0.5
        weights = torch.softmax(scores + mask, dim=-1)
        return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights

    AttentionInterface.register("plain", attention)

    class Embedder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = AutoModel.from_pretrained(model, attn_implementation="plain", dtype=torch.float32)

        def forward(self, input_ids, attention_mask):
            present = attention_mask.to(torch.float32)
            mask = (1.0 - present[:, None, None, :]) * torch.finfo(torch.float32).min
            types = torch.zeros_like(input_ids)
            hidden = self.bert(input_ids=input_ids, attention_mask=mask, token_type_ids=types)[0]
            # The sum is enough for the mean, because the vector is normalised.
            pooled = (hidden * present[:, :, None]).sum(1)
            return pooled / (pooled * pooled).sum(-1, keepdim=True).sqrt()

    embedder = Embedder().eval()
    config = embedder.bert.config
    ids = torch.arange(5, 37).reshape(2, 16)
    axes = {name: {0: "batch", 1: "length"} for name in INPUTS}
    plain, fused = graphs / "plain-f32.onnx", graphs / "fused-f32.onnx"
    torch.onnx.export(
        embedder, (ids, torch.ones_like(ids)), plain, input_names=INPUTS, output_names=["vectors"],
        dynamic_axes=axes, opset_version=18, dynamo=False,
    )  # fmt: skip
    shape = {"num_heads": config.num_attention_heads, "hidden_size": config.hidden_size}
    optimised = optimize_model(
        str(plain), model_type="bert", opt_level=0, optimization_options=FusionOptions("bert"), **shape
    )
    optimised.save_model_to_file(str(fused))
    for graph in [plain, fused]:
        small = str(graph).replace("f32", "int8")
        options = {"DefaultTensorType": TensorProto.FLOAT}
        quantize_dynamic(graph, small, per_channel=True, weight_type=QuantType.QInt8, extra_options=options)
    print(json.dumps({"fused": {k: v for k, v in optimised.get_fused_operator_statistics().items() if v}}))


def batched(model, infer):
    """Embeds in batches of texts of similar length, as sentence-transformers does, with the same tokenizer."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.enable_truncation(TOKENS_MAX)
    tokenizer.enable_padding()

    def embed(texts):
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        vectors = [None] * len(texts)
        for at in range(0, len(texts), BATCH):
            rows = order[at : at + BATCH]
            encoded = tokenizer.encode_batch_fast([texts[i] for i in rows])
            ids = np.array([text.ids for text in encoded], dtype=np.int64)
            mask = np.array([text.attention_mask for text in encoded], dtype=np.int64)
            for i, vector in zip(rows, infer({INPUTS[0]: ids, INPUTS[1]: mask})):
                vectors[i] = vector
        return np.stack(vectors)

    return embed


def onnx_runtime(dtype, model, graphs, threads, form="plain"):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    graph = str(graphs / f"{form}-{dtype}.onnx")
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return batched(model, lambda inputs: session.run(None, inputs)[0])


def onnx_runtime_fused(dtype, model, graphs, threads):
    return onnx_runtime(dtype, model, graphs, threads, form="fused")


def openvino(dtype, model, graphs, threads):
    import openvino as ov

    settings = {
        "INFERENCE_PRECISION_HINT": dtype,
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        # The process is already bound to its cores.
        "ENABLE_CPU_PINNING": False,
    }
    compiled = ov.Core().compile_model(str(graphs / "plain-f32.onnx"), "CPU", settings)
    request = compiled.create_infer_request()
    # Results are copied, because the next batch may overwrite the memory of the request.
    return batched(model, lambda inputs: request.infer(inputs, share_inputs=True)[0])


def sentence_transformers(dtype, model, _graphs, threads):
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    kind = {"f32": torch.float32, "bf16": torch.bfloat16}[dtype]
    encoder = SentenceTransformer(str(model), device="cpu", model_kwargs={"dtype": kind}, local_files_only=True)
    encoder.max_seq_length = TOKENS_MAX
    return lambda texts: encoder.encode(texts, batch_size=BATCH, show_progress_bar=False)


ENGINES = {
    "ONNX Runtime": onnx_runtime,
    "ONNX Runtime fused": onnx_runtime_fused,
    "OpenVINO": openvino,
    "sentence-transformers": sentence_transformers,
}


def measure(embed, texts, seconds):
    took_ms = []
    wall, cpu = time.perf_counter(), time.process_time()
    while not took_ms or time.perf_counter() - wall < seconds:
        began = time.perf_counter()
        embed(texts)
        took_ms.append(1e3 * (time.perf_counter() - began))
    cost = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    return cost | {"rounds": len(took_ms), "p50_ms": statistics.median(took_ms)}


def answer(embed):
    for line in sys.stdin:
        wanted = json.loads(line)
        texts = [json.loads(text)["text"] for text in open(wanted["texts"], encoding="utf-8")]
        if "vectors" in wanted:
            np.save(wanted["vectors"], np.asarray(embed(texts), dtype=np.float32))
            print("{}", flush=True)
        else:
            print(json.dumps(measure(embed, texts, wanted["seconds"])), flush=True)


def main():
    what, *rest = sys.argv[1:]
    warnings.simplefilter("ignore")
    if what == "export":
        export(*map(Path, rest))
        return
    dtype, model, graphs, threads = rest
    embed = ENGINES[what](dtype, Path(model), Path(graphs), int(threads))
    embed(["ready"])
    print("{}", flush=True)
    answer(embed)


if __name__ == "__main__":
    main()
