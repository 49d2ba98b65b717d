"""Made-up texts with judgments in BEIR's form, and an encoder of words that needs no model."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

THINGS = ("river", "engine", "violin", "harbour", "glacier", "compiler", "orchard", "satellite", "bakery", "library")
KINDS = ("history", "repair", "price", "weight", "colour", "owner")
PAIRS = [(f"{thing}-{kind}", f"the {kind} of the {thing}") for thing in THINGS for kind in KINDS]


def beir_folder(folder: Path, *, splits: dict[str, slice]) -> Path:
    """Sixty documents, a question to each; the questions of a split are a slice of them, the others are unjudged."""
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": name, "text": f"All that is known about {text}."} for name, text in PAIRS]
    queries = [{"_id": f"q-{name}", "text": f"what is {text}"} for name, text in PAIRS]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)), encoding="utf-8")
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)), encoding="utf-8")
    for split, part in splits.items():
        rows = ["query-id\tcorpus-id\tscore", *(f"q-{name}\t{name}\t1" for name, _ in PAIRS[part])]
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(rows), encoding="utf-8")
    return folder


class WordEncoder:
    """The mean of a random vector for each word, the same for the same word everywhere."""

    name, revision, dim, precision = "words", "1", 16, "float32"

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> npt.NDArray[np.float32]:
        vectors = [np.mean([_vector(word, self.dim) for word in text.lower().split()], axis=0) for text in texts]
        return np.array(vectors, np.float32)


def _vector(word: str, dim: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(zlib.crc32(word.encode())).normal(size=dim)
