"""What does PyTorch make of the same work on the same device? One line of JSON, for `scripts/gpu-check`.

`gpu.py DEVICE embed MODEL TEXTS` embeds JSON Lines with sentence-transformers in bf16 (on a CPU f32), in its best batch size;
`gpu.py DEVICE search N D NQ` finds the 10 nearest of N vectors for NQ queries by a matrix product.
"""

import json
import statistics
import sys
import time
import warnings

import torch

BATCH_SIZES = [32, 128, 512]
ROUNDS_MIN, SECONDS = 3, 1
K = 10


def median_s(device, function):
    """Seconds of one round, after one that warms up."""
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


def embed(device, model, texts):
    from sentence_transformers import SentenceTransformer, __version__

    with open(texts, encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    # A CPU may have no arithmetic in bf16.
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    encoder = SentenceTransformer(model, device=device, model_kwargs={"dtype": dtype}, local_files_only=True)
    tokens = sum(len(ids) for ids in encoder.tokenizer(texts, truncation=True, max_length=encoder.max_seq_length)["input_ids"])
    # It sorts the texts by their length.
    took = {size: median_s(device, lambda: encoder.encode(texts, batch_size=size)) for size in BATCH_SIZES}
    one_ms = 1e3 * median_s(device, lambda: encoder.encode(texts[:1]))
    best = min(took, key=took.get)
    figures = {"tokens_per_s": tokens / took[best], "texts_per_s": len(texts) / took[best], "batch_size": best, "one_text_ms": one_ms}
    what = f"{figures['tokens_per_s']:,.0f} tokens/s, {figures['texts_per_s']:,.0f} texts/s of {len(texts)} in batches of {best}; 1 text {one_ms:.2f} ms"
    return figures | {"what": f"{what}; sentence-transformers {__version__}, torch {torch.__version__}, {str(dtype).removeprefix('torch.')}"}


def search(device, n, d, nq):
    n, d, nq = int(n), int(d), int(nq)
    torch.manual_seed(0)
    took = {}
    for name, dtype in [("f32", torch.float32), ("f16", torch.float16)]:
        base = torch.nn.functional.normalize(torch.randn(n, d, device=device), dim=1).to(dtype)
        queries = torch.nn.functional.normalize(torch.randn(nq, d, device=device), dim=1).to(dtype)
        took[name] = 1e3 * median_s(device, lambda: torch.topk(queries @ base.T, K))
    words = ", ".join(f"{name} {ms:.2f} ms" for name, ms in took.items())
    return {"ms": took, "what": f"{nq} queries in {n:,} vectors of {d}: {words}; torch {torch.__version__}"}


def main():
    device, what, *rest = sys.argv[1:]
    warnings.simplefilter("ignore")
    with torch.inference_mode():
        print(json.dumps({"embed": embed, "search": search}[what](device, *rest)))


if __name__ == "__main__":
    main()
