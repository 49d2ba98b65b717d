"""A data set made ready on disk, so that every trial's process maps the same bytes instead of making them again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from retrieval_bench.checks import check_vectors
from retrieval_bench.datasets import cached_neighbors, exact_neighbors
from retrieval_bench.encoders import encoded_by
from retrieval_bench.files import atomic_file, atomic_folder, home, locked
from retrieval_bench.frame import Frame
from retrieval_bench.protocols import Encoder
from retrieval_bench.quality import id_places
from retrieval_bench.types import Corpus, Dataset, EncoderInfo, Examples, HeldOut, Hits, Qrels, Queries, RowIds

_ENCODER, _REVISION = "encoder", "encoder_revision"  # facts kept among those for the report
_LAYOUT = 2  # of the folder; another number where what is written for the same data changes
_PLACES = "id-places.npy"
NEIGHBORS = 100  # exact neighbors kept per query: enough for neighbor_recall@100


def encoded(dataset: Dataset, encoder: Encoder, *, progress: bool = False) -> Dataset:
    """The data set with vectors of its texts; unchanged when it came with vectors.

    The fingerprint takes in the encoder's revision: other weights make other vectors.
    """
    if dataset.corpus.vectors is not None:
        return dataset
    corpus = encoded_by(encoder, dataset.corpus, progress=progress)
    check_vectors(corpus.require_vectors(), source=f"encoder {encoder.name!r}", metric=dataset.metric)
    return replace(
        dataset,
        corpus=corpus,
        queries={split: encoded_by(encoder, q, progress=progress) for split, q in dataset.queries.items()},
        fingerprint=_hash(dataset.fingerprint, encoder.revision),
        meta={**dataset.meta, _ENCODER: encoder.name, _REVISION: encoder.revision},
    )


def framed(dataset: Dataset) -> tuple[Dataset, Frame]:
    """The data as an index sees it, with its frame: nothing is normalised, moved or scaled when timed.

    Raises:
        DataError: float32 cannot hold the scores of these vectors.
    """
    vectors = dataset.corpus.vectors
    if vectors is None:
        return dataset, Frame(asked=dataset.metric)
    frame = Frame.of(vectors, dataset.metric, source=f"{dataset.name} (corpus)")
    asked = {
        split: replace(q, vectors=frame.queries(q.require_vectors(), source=f"{dataset.name} ({split} queries)")[0])
        for split, q in dataset.queries.items()
    }
    held = dataset.held_out
    if held is not None and held.documents.vectors is not None:
        held = replace(held, documents=replace(held.documents, vectors=frame.rows(held.documents.vectors)))
    corpus = replace(dataset.corpus, vectors=frame.rows(vectors))
    return replace(dataset, corpus=corpus, queries=asked, held_out=held, metric=frame.served), frame


def prepared_folder(fingerprint: str) -> Path:
    """Where ``store`` keeps the data set of this fingerprint."""
    return home() / "prepared" / f"{fingerprint}-{_LAYOUT}"


def store(dataset: Dataset, frame: Frame | None = None) -> Path:
    """Write a data set, its exact neighbors with it, under its fingerprint; returns the folder, made only once.

    Args:
        dataset: with vectors as the user has them, or in a frame.
        frame: in which its vectors are already; None finds one and puts them into it.

    Raises:
        DataError: float32 cannot hold the scores of these vectors.
    """
    folder = prepared_folder(dataset.fingerprint)
    with locked(folder):  # of two runs over one data set the second waits, and finds it made
        return _stored(folder, dataset, frame)


def _stored(folder: Path, dataset: Dataset, frame: Frame | None) -> Path:
    if (folder / "dataset.json").exists():
        _add_titles(folder / "corpus.parquet", dataset)
        _add_places(folder / _PLACES, dataset)
        return folder
    data, frame = framed(dataset) if frame is None else (dataset, frame)
    with atomic_folder(folder) as new:
        frame.write(new)
        _write_texts(new / "corpus.parquet", data.corpus.ids, data.corpus.texts, data.corpus.titles)
        _add_places(new / _PLACES, data)
        if data.corpus.vectors is not None:
            np.save(new / "corpus.npy", data.corpus.vectors)
        for split, queries in data.queries.items():
            _write_texts(new / f"queries-{split}.parquet", queries.ids, queries.texts)
            if queries.vectors is not None:
                np.save(new / f"queries-{split}.npy", queries.vectors)
                if split != "train":
                    hits = _neighbors(data, split, frame)
                    np.savez(new / f"neighbors-{split}.npz", rows=hits.rows, scores=hits.scores)
            if queries.own_rows is not None:
                np.save(new / f"own-{split}.npy", queries.own_rows)
        if (held := data.held_out) is not None:
            _write_texts(new / "held-out.parquet", held.documents.ids, held.documents.texts)
            np.save(new / "held-out-places.npy", held.places)
            if held.documents.vectors is not None:
                np.save(new / "held-out.npy", held.documents.vectors)
        for split, qrels in data.qrels.items():
            np.savez(new / f"qrels-{split}.npz", offsets=qrels.offsets, rows=qrels.rows, grades=qrels.grades)
        facts = {
            "name": data.name,
            "fingerprint": data.fingerprint,
            "metric": data.metric,
            "frame": {"asked": frame.asked, "exponent": frame.exponent},
            "splits": list(data.queries),
            "meta": dict(data.meta),
        }
        (new / "dataset.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return folder


def _add_titles(path: Path, dataset: Dataset) -> None:
    """Titles are no part of the fingerprint: another reader of the same texts may not have known them."""
    corpus = dataset.corpus
    if corpus.titles is not None and "title" not in pq.read_schema(path).names:
        with atomic_file(path) as new:
            _write_texts(new, corpus.ids, corpus.texts, corpus.titles)


def _add_places(path: Path, dataset: Dataset) -> None:
    """Where each id stands among all, by which equal scores are judged: mapped, so that no process reads the ids."""
    if dataset.qrels and not path.exists():
        with atomic_file(path) as new, new.open("wb") as file:
            np.save(file, id_places(dataset.corpus.ids))


def learnable(dataset: Dataset) -> Examples | None:
    """Queries to learn from, on which nothing is chosen or reported."""
    queries = dataset.queries.get("train")
    return None if queries is None else Examples(queries=queries, qrels=dataset.qrels.get("train"))


def opened(folder: Path, *, texts: bool = True) -> Dataset:
    """Read what ``store`` wrote; vectors are memory-mapped and read-only.

    Args:
        folder: as ``store`` returned it.
        texts: False leaves texts and ids on disk, for trials that need vectors only (rows stand for ids).
    """
    facts = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    queries, qrels, neighbors = {}, {}, {}
    meta = facts["meta"]
    made_by = EncoderInfo(name=meta[_ENCODER], revision=meta[_REVISION]) if _ENCODER in meta else None
    for split in facts["splits"]:
        ids, strings, _ = _read_texts(folder / f"queries-{split}.parquet")
        queries[split] = Queries(
            ids=ids,
            texts=strings,
            vectors=_mapped(folder / f"queries-{split}.npy"),
            split=split,
            own_rows=_mapped(folder / f"own-{split}.npy"),
            encoder=made_by,
        )
        if (path := folder / f"qrels-{split}.npz").exists():
            with np.load(path, allow_pickle=False) as arrays:
                qrels[split] = Qrels(offsets=arrays["offsets"], rows=arrays["rows"], grades=arrays["grades"])
        if (path := folder / f"neighbors-{split}.npz").exists():
            with np.load(path, allow_pickle=False) as arrays:
                neighbors[split] = Hits(rows=arrays["rows"], scores=arrays["scores"])
    vectors = _mapped(folder / "corpus.npy")
    names: Sequence[str]
    places = _mapped(folder / _PLACES)
    if texts or vectors is None or (qrels and places is None):
        names, strings, titles = _read_texts(folder / "corpus.parquet")
    else:
        names, strings, titles = RowIds(len(vectors)), None, None
    return Dataset(
        name=facts["name"],
        fingerprint=facts["fingerprint"],
        corpus=Corpus(
            ids=names,
            texts=strings,
            vectors=vectors,
            titles=titles,
            encoder=made_by,
            id_places=places,
        ),
        queries=queries,
        metric=facts["metric"],
        qrels=qrels,
        neighbors=neighbors,
        meta=meta,
        held_out=_held_out(folder),
    )


def _held_out(folder: Path) -> HeldOut | None:
    places = _mapped(folder / "held-out-places.npy")
    if places is None:
        return None
    ids, texts, _ = _read_texts(folder / "held-out.parquet")
    return HeldOut(places=places, documents=Corpus(ids=ids, texts=texts, vectors=_mapped(folder / "held-out.npy")))


def frame_of(folder: Path) -> Frame:
    """The frame in which ``store`` wrote the vectors of this folder."""
    facts = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))["frame"]
    return Frame.read(folder, **facts)


def _neighbors(data: Dataset, split: str, frame: Frame) -> Hits:
    corpus, asked = data.corpus.require_vectors(), data.queries[split].require_vectors()
    more = data.queries[split].own_rows is not None  # its own document is no neighbor of a query
    k = min(NEIGHBORS + more, len(corpus))
    return cached_neighbors(
        _hash(data.fingerprint, frame.digest), split, data.metric, k,
        lambda: exact_neighbors(corpus, asked, k, data.metric),
    )  # fmt: skip


def _hash(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def _mapped(path: Path) -> npt.NDArray[Any] | None:
    return np.load(path, mmap_mode="r", allow_pickle=False) if path.exists() else None


def _write_texts(
    path: Path, ids: Sequence[str], texts: Sequence[str] | None, titles: Sequence[str] | None = None
) -> None:
    named = {"text": texts, "title": titles}
    columns = {name: pa.array(list(c), pa.large_string()) for name, c in named.items() if c is not None}
    # Rows as numbers: eight bytes for each when they are read again.
    key = pa.array(ids.rows()) if isinstance(ids, RowIds) else pa.array(list(ids), pa.large_string())
    columns = {"id": key, **columns}
    pq.write_table(pa.table(columns), path, compression="zstd")


def _read_texts(path: Path) -> tuple[Sequence[str], list[str] | None, list[str] | None]:
    table = pq.read_table(path, memory_map=True)
    texts, titles = (table[name].to_pylist() if name in table.column_names else None for name in ("text", "title"))
    ids = table["id"]
    return RowIds.of(ids.to_numpy()) if pa.types.is_int64(ids.type) else ids.to_pylist(), texts, titles
