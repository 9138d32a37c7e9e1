"""Writes quantised.json: vectors, and what quantize_embeddings of sentence-transformers makes of them.

Usage: make_quantised.py   (needs sentence-transformers)
The calibration is a NumPy file, as hexadecimal digits; one of its columns is constant, and some vectors are out of range.
"""
import io, json, os
import numpy as np
from sentence_transformers.util import quantize_embeddings

rng = np.random.default_rng(7)
d = 20
calibration = rng.normal(size=(30, d)).astype(np.float32)
calibration[:, 3] = 0.25
embeddings = rng.normal(size=(12, d)).astype(np.float32) * 1.3
embeddings[0] = 0
embeddings[1] = calibration.min(axis=0)
embeddings[2] = calibration.max(axis=0)
embeddings = np.array([[float(f"{v:.6f}") for v in row] for row in embeddings], dtype=np.float32)
file = io.BytesIO()
np.save(file, calibration)
out = {
    "embeddings": [[float(f"{v:.6f}") for v in row] for row in embeddings],
    "calibration": file.getvalue().hex(),
    "expected": {p: quantize_embeddings(embeddings, p, calibration_embeddings=calibration).tolist() for p in ["int8", "uint8", "binary", "ubinary"]},
}
ranges = np.vstack((calibration.min(axis=0), calibration.max(axis=0)))
assert quantize_embeddings(embeddings, "int8", ranges=ranges).tolist() == out["expected"]["int8"]
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "quantised.json"), "w") as f:
    json.dump(out, f, separators=(",", ":"))
    f.write("\n")
