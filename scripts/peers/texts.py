"""The texts that the engines of `scripts/bench-peers` embed, and their numbers of tokens."""

import hashlib
import importlib.machinery
import importlib.util
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TOKENS_MAX = 256
LONG_TEXTS = 32
QUERY = "how is a vector cache kept small when it grows"
# Number of functions that are searched, and the best results that count.
FUNCTIONS, ANSWERS = 512, 10
# A function without indentation: the first line of its documentation, and its code up to the closing brace.
FUNCTION = re.compile(
    r"^/// (?P<doc>[A-Z][^\n]*)\n(?:///[^\n]*\n)*(?:#\[[^\n]*\n)*(?P<code>(?:pub(?:\([^)]*\))? )?fn [^\n]*\n(?:.*\n)*?\}\n)",
    re.MULTILINE,
)


def load_measure():
    """Loads scripts/measure, for its functions on the registry, the machine and tables."""
    loader = importlib.machinery.SourceFileLoader("measure", str(ROOT / "scripts/measure"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("measure", loader))
    loader.exec_module(module)
    return module


measure = load_measure()


def say(text):
    print(f"bench-peers: {text}", file=sys.stderr, flush=True)


def fail(text):
    raise SystemExit(f"bench-peers: {text}")


class Corpus:
    """The texts of each load, in files of JSON Lines, and how many tokens of them the model reads."""

    def __init__(self, model, folder, chunks):
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.folder, self.files, self.sizes, self.tokens = folder, {}, {}, {}
        own = sorted((ROOT / "src").rglob("*.rs"))
        crates = [(crate.parent, path) for crate in locked_crates() for path in measure.wanted(crate)]
        mixed = self.pick([(ROOT, path) for path in own], chunks // 4)
        mixed += self.pick(crates, chunks - chunks // 4)
        doc, code = zip(*self.functions(crates))
        loads = {"long": self.long(own), "mixed": mixed, "query": [QUERY], "doc": doc, "code": code}
        for load, texts in loads.items():
            self.files[load] = folder / f"{load}.jsonl"
            lines = [json.dumps({"id": str(i), "text": text}) + "\n" for i, text in enumerate(texts)]
            self.files[load].write_text("".join(lines))
            self.sizes[load] = len(texts)
            self.tokens[load] = sum(min(TOKENS_MAX, count) for count in self.count(texts))
        self.digest = hashlib.sha256(b"".join(file.read_bytes() for file in self.files.values())).hexdigest()

    def count(self, texts):
        return [len(text.ids) for text in self.tokenizer.encode_batch(texts)]

    def long(self, paths):
        """Consecutive pieces of the sources with 256 tokens each, including the two special ones."""
        text = "".join(path.read_text() for path in paths)
        spans = self.tokenizer.encode(text, add_special_tokens=False).offsets
        step = TOKENS_MAX - 2
        pieces = (text[spans[at][0] : spans[at + step - 1][1]] for at in range(0, len(spans) - step, step))
        # A cut within a word may change its number of tokens.
        whole = (piece for piece in pieces if self.count([piece]) == [TOKENS_MAX])
        return [piece for piece, _ in zip(whole, range(LONG_TEXTS))]

    def chunks(self, text):
        """Chunks of whole blocks that start at the left margin; a block that is too long is split into lines."""
        blocks = re.split(r"\n\s*\n(?=\S)", text)
        units = []
        for block, count in zip(blocks, self.count(blocks)):
            units += [block + "\n\n"] if count <= TOKENS_MAX else block.splitlines(keepends=True)
        found, chunk, left = [], "", 0
        for unit, count in zip(units, self.count(units)):
            if count - 2 > left:
                found.append(chunk)
                chunk, left = "", TOKENS_MAX - 2
            chunk, left = chunk + unit, left - (count - 2)
        return [chunk.strip() for chunk in [*found, chunk] if chunk.strip()]

    def functions(self, files):
        """(first line of documentation, code) of functions, one per file."""
        found = {}
        for _, path in files:
            for function in FUNCTION.finditer(path.read_text(errors="replace")):
                doc, code = function["doc"].strip(), function["code"]
                if len(doc.split()) >= 5 and doc not in found:
                    found[doc] = code
                    break
            if len(found) == FUNCTIONS:
                return list(found.items())
        fail(f"only {len(found)} of {FUNCTIONS} documented functions were found; run: cargo fetch")

    def pick(self, files, wanted):
        """One chunk from each of `wanted` files (folder, path), chosen by a hash of the relative path."""
        digest = lambda file: hashlib.sha256(str(file[1].relative_to(file[0])).encode()).digest()
        picked = []
        for file in sorted(files, key=digest):
            chunks = self.chunks(file[1].read_text(errors="replace"))
            chunk = chunks[digest(file)[0] % len(chunks)] if chunks else ""
            # No duplicates, because an engine may embed equal texts once.
            if chunk and chunk not in picked:
                picked.append(chunk)
            if len(picked) == wanted:
                return picked
        fail(f"only {len(picked)} of {wanted} chunks were found; run: cargo fetch")


def ndcg(doc, code):
    """nDCG@10 (Jarvelin and Kekalainen, 2002) of finding code by its documentation. doc, code: [n, d]; the one
    relevant result of a row of `doc` is the same row of `code`."""
    import numpy as np

    scores = doc @ code.T
    rank = 1 + (scores > scores.diagonal()[:, None]).sum(1)
    return np.where(rank <= ANSWERS, 1 / np.log2(1 + rank), 0).mean()


def locked_crates():
    """The folders of those crates in the registry that Cargo.lock names."""
    locked = re.findall(r'^name = "(.*)"\nversion = "(.*)"$', (ROOT / "Cargo.lock").read_text(), re.MULTILINE)
    names = {f"{name}-{version}" for name, version in locked}
    return [crate for crate in measure.registry() if crate.name in names]
