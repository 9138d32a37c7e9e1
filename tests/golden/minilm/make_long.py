"""Writes long.json: texts of many bytes and few tokens, and what sentence-transformers makes of them (all-MiniLM-L6-v2).

Usage: make_long.py MODEL_FOLDER   (needs sentence-transformers)
A text is its parts, each repeated; `tokens` counts special ones, at most 256.
"""
import json, os, sys
from sentence_transformers import SentenceTransformer

FUNCTION = "def retry(request, attempts=3):\n    for _ in range(attempts):\n        try: return send(request)\n        except Timeout: pass\n"
SENTENCE = "How do we retry an HTTP request with backoff?"
TEXTS = {
    "spaces": [[" ", 9000], [SENTENCE, 1]],
    "spaces in the middle": [["first words", 1], [" ", 300000], [SENTENCE, 1]],
    "a hexadecimal constant": [["TABLE = 0x", 1], ["0123456789abcdef", 600], ["\n" + FUNCTION, 1]],
    "one digit": [["N = ", 1], ["7", 50000], ["\n" + FUNCTION, 1]],
    "newlines": [["\n", 6000], [FUNCTION, 1]],
    "blank lines with spaces": [["\n    ", 4000], [FUNCTION, 1]],
    "line ends of Windows and tabs": [["\r\n\t", 5000], [FUNCTION, 1]],
    "combining marks": [["e", 1], ["\u0301", 9000], [" " + SENTENCE, 1]],
    "several combining marks": [["e", 1], ["\u0301\u0308\u0323", 5000], [" " + SENTENCE, 1]],
    "joiners of no width": [["\u200d", 9000], [SENTENCE, 1]],
    "control characters": [["\x01\x02", 9000], [SENTENCE, 1]],
    "replacement characters": [["\ufffd", 9000], [SENTENCE, 1]],
    "ideographic spaces": [["\u3000", 9000], [SENTENCE, 1]],
    "a long word of letters": [["a", 1], ["bcdefghijk", 2000], [" " + SENTENCE, 1]],
    "many long words": [[("x" * 150 + " "), 100], [SENTENCE, 1]],
    "a long word, then too many words": [["0123456789abcdef", 600], [" one two three", 200]],
    "base64 in quotes": [["data = 'iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAYAAAAf8", 1], ["9hAAAABHNCSVQICAgIfAhkiAAAAAlwSFlz", 400], ["'\n" + FUNCTION, 1]],
}
model = SentenceTransformer(sys.argv[1], device="cpu")
out = []
for name, parts in TEXTS.items():
    text = "".join(unit * n for unit, n in parts)
    tokens = model.tokenize([text])["input_ids"].shape[1]
    vector = [round(float(v), 6) for v in model.encode([text])[0]]
    whole = len(model.tokenizer(text, truncation=False)["input_ids"])
    print(name, len(text.encode()), tokens, whole)
    out.append({"name": name, "parts": parts, "tokens": tokens, "truncated": whole > tokens, "vector": vector})
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "long.json"), "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in out) + "\n]\n")
