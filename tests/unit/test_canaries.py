"""Queries stored with an index come back with the hits that they had, short answers too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retrieval_bench.canaries import read_canaries, same_answer, write_canaries
from retrieval_bench.errors import ArtifactError
from retrieval_bench.types import Hits, Queries

HITS = Hits(
    rows=np.array([[4, 0, -1], [-1, -1, -1]]),
    scores=np.array([[2.0, 1.0, -np.inf], [-np.inf] * 3], np.float32),
)


@pytest.mark.parametrize("vectors", [True, False])
def test_canaries_come_back(vectors: bool, tmp_path: Path) -> None:
    asked = Queries(ids=["a", "é"], texts=["one", "two"], vectors=np.ones((2, 3), np.float32))
    write_canaries(tmp_path, asked, HITS, vectors=vectors)
    found = read_canaries(tmp_path, 5)
    assert found is not None
    queries, hits = found
    assert (list(queries.ids), list(queries.texts or [])) == (["a", "é"], ["one", "two"])
    assert (queries.vectors is not None) is vectors
    np.testing.assert_array_equal(hits.rows, HITS.rows)
    np.testing.assert_array_equal(hits.scores, HITS.scores)
    with pytest.raises(ArtifactError):
        read_canaries(tmp_path, 4)  # row 4 is not of four documents
    assert read_canaries(tmp_path / "none", 5) is None


def test_an_answer_is_the_same_up_to_rounding_and_no_further() -> None:
    rows, scores = np.array([3, 1, 2]), np.array([3.0, 2.0, 1.0], np.float32)
    assert same_answer(rows, scores, rows, scores + np.float32(1e-6))
    assert not same_answer(rows, scores, rows, scores + np.float32(0.1))
    assert not same_answer(rows, scores, np.array([3, 1, -1]), np.array([3.0, 2.0, -np.inf], np.float32))
    assert not same_answer(rows, scores, np.array([9, 1, 2]), scores), "its best document is lost"
    assert same_answer(rows, scores, np.array([3, 1, 9]), scores), "its last may give way to an equal one"
    none = np.array([-1, -1])
    assert same_answer(none, scores[:2], none, scores[:2])
