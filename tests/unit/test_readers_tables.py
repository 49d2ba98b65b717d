"""Tables of vectors: CSV and Parquet whose columns are the dimensions, and tables in several files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_up_files import gaussian

from retrieval_bench.datasets import load_dataset, notes_of
from retrieval_bench.errors import DataError
from retrieval_bench.types import Dataset

ROWS = gaussian(50, 3)
NAMES = [f"word{i}" for i in range(50)]


def everything(data: Dataset) -> tuple[list[str], np.ndarray]:
    assert data.held_out is not None
    every = data.held_out.put_back(data.corpus)
    return list(every.ids), every.require_vectors()


def lines(separator: str, *, names: bool, header: str = "") -> str:
    rows = [[NAMES[i], *map(repr, map(float, row))][not names :] for i, row in enumerate(ROWS)]
    return header + "".join(separator.join(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (lines(",", names=False), False),
        (lines(";", names=False, header="x;y;z\n"), False),
        (lines("\t", names=False, header="0\t1\t2\n"), False),
        (lines(",", names=True), True),
        (lines(",", names=True, header="id,x,y,z\n"), True),
        (lines(",", names=True, header=",0,1,2\n"), True),
        ("\ufeff" + lines(",", names=True, header='"word","x","y","z"\n'), True),
        (lines(",", names=False, header="title,year,included\n"), False),
    ],
)
def test_csv_of_vectors(tmp_path: Path, text: str, named: bool) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    data = load_dataset(str(tmp_path / "a.csv"))
    ids, vectors = everything(data)
    assert ids == (NAMES if named else [str(row) for row in range(50)])
    assert np.array_equal(vectors, ROWS)
    assert "3 columns of numbers are read as the vectors" in notes_of(data)[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (lines(",", names=True, header="a,a,b,c\n"), "no table of vectors"),
        ("x,y\n1,2\n3,\n" * 20, "no table of vectors|no value in the column 'y'"),
        ("x,y\n1,2\n3,\n", "row 1 has no value in the column 'y'"),
        ("x,y\n1,2\n3,4,5\n", "cannot be read as a table"),
        ("x,y\n1,2\n3,abc\n", r"no table of vectors.*y \(string\)|whose columns are numbers"),
        ("x,y\n1,2\n", "too few to hold queries out"),
    ],
)
def test_bad_csv_of_vectors(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=said):
        load_dataset(str(tmp_path / "a.csv"))


def test_a_csv_of_neither_says_what_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name,comment\nx,y\n")
    with pytest.raises(DataError, match="vectors"):
        load_dataset(str(tmp_path / "a.csv"))


def test_parquet_whose_columns_are_numbers(tmp_path: Path) -> None:
    columns = {f"x{i}": ROWS[:, i].astype(kind) for i, kind in enumerate((np.float64, np.float32, np.float64))}
    pq.write_table(pa.table(columns), tmp_path / "plain.parquet")
    pq.write_table(pa.table({"__index_level_0__": np.arange(100, 150), **columns}), tmp_path / "pandas.parquet")
    pq.write_table(pa.table({"name": NAMES, **columns}), tmp_path / "named.parquet")
    for name, ids in (("plain", range(50)), ("pandas", range(100, 150)), ("named", NAMES)):
        data = load_dataset(str(tmp_path / f"{name}.parquet"))
        found, vectors = everything(data)
        assert found == [str(i) for i in ids]
        assert np.array_equal(vectors, ROWS)
        assert "3 columns of numbers are read as the vectors: x0, x1, x2" in notes_of(data)[0]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            {"id": NAMES, "text": NAMES, "label": np.arange(50)},
            "no clear column of vectors.* for each dimension",
        ),
        ({"id": NAMES, "label": np.arange(50)}, "no clear column of vectors"),
        ({"text": NAMES, "other": NAMES, "x": np.arange(50), "y": np.arange(50)}, "no clear column of vectors"),
        ({"x": [1.0, None] * 25, "y": np.arange(50)}, "row 1 has no value in the column 'x'"),
    ],
)
def test_tables_that_may_be_something_else(tmp_path: Path, columns: dict[str, object], said: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=said):
        load_dataset(str(tmp_path / "a.parquet"))


def _part(folder: Path, name: str, rows: np.ndarray) -> None:
    pq.write_table(pa.table({"vector": list(rows)}), folder / f"{name}.parquet")


@pytest.mark.parametrize("first", [0, 1])
def test_tables_in_parts_keep_their_roles(tmp_path: Path, first: int) -> None:
    asked = gaussian(4, 3, seed=9)
    for i in range(2):
        _part(tmp_path, f"train-{first + i:02}-of-02", ROWS[25 * i : 25 * (i + 1)])
    _part(tmp_path, "test-00000-of-00001", asked)
    data = load_dataset(str(tmp_path))
    assert np.array_equal(data.corpus.require_vectors(), ROWS)
    assert np.array_equal(data.queries["test"].require_vectors(), asked)
    (tmp_path / f"train-{first + 1:02}-of-02.parquet").unlink()
    with pytest.raises(DataError, match=r"has 1 of the 2 parts of train\.parquet; get the others too"):
        load_dataset(str(tmp_path))


def test_one_part_alone_is_said_to_be_one(tmp_path: Path) -> None:
    _part(tmp_path, "train-00-of-02", ROWS)
    said = notes_of(load_dataset(str(tmp_path / "train-00-of-02.parquet")))
    assert said[0] == "train-00-of-02.parquet is one of 2 parts of a table; give its folder to read them all"


def test_parquet_claims_no_more_than_its_file_can_hold(tmp_path: Path) -> None:
    many = pa.array(np.zeros(1 << 23, np.int64))  # 64 MiB in a few pages of a few bytes
    table = pa.table({"x": many, "y": many, "z": many})
    pq.write_table(table, tmp_path / "a.parquet", data_page_size=1 << 30, write_batch_size=1 << 23)
    assert (tmp_path / "a.parquet").stat().st_size < 1 << 17
    with pytest.raises(DataError, match=r"a\.parquet: claims to hold 201,326,592 bytes"):
        load_dataset(str(tmp_path / "a.parquet"))


def test_texts_that_repeat_are_not_unpacked_beyond_what_a_file_can_hold(tmp_path: Path) -> None:
    names = pa.DictionaryArray.from_arrays(pa.array(np.zeros(4000, np.int32)), pa.array(["x" * 100_000]))
    table = pa.table({"text": names, "x": np.zeros(4000), "y": np.zeros(4000)})
    pq.write_table(table, tmp_path / "a.parquet", store_schema=False)  # 100 KB, which 4,000 rows repeat
    with pytest.raises(DataError, match="claims to hold"):
        load_dataset(str(tmp_path / "a.parquet"))
