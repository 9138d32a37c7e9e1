"""Measures PyTorch on the same work on the same device; prints one line of JSON for `scripts/gpu-check`.

`gpu.py DEVICE embed MODEL TEXTS` embeds JSON Lines with sentence-transformers in bf16 (on a CPU in f32), with its
best batch size. `gpu.py DEVICE search N D NQ` finds the 10 nearest of N vectors for NQ queries with a matrix
product, and measures the device on large matrices in f32 and on copies of its memory.
"""

import json
import statistics
import sys
import time
import warnings
from functools import partial
from itertools import cycle

import torch
from torch.nn.functional import normalize

BATCH_SIZES = [32, 128, 512]
ROUNDS_MIN, SECONDS = 3, 1
K = 10


def median_s(device, function):
    """Median time of one round in seconds, after a warm-up round."""
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    function()
    wait()
    took, end = [], time.perf_counter() + SECONDS
    while len(took) < ROUNDS_MIN or time.perf_counter() < end:
        began = time.perf_counter()
        function()
        wait()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def embed(device, model, path):
    from sentence_transformers import SentenceTransformer, __version__

    with open(path, encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    # A CPU may lack bf16 arithmetic.
    name, dtype = ("f32", torch.float32) if device == "cpu" else ("bf16", torch.bfloat16)
    encoder = SentenceTransformer(model, device=device, model_kwargs={"dtype": dtype}, local_files_only=True)
    read = encoder.tokenizer(texts, truncation=True, max_length=encoder.max_seq_length)
    # encode sorts the texts by their length.
    took = [(median_s(device, partial(encoder.encode, texts, batch_size=size)), size) for size in BATCH_SIZES]
    best_s, size = min(took)
    turns = cycle(texts)
    return {
        "texts": len(texts),
        "texts_per_s": len(texts) / best_s,
        "tokens_per_s": sum(map(len, read["input_ids"])) / best_s,
        "one_text_ms": 1e3 * median_s(device, lambda: encoder.encode([next(turns)])),
        "batch_size": size,
        "who": f"sentence-transformers {__version__}, torch {torch.__version__}, {name}",
    }


def search(device, *sizes):
    n, d, nq = map(int, sizes)
    torch.manual_seed(0)
    took = {}
    for name, dtype in [("f32", torch.float32), ("f16", torch.float16)]:
        base, queries = (normalize(torch.randn(rows, d, device=device), dim=1).to(dtype) for rows in [n, nq])
        took[name] = 1e3 * median_s(device, partial(nearest, base, queries))
    return {"ms": took, "roof": roof(device), "who": f"torch {torch.__version__}"}


def roof(device):
    """10^12 operations per second in f32, and 10^12 bytes per second read and written."""
    n, size = (512, 1 << 22) if device == "cpu" else (8192, 1 << 30)
    a, b = (torch.randn(n, n, device=device) for _ in range(2))
    product_s = median_s(device, lambda: a @ b)
    copied = torch.empty(size, dtype=torch.uint8, device=device)
    copy_s = median_s(device, copied.clone)
    return {"tflops_f32": 2e-12 * n**3 / product_s, "tb_per_s": 2e-12 * size / copy_s}


def nearest(base, queries):
    return torch.topk(queries @ base.T, K)


def main():
    device, what, *rest = sys.argv[1:]
    warnings.simplefilter("ignore")
    with torch.inference_mode():
        print(json.dumps({"embed": embed, "search": search}[what](device, *rest)))


if __name__ == "__main__":
    main()
