"""Vector sets as others publish them: other names and layouts, zero vectors, padding, crops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_up_files import gaussian, write_bin, write_vecs

from retrieval_bench.datasets import exact_neighbors, load_dataset, notes_of
from retrieval_bench.errors import DataError
from retrieval_bench.types import Dataset, Metric

CORPUS, ASKED = gaussian(60, 8), gaussian(12, 8, seed=1)
BYTES = (CORPUS * 20 + 60).clip(0, 120).astype("u1"), (ASKED * 20 + 60).clip(0, 120).astype("u1")


def nearest(metric: Metric) -> npt.NDArray[np.int64]:
    return exact_neighbors(CORPUS, ASKED, 5, metric).rows


def write_hdf5(path: Path, distance: str, **arrays: npt.NDArray[Any]) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["distance"] = distance
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
    return path


def write_parquet(path: Path, **columns: Any) -> None:
    pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), path)


def arrays_of(data: Dataset) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    return data.corpus.require_vectors(), data.queries["test"].require_vectors()


def test_zero_vectors_of_hdf5_are_left_out_under_cos(tmp_path: Path) -> None:
    corpus, asked = CORPUS.copy(), ASKED.copy()
    corpus[[4, 9]] = asked[3] = 0
    write_hdf5(tmp_path / "a.hdf5", "angular", train=corpus, test=asked, neighbors=nearest("cos"))
    data = load_dataset(str(tmp_path / "a.hdf5"))
    kept, left = arrays_of(data)
    assert np.array_equal(kept, np.delete(corpus, [4, 9], axis=0))
    assert np.array_equal(left, np.delete(asked, 3, axis=0))
    assert list(data.corpus.ids[3:5]) == ["3", "5"]
    assert not data.neighbors
    assert notes_of(data) == (
        "zero vectors have no direction under 'cos' and are left out of the corpus: rows 4, 9; "
        "zero vectors have no direction under 'cos' and are left out of the test queries: rows 3; "
        "the neighbors in the file are computed anew: they were found among other rows",
    )
    assert len(load_dataset(str(tmp_path / "a.hdf5"), metric="ip").corpus) == 60


def test_zero_vectors_elsewhere_say_what_to_do(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.where(np.arange(60)[:, None] == 41, 0, CORPUS))
    with pytest.raises(DataError, match=r"row 41 is a zero vector.*--metric ip or --metric l2"):
        load_dataset(str(tmp_path / "a.npy"), metric="cos")


def test_padded_neighbors_of_hdf5_are_computed_anew(tmp_path: Path) -> None:
    rows = nearest("l2")
    rows[2, 3:] = -1
    data = load_dataset(str(write_hdf5(tmp_path / "a.hdf5", "euclidean", train=CORPUS, test=ASKED, neighbors=rows)))
    assert not data.neighbors
    assert notes_of(data) == ("'neighbors' are padded with -1, so they are computed anew",)


def test_neighbors_of_another_metric_name_the_option(tmp_path: Path) -> None:
    for name, array in (("corpus", CORPUS), ("queries", ASKED), ("neighbors", nearest("ip"))):
        np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(DataError, match="try --metric ip"):
        load_dataset(str(tmp_path))
    assert "test" in load_dataset(str(tmp_path), metric="ip").neighbors


@pytest.mark.parametrize("truth", ["bigann-1M", "GT.public.1M", "groundtruth.bin"])
def test_crops_and_neighbors_without_a_suffix(tmp_path: Path, truth: str) -> None:
    corpus, asked = BYTES
    write_bin(tmp_path / "base.1B.u8bin.crop_nb_60", corpus)
    write_bin(tmp_path / "query.public.10K.u8bin", asked)
    rows = exact_neighbors(corpus.astype("f4"), asked.astype("f4"), 5, "l2").rows
    write_bin(tmp_path / truth, rows.astype("<i4"))
    data = load_dataset(str(tmp_path))
    assert np.array_equal(arrays_of(data)[0], corpus.astype("f4"))
    assert np.array_equal(np.sort(data.neighbors["test"].rows), np.sort(rows))
    assert len(load_dataset(str(tmp_path / "base.1B.u8bin.crop_nb_60")).corpus) == 48


def test_what_may_be_neighbors_is_told(tmp_path: Path) -> None:
    write_vecs(tmp_path / "base.fvecs", CORPUS)
    write_vecs(tmp_path / "query.fvecs", ASKED)
    write_vecs(tmp_path / "truth.ivecs", nearest("l2"))
    data = load_dataset(str(tmp_path))
    assert notes_of(data) == ("truth.ivecs is not used: if it holds neighbors, call it groundtruth.ivecs",)


@pytest.mark.parametrize(("corpus", "queries"), [("base", "query"), ("train", "test"), ("corpus", "test")])
def test_arrays_by_other_names(tmp_path: Path, corpus: str, queries: str) -> None:
    arrays: dict[str, Any] = {corpus: CORPUS, queries: ASKED, "neighbors": nearest("l2")}
    np.savez(tmp_path / "a.npz", **arrays)
    data = load_dataset(str(tmp_path / "a.npz"))
    assert all(map(np.array_equal, arrays_of(data), (CORPUS, ASKED)))
    assert np.array_equal(data.neighbors["test"].rows, nearest("l2"))


def test_arrays_of_two_names_are_not_guessed(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", base=CORPUS, train=CORPUS, query=ASKED)
    with pytest.raises(DataError, match="which array to take of base, train; call it 'corpus'"):
        load_dataset(str(tmp_path / "a.npz"))


@pytest.mark.parametrize("first", [0, 1000])
def test_the_layout_of_vectordbbench(tmp_path: Path, first: int) -> None:
    ids = np.arange(first, first + 60)
    write_parquet(tmp_path / "train.parquet", id=ids, emb=CORPUS.tolist())
    write_parquet(tmp_path / "test.parquet", id=np.arange(12), emb=ASKED.tolist())
    write_parquet(tmp_path / "neighbors.parquet", id=np.arange(12), neighbors_id=ids[nearest("l2")].tolist())
    data = load_dataset(str(tmp_path))
    assert all(map(np.array_equal, arrays_of(data), (CORPUS, ASKED)))
    assert np.array_equal(data.neighbors["test"].rows, nearest("l2"))
    write_parquet(tmp_path / "neighbors.parquet", neighbors_id=[[first + 60]] * 12)
    with pytest.raises(DataError, match=rf"row 0 names {first + 60}, which is no id of the corpus"):
        load_dataset(str(tmp_path))
    write_parquet(tmp_path / "neighbors.parquet", names=["x"] * 12)
    with pytest.raises(DataError, match=r"has no column 'neighbors_id' with lists of ids \(found: names \(string\)"):
        load_dataset(str(tmp_path))


def test_parquet_files_of_different_columns(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", id=np.arange(60), emb=CORPUS.tolist())
    write_parquet(tmp_path / "b.parquet", emb=ASKED.tolist())
    said = r"b.parquet: has other columns than a.parquet \(emb .*; id .*call .* the queries queries.parquet"
    with pytest.raises(DataError, match=said):
        load_dataset(str(tmp_path))
