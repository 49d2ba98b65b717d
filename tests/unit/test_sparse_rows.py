"""Rows with the least score of all, which a fast scan never returns, are found where every list is probed."""

from __future__ import annotations

import numpy as np
import pytest

import retrieval_bench as rb
from retrieval_bench.indexes.ivf_pq import IvfPq, IvfPqBuild, IvfPqSearch
from retrieval_bench.types import Budget, Corpus, Queries, RowIds


@pytest.mark.parametrize("refine", ["float32", "none"])
def test_every_list_of_one_hot_rows_gives_k_hits(refine: str) -> None:
    rng = np.random.default_rng(0)
    vectors = np.zeros((300, 16), np.float32)
    vectors[np.arange(300), rng.integers(0, 16, 300)] = 1
    asked = Queries(ids=RowIds(16), vectors=np.eye(16, dtype=np.float32))
    index = IvfPq()
    wanted = IvfPqBuild.model_validate({"lists": 4, "bits": 4, "refine": refine})
    index.build(Corpus(ids=RowIds(300), vectors=vectors), wanted, Budget(), metric="ip", seed=0)
    hits = index.search(asked, 40, IvfPqSearch(nprobe=4, refine_factor=4))
    assert (hits.rows >= 0).all()
    assert all(len(set(row)) == 40 for row in hits.rows.tolist())
    if refine == "float32":
        exact = -np.sort(-(np.eye(16, dtype=np.float32) @ vectors.T), axis=1)[:, :40]
        np.testing.assert_array_equal(hits.scores, exact)


@pytest.mark.parametrize("backend", ["ivf_opq", "adanns_opq"])
def test_a_rotation_of_fewer_rows_than_dimensions_is_trained(backend: str) -> None:
    vectors = np.random.default_rng(0).normal(size=(300, 384)).astype(np.float32)
    assert (rb.build(backend, vectors).search(vectors[:3], k=5).rows >= 0).all()
