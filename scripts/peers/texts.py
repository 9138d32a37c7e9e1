"""Which texts do the engines of `scripts/bench-peers` get, and how many tokens are they?"""

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
# What is asked for among so many functions, and the answers that count.
FUNCTIONS, ANSWERS = 512, 10
# A function that begins its line, its first line of documentation, and its code up to the brace that ends it.
FUNCTION = re.compile(
    r"^/// (?P<said>[A-Z][^\n]*)\n(?:///[^\n]*\n)*(?:#\[[^\n]*\n)*(?P<code>(?:pub(?:\([^)]*\))? )?fn [^\n]*\n(?:.*\n)*?\}\n)",
    re.MULTILINE,
)


def load_measure():
    """The script beside this one, for what both need: the registry, the machine, tables."""
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
    """The texts of each load, in files of JSON Lines, and how many tokens the model reads of them."""

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
        said, code = zip(*self.functions(crates))
        loads = {"long": self.long(own), "mixed": mixed, "query": [QUERY], "said": said, "code": code}
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
        """Consecutive pieces of the sources that are 256 tokens with the two special ones."""
        text = "".join(path.read_text() for path in paths)
        spans = self.tokenizer.encode(text, add_special_tokens=False).offsets
        step = TOKENS_MAX - 2
        pieces = (text[spans[at][0] : spans[at + step - 1][1]] for at in range(0, len(spans) - step, step))
        # A cut within a word may change how many tokens it is.
        whole = (piece for piece in pieces if self.count([piece]) == [TOKENS_MAX])
        return [piece for piece, _ in zip(whole, range(LONG_TEXTS))]

    def chunks(self, text):
        """Whole blocks at the left margin as long as they fit, lines where one block does not."""
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
        """(what its documentation says of it, its code) of each function, one a file."""
        found = {}
        for _, path in files:
            for function in FUNCTION.finditer(path.read_text(errors="replace")):
                said, code = function["said"].strip(), function["code"]
                if len(said.split()) >= 5 and said not in found:
                    found[said] = code
                    break
            if len(found) == FUNCTIONS:
                return list(found.items())
        fail(f"only {len(found)} of {FUNCTIONS} documented functions were found; run: cargo fetch")

    def pick(self, files, wanted):
        """One chunk of each of so many files (folder, path); the names in the folder decide which."""
        digest = lambda file: hashlib.sha256(str(file[1].relative_to(file[0])).encode()).digest()
        picked = []
        for file in sorted(files, key=digest):
            chunks = self.chunks(file[1].read_text(errors="replace"))
            chunk = chunks[digest(file)[0] % len(chunks)] if chunks else ""
            # An engine may embed equal texts once.
            if chunk and chunk not in picked:
                picked.append(chunk)
            if len(picked) == wanted:
                return picked
        fail(f"only {len(picked)} of {wanted} chunks were found; run: cargo fetch")


def ndcg(said, code):
    """How well code is found by what its documentation says, as nDCG@10 (Jarvelin and Kekalainen, 2002): one
    answer is right for each of [n, d] questions, the row of the same number among [n, d] answers."""
    import numpy as np

    scores = said @ code.T
    rank = 1 + (scores > scores.diagonal()[:, None]).sum(1)
    return np.where(rank <= ANSWERS, 1 / np.log2(1 + rank), 0).mean()


def locked_crates():
    """The folders of the crates that Cargo.lock names, whatever else the registry holds."""
    locked = re.findall(r'^name = "(.*)"\nversion = "(.*)"$', (ROOT / "Cargo.lock").read_text(), re.MULTILINE)
    names = {f"{name}-{version}" for name, version in locked}
    return [crate for crate in measure.registry() if crate.name in names]
