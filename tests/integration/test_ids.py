"""An id means the row, or the id, of the user's own file, whatever was held out of it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

import retrieval_bench as rb
from retrieval_bench.datasets import exact_neighbors, fingerprint, load_dataset
from retrieval_bench.errors import UsageError
from retrieval_bench.frame import Frame
from retrieval_bench.measure.clock import Effort
from retrieval_bench.records import Store
from retrieval_bench.report import table, write_html
from retrieval_bench.runner.prepared import frame_of, opened, prepared_folder, store
from retrieval_bench.runner.whole import over_all_rows, whole
from retrieval_bench.types import Dataset, RowIds

N, D = 600, 12
VECTORS = np.random.default_rng(5).normal(size=(N, D)).astype(np.float32)
QUICK = Effort(seconds=0.02, concurrent_seconds=0.01)


def found_by_themselves(searcher: rb.Searcher) -> bool:
    """Whether the vector of each document's row in the file finds it."""
    rows = [int(name) for name in searcher.ids]
    return searcher.search(VECTORS[rows], k=1).ids == tuple((name,) for name in searcher.ids)


class Exported(NamedTuple):
    run: rb.Run
    anew: rb.Searcher
    measured: rb.Searcher
    home: Path


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("ids")
    np.save(folder / "mine.npy", VECTORS)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETRIEVAL_BENCH_HOME", str(folder / "home"))
        done = rb.run(
            str(folder / "mine.npy"), indexes=["ivf"], metric="l2", budget=rb.Budget(threads=1), effort=QUICK,
            out=folder / "out",
        )  # fmt: skip
        (folder / "mine.npy").unlink()  # what was measured is exported, whatever became of the file
        winner = done.summary.winner or ""
        rb.export(winner, folder / "anew", out=done.folder)
        rb.export(winner, folder / "measured", out=done.folder, as_measured=True)
    return Exported(done, rb.load(folder / "anew"), rb.load(folder / "measured"), folder / "home")


def test_an_export_is_built_anew_over_all_rows(exported: Exported) -> None:
    anew, record = exported.anew, exported.run.winner
    assert record is not None
    assert (len(anew), list(anew.ids)) == (N, [str(row) for row in range(N)])
    assert found_by_themselves(anew)
    assert (anew.manifest.built, anew.manifest.held_out) == ("anew over all rows", 0)
    assert anew.manifest.build_params == record.build_params
    assert anew.manifest.measured["analytic_bytes"] > record.value("analytic_bytes")  # type: ignore[operator]
    assert anew.manifest.dataset_fingerprint != record.dataset_fingerprint


def test_recall_over_all_rows_is_not_that_of_finding_oneself(exported: Exported) -> None:
    """The queries are rows of the index now: found themselves, ten of ten would never be less than one of ten."""
    anew = exported.anew
    asked = [int(name) for name in load_ids(exported.run, "test")]
    exact = exact_neighbors(VECTORS, VECTORS[asked], 11, "l2").rows[:, 1:]
    hits = anew.search(VECTORS[asked], k=11)
    shares = [
        np.isin(e, [h for h in found if h != own][:10]).mean()
        for e, found, own in zip(exact, hits.rows, asked, strict=True)
    ]
    assert anew.manifest.measured["neighbor_recall@10"] == pytest.approx(np.mean(shares), abs=1e-6)


def load_ids(run: rb.Run, split: str) -> list[str]:
    found = pq.read_table(next((run.folder / "queries").glob("*.parquet")), filters=[("split", "=", split)])
    ids: list[str] = found["query_id"].to_pylist()
    return ids


def test_the_measured_build_keeps_the_ids_of_the_file(exported: Exported) -> None:
    measured = exported.measured
    assert (len(measured), measured.manifest.held_out, measured.manifest.built) == (480, 120, "as measured")
    assert found_by_themselves(measured)
    assert set(measured.ids).isdisjoint(load_ids(exported.run, "test"))


def test_rows_held_out_are_said(exported: Exported, tmp_path: Path) -> None:
    done = exported.run
    said = "120 of 600 rows were held out to ask with"
    assert (done.summary.held_out, {record.held_out for record in done.records}) == (120, {120})
    console = Console(width=400, record=True, file=io.StringIO())
    console.print(table(done.records, done.summary))
    assert said in console.export_text()
    write_html(done.records, done.summary, tmp_path / "page.html", [])
    assert said in (tmp_path / "page.html").read_text()


def test_what_breaks_its_budget_over_all_rows_is_refused(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRIEVAL_BENCH_HOME", str(exported.home))
    record = exported.run.winner
    assert record is not None
    folder = prepared_folder(record.dataset_fingerprint)
    tight = record.model_copy(update={"budget": rb.Budget(threads=1, index_bytes=4 * D * 550)})
    with pytest.raises(UsageError, match=r"over all 600 rows ended (over_budget|refused).*480 of them.*--as-measured"):
        over_all_rows(
            tight, Store(exported.run.folder), opened(folder), frame_of(folder), tell=lambda _event: None
        )  # fmt: skip


def _npy(folder: Path, vectors: np.ndarray) -> str:
    np.save(folder / "a.npy", vectors)
    return str(folder / "a.npy")


def _fbin(folder: Path, vectors: np.ndarray) -> str:
    (folder / "a.fbin").write_bytes(np.array(vectors.shape, "<u4").tobytes() + vectors.tobytes())
    return str(folder / "a.fbin")


def _fvecs(folder: Path, vectors: np.ndarray) -> str:
    header = np.int32(vectors.shape[1]).tobytes()
    (folder / "a.fvecs").write_bytes(b"".join(header + row.tobytes() for row in vectors))
    return str(folder / "a.fvecs")


def _hdf5(folder: Path, vectors: np.ndarray) -> str:
    with h5py.File(folder / "a.hdf5", "w") as file:
        file.attrs["distance"] = "angular"
        file["train"] = np.insert(vectors, 3, 0, axis=0)  # a zero vector, which is left out
    return str(folder / "a.hdf5")


def _parquet(folder: Path, vectors: np.ndarray) -> str:
    names = [f"doc-{row}" for row in range(len(vectors))]
    pq.write_table(pa.table({"id": names, "vector": list(vectors), "text": names}), folder / "a.parquet")
    return str(folder / "a.parquet")


@pytest.mark.parametrize("write", [_npy, _fbin, _fvecs, _hdf5, _parquet])
@pytest.mark.parametrize("rows", [None, 40])
def test_every_reader_keeps_ids_and_can_put_back(
    tmp_path: Path, write: Callable[[Path, np.ndarray], str], rows: int | None
) -> None:
    vectors = VECTORS[:100]
    """With a limit of rows these are the first of the file, those held out counted."""
    name = write(tmp_path, vectors)
    data = load_dataset(name, rows=rows, queries=3, apart=True)
    zero = write is _hdf5

    def is_right(part: object) -> bool:
        places = [int(str(i).removeprefix("doc-")) for i in part.ids]  # type: ignore[attr-defined]
        places = [row - (zero and row > 3) for row in places]
        return np.array_equal(part.vectors, vectors[places])  # type: ignore[attr-defined]

    assert is_right(data.corpus)
    assert all(is_right(part) for part in data.queries.values())
    prepared = opened(store(replace(data, metric="l2")))
    assert isinstance(prepared.corpus.ids, RowIds) == isinstance(data.corpus.ids, RowIds)
    for part in (data, prepared):
        every = whole(part, Frame(asked="l2"))
        assert np.array_equal(every.corpus.require_vectors(), vectors[: rows or 100])
        assert is_right(every.corpus)
        assert every.corpus.texts in (None, list(every.corpus.ids))
        assert every.held_out is None
        for asked in every.queries.values():
            assert asked.own_rows is None or all(
                every.corpus.ids[own] == name for own, name in zip(asked.own_rows, asked.ids, strict=True) if own >= 0
            )


def test_held_out_rows_count_in_the_fingerprint(tmp_path: Path) -> None:
    """Else another file, that differs in a row that is not asked, would be exported from what was prepared before."""
    first = load_dataset(_npy(tmp_path, VECTORS[:100]), queries=1)
    held = first.held_out
    assert held is not None
    changed = held.documents.require_vectors().copy()
    changed[-1] += 1
    other = replace(first, held_out=replace(held, documents=replace(held.documents, vectors=changed)))
    assert fingerprint(other) != fingerprint(first)


def test_other_rows_of_the_same_vectors_are_other_data(tmp_path: Path) -> None:
    data: Dataset = load_dataset(_npy(tmp_path, VECTORS[:100]))
    renumbered = replace(data, corpus=replace(data.corpus, ids=RowIds(len(data.corpus))))
    assert fingerprint(renumbered) != fingerprint(data)


def test_ids_of_rows_are_a_sequence() -> None:
    rows = np.array([2, 3, 7, 9])
    ids = RowIds.of(rows)
    assert (list(ids), ids[2], ids[-1], list(ids[1:3]), len(ids)) == (["2", "3", "7", "9"], "7", "9", ["3", "7"], 4)
    assert ids == RowIds.of(rows.astype(np.int32)) != RowIds(4)
    assert RowIds.of(np.arange(3)) == RowIds(3) == RowIds(5)[:3]
    assert hash(RowIds.of(np.arange(3))) == hash(RowIds(3))
    assert json.dumps([*ids.take(np.array([3, 0]))]) == '["9", "2"]'
    with pytest.raises(IndexError):
        ids[4]
