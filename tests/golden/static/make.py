"""Writes tiny static models, and the vectors that model2vec and sentence-transformers compute with them.

Usage: make.py   (needs model2vec and sentence-transformers; the tokenizer is that of the folder ../bert)
  plain      a table of f32 values, normalised, read up to 12 tokens
  quantised  a table of int8 values, with the row (mapping) and the weight of each token
  module     the module StaticEmbedding of sentence-transformers, which reads unknown tokens, too
"""
import json, os, shutil
import numpy as np
from model2vec import StaticModel
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer

here = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(7)
d = 16

def tokenizer():
    return Tokenizer.from_file(os.path.join(here, "../bert/tokenizer.json"))

vocab = tokenizer().get_vocab_size()
TEXTS = ["", "🦀 🦀", "how do we retry an http request with backoff?", "X", "x 🦀 x", "[CLS] a", "a b " * 20,
         "fn main() { let x = [1, 2]; }", "The Sum of 7 and 8", "retry retry retry"]

def save(name, model, vectors):
    with open(os.path.join(here, name, "expected.json"), "w") as f:
        lines = [json.dumps([round(float(v), 7) for v in vector]) for vector in vectors]
        f.write('{"texts": ' + json.dumps(TEXTS) + ',\n"vectors": [\n' + ",\n".join(lines) + "\n]}\n")

def of_model2vec(name, **parts):
    folder = os.path.join(here, name)
    shutil.rmtree(folder, ignore_errors=True)
    StaticModel(tokenizer=tokenizer(), config={"model_type": "model2vec"}, **parts).save_pretrained(folder)
    os.remove(os.path.join(folder, "README.md"))
    model = StaticModel.from_pretrained(folder)
    save(name, model, model.encode(TEXTS))

of_model2vec("plain", vectors=rng.normal(size=(vocab, d)).astype(np.float32), normalize=True, max_length=12)
of_model2vec("quantised", vectors=rng.integers(-127, 128, size=(40, d)).astype(np.int8), normalize=False,
             token_mapping=rng.integers(0, 40, size=vocab), weights=rng.uniform(0.1, 1, size=vocab))
# Some published folders name no type.
path = os.path.join(here, "quantised", "config.json")
config = json.load(open(path)); del config["model_type"]
json.dump(config, open(path, "w"), indent=4)
os.remove(os.path.join(here, "quantised", "modules.json"))
folder = os.path.join(here, "module")
shutil.rmtree(folder, ignore_errors=True)
static = StaticEmbedding(tokenizer(), embedding_weights=rng.normal(size=(vocab, d)).astype(np.float32))
SentenceTransformer(modules=[static], device="cpu").save_pretrained(folder)
os.remove(os.path.join(folder, "README.md"))
model = SentenceTransformer(folder, device="cpu")
save("module", model, model.encode(TEXTS))
