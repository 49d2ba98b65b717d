"""Readers of vectors: HDF5, TEXMEX, big-ann-benchmarks, NumPy and Parquet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_up_files import gaussian, write_bin, write_vecs

from retrieval_bench.datasets import exact_neighbors, load_dataset
from retrieval_bench.datasets.bigann import read_bin
from retrieval_bench.datasets.vecs import read_vecs
from retrieval_bench.errors import CardError, DataError
from retrieval_bench.types import Corpus, Dataset, FloatArray, Metric, Queries

CORPUS, ASKED = gaussian(60, 8), gaussian(12, 8, seed=1)
K = 5
Write = Callable[[Path], Path]


def nearest(metric: Metric, corpus: FloatArray = CORPUS, asked: FloatArray = ASKED) -> npt.NDArray[np.int64]:
    return exact_neighbors(corpus, asked, K, metric).rows


def distances_of(metric: Metric) -> npt.NDArray[np.float64]:
    """Distances to the nearest rows, as ann-benchmarks and VIBE write them."""
    scores = exact_neighbors(CORPUS, ASKED, K, metric).scores.astype(np.float64)
    return np.sqrt(-scores) if metric == "l2" else -scores + (metric == "cos")


def write_hdf5(path: Path, attributes: dict[str, Any], **arrays: npt.NDArray[Any]) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs.update(attributes)
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
    return path


def has_exact_neighbors(data: Dataset, split: str = "test") -> bool:
    queries = data.queries[split].require_vectors()
    exact = exact_neighbors(data.corpus.require_vectors(), queries, K, data.metric)
    given = data.neighbors[split]
    return bool(np.array_equal(given.rows, exact.rows) and np.array_equal(given.scores, exact.scores))


@pytest.mark.parametrize(
    ("distance", "metric"),
    [("euclidean", "l2"), ("angular", "cos"), ("cosine", "cos"), ("normalized", "cos"), ("dot", "ip"), ("ip", "ip")],
)
def test_hdf5_distances_become_our_scores(tmp_path: Path, distance: str, metric: Metric) -> None:
    path = write_hdf5(
        tmp_path / "a.hdf5",
        {"distance": distance, "dimension": 8, "point_type": "float"},
        train=CORPUS,
        test=ASKED,
        neighbors=nearest(metric),
        distances=distances_of(metric),
    )
    data = load_dataset(str(path))
    assert data.metric == metric
    assert np.array_equal(data.corpus.require_vectors(), CORPUS)
    assert isinstance(data.corpus.vectors, np.memmap)
    assert has_exact_neighbors(data)


@pytest.mark.parametrize("kind", ["float16", "float64", "int8", "uint8", "int64"])
def test_hdf5_number_types_become_float32_where_it_holds_them(tmp_path: Path, kind: str) -> None:
    corpus = (CORPUS * 20 + 100).clip(0, 120).astype(kind)
    path = write_hdf5(tmp_path / "a.h5", {"distance": "euclidean"}, train=corpus, test=corpus[:3])
    data = load_dataset(str(path))
    assert data.corpus.require_vectors().dtype == (np.float64 if kind == "float64" else np.float32)
    assert np.array_equal(data.corpus.require_vectors(), corpus.astype(np.float64))


@pytest.mark.parametrize("packed", [True, False])
def test_hamming_distance_is_squared_l2_of_bits(tmp_path: Path, packed: bool) -> None:
    bits = np.random.default_rng(3).integers(0, 2, (80, 20)).astype(bool)
    corpus, asked = bits[:70], bits[70:]
    differ = (asked[:, None, :] != corpus[None]).sum(axis=2)
    order = np.argsort(differ, axis=1, kind="stable")[:, :K]
    counts = np.take_along_axis(differ, order, axis=1).astype(np.float64)
    pack: Callable[[Any], Any] = (lambda rows: np.packbits(rows, axis=1)) if packed else (lambda rows: rows)
    path = write_hdf5(
        tmp_path / "bits.hdf5",
        {"distance": "hamming", "dimension": 20, "point_type": "binary" if packed else "bit"},
        train=pack(corpus),
        test=pack(asked),
        neighbors=order,
        distances=counts if packed else counts / 20,  # VIBE counts bits, scipy gives their share
    )
    data = load_dataset(str(path))
    assert data.metric == "l2"
    assert np.array_equal(data.corpus.require_vectors(), corpus.astype(np.float32))
    assert np.array_equal(-data.neighbors["test"].scores, counts)


def test_vibe_training_queries_are_split_for_tuning(tmp_path: Path) -> None:
    learn = gaussian(100, 8, seed=2)
    path = write_hdf5(
        tmp_path / "ood.hdf5",
        {"distance": "ip", "dimension": 8, "point_type": "float"},
        train=CORPUS,
        test=ASKED,
        learn=learn,
        learn_neighbors=nearest("ip", asked=learn).astype(np.uint32),
    )
    data = load_dataset(str(path))
    assert {split: len(part) for split, part in data.queries.items()} == {"test": 12, "train": 90, "tune": 10}
    both = np.concatenate([data.queries[s].require_vectors() for s in ("train", "tune")])
    assert {row.tobytes() for row in both} == {row.tobytes() for row in learn}
    assert has_exact_neighbors(data, "train")
    assert has_exact_neighbors(data, "tune")
    assert "test" not in data.neighbors


def _hdf5(attributes: dict[str, Any], **arrays: npt.NDArray[Any]) -> Write:
    return lambda folder: write_hdf5(folder / "a.hdf5", {"distance": "euclidean", **attributes}, **arrays)


def _cut_hdf5(folder: Path) -> Path:
    path = _hdf5({}, train=CORPUS, test=ASKED)(folder)
    path.write_bytes(path.read_bytes()[:-200])
    return path


def _no_hdf5(folder: Path) -> Path:
    (folder / "a.hdf5").write_bytes(b"not HDF5 at all")
    return folder / "a.hdf5"


WRONG = np.roll(nearest("l2"), 1, axis=0)
FAR = np.argsort(-distances_of("l2"), axis=1)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (_cut_hdf5, "cannot be read as HDF5.*get it again"),
        (_no_hdf5, "cannot be read as HDF5"),
        (_hdf5({"distance": "manhattan"}, train=CORPUS, test=ASKED), "unknown distance 'manhattan'"),
        (_hdf5({"distance": "jaccard"}, train=CORPUS, test=ASKED), "holds sets"),
        (_hdf5({"dimension": 9}, train=CORPUS, test=ASKED), "says 9 dimensions, but 'train' has rows of 8"),
        (_hdf5({}, test=ASKED), r"has no data set 'train' \(found: test\)"),
        (_hdf5({}, train=CORPUS, test=ASKED[:, :4]), "test queries have 4 dimensions, the corpus has 8"),
        (_hdf5({}, train=CORPUS[0], test=ASKED), r"must have the shape \(n, d\)"),
        (_hdf5({}, train=CORPUS[:0], test=ASKED), "holds no"),
        (_hdf5({}, train=CORPUS, test=ASKED[:0]), "holds no query"),
        (_hdf5({}, train=CORPUS, test=ASKED, neighbors=nearest("l2")[:3]), "do not fit 12 queries"),
        (_hdf5({}, train=CORPUS, test=ASKED, neighbors=nearest("l2") + 60), "the corpus has 60; they belong to other"),
        (_hdf5({}, train=CORPUS, test=ASKED, neighbors=np.zeros((12, 2), int)), "name a row twice"),
        (_hdf5({}, train=CORPUS, test=ASKED, neighbors=WRONG), "is nearer to query"),
        (
            _hdf5({}, train=CORPUS, test=ASKED, neighbors=nearest("l2"), distances=distances_of("l2") * 1.1),
            "does not follow from their vectors",
        ),
        (
            _hdf5({}, train=CORPUS, test=ASKED, neighbors=nearest("l2"), distances=distances_of("l2")[:, :2]),
            "do not fit neighbors",
        ),
        (
            _hdf5({"distance": "hamming", "point_type": "binary", "dimension": 7}, train=np.ones((20, 2), np.uint8)),
            "says 7 dimensions, but 'train' holds 16 bits",
        ),
    ],
)
def test_bad_hdf5_files_are_refused(tmp_path: Path, write: Write, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(str(write(tmp_path)))


def _folder_of_vecs(folder: Path) -> Path:
    write_vecs(folder / "sift_base.fvecs", CORPUS)
    write_vecs(folder / "sift_query.fvecs", ASKED)
    write_vecs(folder / "sift_learn.fvecs", gaussian(30, 8, seed=4))
    write_vecs(folder / "sift_groundtruth.ivecs", nearest("l2"))
    return folder


def _folder_of_bins(folder: Path) -> Path:
    write_bin(folder / "base.1K.fbin", CORPUS)
    write_bin(folder / "query.public.fbin", ASKED)
    write_bin(folder / "query.learn.fbin", gaussian(30, 8, seed=4))
    write_bin(folder / "groundtruth.public.ibin", nearest("l2").astype("<i4"), distances_of("l2"))
    return folder


@pytest.mark.parametrize("write", [_folder_of_vecs, _folder_of_bins])
def test_folders_of_vector_files(tmp_path: Path, write: Write) -> None:
    data = load_dataset(str(write(tmp_path)))
    assert data.metric == "l2"
    assert {split: len(part) for split, part in data.queries.items()} == {"test": 12, "train": 27, "tune": 3}
    assert np.array_equal(data.corpus.require_vectors(), CORPUS)
    assert np.array_equal(data.queries["test"].require_vectors(), ASKED)
    assert isinstance(data.corpus.vectors, np.memmap)
    assert has_exact_neighbors(data)


@pytest.mark.parametrize(
    ("name", "kind"), [("base.bvecs", "u1"), ("base.u8bin", "u1"), ("base.i8bin", "i1"), ("base.f16bin", "f2")]
)
def test_narrow_types_become_float32(tmp_path: Path, name: str, kind: str) -> None:
    rows = (CORPUS * 20 + 50).clip(0, 120).astype(kind)
    (write_vecs if name.endswith("vecs") else write_bin)(tmp_path / name, rows)
    query = tmp_path / name.replace("base", "query")
    query.write_bytes((tmp_path / name).read_bytes())
    data = load_dataset(str(tmp_path))
    assert np.array_equal(data.corpus.require_vectors(), rows.astype(np.float32))


def _lying_vecs(folder: Path) -> Path:
    path = write_vecs(folder / "base.fvecs", CORPUS)
    raw = bytearray(path.read_bytes())
    raw[3 * 36] = 9  # the header of row 3
    path.write_bytes(raw)
    return path


def _cut(name: str, drop: int) -> Write:
    def write(folder: Path) -> Path:
        path = (write_vecs if name.endswith("vecs") else write_bin)(folder / name, CORPUS)
        path.write_bytes(path.read_bytes()[: -drop or None])
        return path

    return write


def _bytes(name: str, content: bytes) -> Write:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (_lying_vecs, "row 3 says 9 dimensions, row 0 says 8"),
        (_cut("base.fvecs", 5), "no whole number of such rows"),
        (_bytes("base.fvecs", b""), "is empty"),
        (_bytes("base.fvecs", b"\xff\xff\xff\xff"), "says -1 dimensions"),
        (_cut("base.fbin", 4), "its header says 60 rows of 8 values, which is 1920 bytes, but 1916 follow"),
        (_bytes("base.fbin", b"\x01"), "has 1 bytes, less than its header"),
        (_bytes("base.fbin", bytes(8)), "says 0 rows of 0 values"),
        (_bytes("base.fbin", b"\xff" * 8), "says 4294967295 rows"),
        (_bytes("a.npy", b"\x93NUMPY"), "cannot be read as NumPy"),
        (_bytes("a.npz", b"PK"), "cannot be read as NumPy"),
        (_bytes("a.parquet", b"PAR1"), "cannot be read as Parquet"),
    ],
)
def test_damaged_vector_files_are_refused(tmp_path: Path, write: Write, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(str(write(tmp_path)))


def test_folders_that_do_not_say_which_file_is_which(tmp_path: Path, home_folder: Path) -> None:
    folder = home_folder / "downloads" / "crops"
    folder.mkdir(parents=True)
    write_bin(folder / "base.10.fbin", CORPUS[:10])
    write_bin(folder / "base.60.fbin", CORPUS)
    write_bin(folder / "questions.fbin", ASKED)
    write_bin(folder / "truth.ibin", nearest("l2").astype("<i4"))
    with pytest.raises(DataError, match=r"cannot tell which file to take of base\.10\.fbin, base\.60\.fbin"):
        load_dataset(str(folder))
    cards = home_folder / "cards" / "datasets"
    cards.mkdir(parents=True)
    text = 'name = "crops"\nsummary = "x"\nreader = "bigann"\nfile = "crops"\n[splits]\ntest = "questions.fbin"\n'
    (cards / "crops.toml").write_text(text + '[options]\nbase = "base.60.fbin"\ngroundtruth = "truth.ibin"\n')
    assert has_exact_neighbors(load_dataset("crops"))
    (cards / "crops.toml").write_text(text.replace("test =", "tune =") + '[options]\nbase = "base.60.fbin"\n')
    with pytest.raises(DataError, match=r"has no queries to judge on; .* \[splits\] test"):
        load_dataset("crops")
    (cards / "crops.toml").write_text(text + '[options]\nbase = "base.1.fbin"\n')
    with pytest.raises(CardError, match=r"there is no file 'base\.1\.fbin'"):
        load_dataset("crops")


def test_files_of_other_formats_are_not_misread(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"known suffixes: \.fvecs"):
        read_vecs(tmp_path / "a.fbin")
    with pytest.raises(DataError, match=r"known suffixes: \.fbin"):
        read_bin(tmp_path / "a.fvecs")


def test_npy_folder_and_npz(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"corpus": CORPUS, "queries": ASKED, "neighbors": nearest("l2")}
    (tmp_path / "folder").mkdir()
    for name, array in arrays.items():
        np.save(tmp_path / "folder" / f"{name}.npy", array)
    np.savez(tmp_path / "packed.npz", **arrays)
    folder, packed = load_dataset(str(tmp_path / "folder")), load_dataset(str(tmp_path / "packed.npz"))
    assert folder.fingerprint == packed.fingerprint
    assert isinstance(folder.corpus.vectors, np.memmap)
    assert has_exact_neighbors(folder)
    assert has_exact_neighbors(packed)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"vectors": CORPUS}, "has no 'corpus' array"),
        ({"corpus": CORPUS, "queries": ASKED[:, :3]}, "test queries have 3 dimensions, the corpus has 8"),
        ({"corpus": CORPUS, "queries": ASKED[:0]}, "holds no query"),
        ({"corpus": CORPUS[:0], "queries": ASKED}, "holds no document"),
        ({"corpus": np.array(["a", "b"])[:, None]}, "not numbers"),
        ({"corpus": CORPUS[:9]}, "9 rows are too few to hold queries out"),
        ({"corpus": np.where(CORPUS > 2, np.nan, CORPUS), "queries": ASKED}, "holds a NaN or infinite value"),
        ({"corpus": CORPUS, "queries": np.full((2, 8), np.inf)}, r"\(test queries\): row 0 holds a NaN or infinite"),
    ],
)
def test_bad_arrays_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message):
        load_dataset(str(tmp_path / "a.npz"))


def test_numbers_that_float32_would_round_keep_their_digits(tmp_path: Path) -> None:
    for wide in (CORPUS.astype(np.float64) / 3, (np.arange(480).reshape(60, 8) + (1 << 30)).astype(np.int64)):
        np.savez(tmp_path / "a.npz", corpus=wide, queries=ASKED)
        assert np.array_equal(load_dataset(str(tmp_path / "a.npz")).corpus.require_vectors(), wide)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read as NumPy arrays"):
        load_dataset(str(tmp_path / "a.npy"))


def test_queries_are_held_out_of_a_corpus_without_any(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", CORPUS)
    data = load_dataset(str(tmp_path / "a.npy"))
    assert (len(data.corpus), len(data.queries["test"]), len(data.queries["tune"])) == (48, 6, 6)
    parts = [data.corpus.require_vectors(), *(q.require_vectors() for q in data.queries.values())]
    assert {row.tobytes() for row in np.concatenate(parts)} == {row.tobytes() for row in CORPUS}
    assert load_dataset(str(tmp_path / "a.npy")).fingerprint == data.fingerprint


def _vectors(kind: pa.DataType, rows: npt.NDArray[Any] = CORPUS) -> pa.Array:
    return pa.array(rows.tolist(), type=kind)


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float32(), 8)])
def test_parquet_with_ids_and_texts(tmp_path: Path, kind: pa.DataType) -> None:
    n = len(CORPUS)
    table = pa.table({"id": list(range(n)), "text": [f"text {i}" for i in range(n)], "emb": _vectors(kind)})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=7)
    data = load_dataset(str(tmp_path / "a.parquet"))
    assert len(data.corpus) == 48
    parts: list[Corpus | Queries] = [data.corpus, *data.queries.values()]
    for part in parts:
        for key, text, vector in zip(part.ids, part.texts or (), part.require_vectors(), strict=True):
            assert text == f"text {key}"
            assert np.array_equal(vector, CORPUS[int(key)])


def test_parquet_folders(tmp_path: Path) -> None:
    kind = pa.list_(pa.float32())
    for i, rows in enumerate((CORPUS[:20], CORPUS[20:])):
        pq.write_table(pa.table({"vector": _vectors(kind, rows)}), tmp_path / f"part-{i}.parquet")
    parts = load_dataset(str(tmp_path))
    folder = tmp_path / "with_queries"
    folder.mkdir()
    pq.write_table(pa.table({"vector": _vectors(kind)}), folder / "corpus.parquet")
    pq.write_table(pa.table({"vector": _vectors(kind, ASKED)}), folder / "queries.parquet")
    data = load_dataset(str(folder))
    assert np.array_equal(data.corpus.require_vectors(), CORPUS)
    assert np.array_equal(data.queries["test"].require_vectors(), ASKED)
    np.save(tmp_path / "same.npy", CORPUS)
    assert parts.fingerprint == load_dataset(str(tmp_path / "same.npy")).fingerprint


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"vector": [[1.0, 2.0]] * 5 + [[1.0]]}, "row 5 has 1 dimensions, row 0 has 2"),
        ({"vector": [[1.0, 2.0]] * 5 + [None]}, "row 5 has no vector"),
        ({"vector": [[1.0, 2.0]] * 5 + [[None, 1.0]] + [[1.0, 2.0]] * 30}, "the vector in row 5 lacks a value"),
        ({"text": ["a", "b"]}, r"no clear column of vectors.*found: text \(string\)"),
        ({"a": [[1.0]], "b": [[2.0]]}, "no clear column of vectors"),
        ({"id": ["x"] * 20, "vector": [[1.0, 2.0]] * 20}, "the document id 'x' occurs more than once"),
        ({"id": [None] + ["x"] * 19, "vector": [[1.0, 2.0]] * 20}, "row 0 has nothing in the column 'id'"),
    ],
)
def test_bad_parquet_files_are_refused(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=message):
        load_dataset(str(tmp_path / "a.parquet"))
