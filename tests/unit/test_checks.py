import numpy as np
import pytest

from retrieval_bench.checks import check_ids, check_k, check_vectors, normalised
from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.given import given_ids
from retrieval_bench.types import Corpus, Queries, RowIds


def good() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_names_its_row(value: float) -> None:
    vectors = good()
    vectors[4, 1] = value
    with pytest.raises(DataError, match=r"base\.fvecs: row 4 holds a NaN"):
        check_vectors(vectors, source="base.fvecs", metric="l2")


def test_zero_vectors_are_refused_under_cosine_only() -> None:
    vectors = good()
    vectors[2] = 0
    check_vectors(vectors, source="x", metric="l2")
    with pytest.raises(DataError, match="row 2 is a zero vector"):
        check_vectors(vectors, source="x", metric="cos")


@pytest.mark.parametrize(
    ("vectors", "expected"),
    [(np.zeros((0, 3)), "holds no vectors"), (np.zeros(3), "shape"), (np.ones((2, 4)), "4 dimensions, 3 are needed")],
)
def test_wrong_shapes(vectors: np.ndarray, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        check_vectors(vectors, source="x", metric="ip", dim=3)


def test_duplicate_and_absent_ids() -> None:
    check_ids(["a", "b"], source="x", what="document")
    check_ids(RowIds(3), source="x", what="document")
    with pytest.raises(DataError, match="'b' occurs more than once"):
        check_ids(["a", "b", "b"], source="x", what="document")
    with pytest.raises(DataError, match="holds no query"):
        check_ids([], source="x", what="query")


def test_whole_numbers_become_ids_and_other_types_are_named() -> None:
    for ids in ([7, 8], np.array([7, 8], np.uint8), ["7", np.int64(8)], np.array(["7", "8"])):
        found = given_ids(ids, source="x")
        assert found == ["7", "8"]
        assert {type(each) for each in found} == {str}
    assert given_ids(rows := RowIds(3), source="x") is rows
    for wrong, kind in ((8.0, "float"), (True, "bool"), (None, "NoneType"), (b"8", "bytes")):
        with pytest.raises(DataError, match=f"x: the id at place 1 is of the type {kind}"):
            given_ids(["7", wrong], source="x")


@pytest.mark.parametrize("k", [0, -1, 6])
def test_k_out_of_range(k: int) -> None:
    with pytest.raises(UsageError, match="1 to 5"):
        check_k(k, 5)


def test_normalised_survives_extreme_scales_and_leaves_its_input() -> None:
    vectors = good() * np.float32(1e30)
    vectors.setflags(write=False)
    assert np.allclose(np.linalg.norm(normalised(vectors), axis=1), 1)


def test_types_check_their_structure() -> None:
    with pytest.raises(DataError, match="2 ids but 6 vectors"):
        Corpus(ids=["a", "b"], vectors=good())
    with pytest.raises(DataError, match="float32"):
        Queries(ids=["a"], vectors=np.ones((1, 3), np.int64))
    with pytest.raises(DataError, match="has no texts"):
        Corpus(ids=RowIds(6), vectors=good()).require_texts()


def test_row_ids_behave_as_a_list_of_strings() -> None:
    ids = RowIds(4)
    assert list(ids) == ["0", "1", "2", "3"]
    assert list(ids[1:3]) == ["1", "2"]
    assert ids[-1] == "3"
    with pytest.raises(IndexError):
        ids[4]
