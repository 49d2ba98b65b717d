"""The Matryoshka adaptor: a rotation that keeps neighbors better than it started, the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

torch = pytest.importorskip("torch")

from retrieval_bench.errors import ArtifactError, DataError, UsageError  # noqa: E402
from retrieval_bench.projections import Projection, fit_pca  # noqa: E402
from retrieval_bench.projections.adaptor import fit_adaptor, load_adaptor, prefix_loss, save_adaptor  # noqa: E402
from retrieval_bench.registry import indexes  # noqa: E402
from retrieval_bench.training.matryoshka_adaptor import pairs_of, train_adaptor  # noqa: E402
from retrieval_bench.types import (  # noqa: E402
    Budget,
    Corpus,
    Dataset,
    Examples,
    FloatArray,
    Metric,
    Qrels,
    Queries,
    RowIds,
)

D, DIMS = 24, (3, 6, 12)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(threads)


def _vectors(n: int, seed: int) -> FloatArray:
    """Topics spread over 20 directions, and in 4 others a noise that is louder than any one of them.

    Principal components follow the noise; neighbors are of one topic.
    """
    generator = np.random.default_rng(seed)
    topics = np.random.default_rng(1).standard_normal((60, 20)) * 0.7
    noise = generator.standard_normal((n, 4))
    return np.hstack([topics[generator.integers(60, size=n)], noise]).astype(np.float32)


@pytest.fixture(scope="module", params=["ip", "l2"])
def fitted(request: pytest.FixtureRequest) -> tuple[Metric, Projection]:
    return request.param, fit_adaptor(_vectors(600, 0), dims=DIMS, metric=request.param, seed=5)


def test_the_loss_on_held_out_vectors_falls(fitted: tuple[Metric, Projection]) -> None:
    metric, adaptor = fitted
    vectors, fresh = _vectors(600, 0), _vectors(100, 9)
    start = fit_pca(vectors, D, seed=5)
    before, after = (prefix_loss(p, fresh, vectors, dims=DIMS, metric=metric) for p in (start, adaptor))
    assert after < 0.97 * before


def test_all_dimensions_together_still_give_the_exact_score(fitted: tuple[Metric, Projection]) -> None:
    _, adaptor = fitted
    np.testing.assert_allclose(adaptor.query.T @ adaptor.query, np.eye(D), atol=1e-5)
    vectors, asked = _vectors(50, 2), _vectors(20, 3)
    scores = adaptor.queries(asked) @ adaptor.documents(vectors).T + (asked @ adaptor.mean)[:, None]
    np.testing.assert_allclose(scores, asked @ vectors.T, atol=1e-4)


def test_equal_seeds_give_equal_adaptors(fitted: tuple[Metric, Projection]) -> None:
    metric, adaptor = fitted
    again = fit_adaptor(_vectors(600, 0), dims=DIMS, metric=metric, seed=5)
    np.testing.assert_array_equal(again.query, adaptor.query)
    assert not np.allclose(fit_pca(_vectors(600, 0), D, seed=5).query, adaptor.query, atol=0.1)


def _judged() -> Dataset:
    """Each query is of one document: what they share stands in directions of little variance."""
    generator = np.random.default_rng(4)
    vectors = generator.standard_normal((300, D)).astype(np.float32)
    vectors[:, -6:] *= 1.8 / np.linalg.norm(vectors[:, -6:], axis=1, keepdims=True)
    asked = np.zeros_like(vectors)
    asked[:, -6:] = vectors[:, -6:]
    queries = Queries(ids=RowIds(300), vectors=asked, split="train")
    qrels = Qrels(offsets=np.arange(301), rows=np.arange(300), grades=np.ones(300, np.int64))
    return Dataset(
        name="judged",
        fingerprint="f",
        corpus=Corpus(ids=RowIds(300), vectors=vectors),
        queries={"train": queries},
        metric="ip",
        qrels={"train": qrels},
    )


def test_judged_pairs_bring_the_answer_into_the_prefix(tmp_path: Path) -> None:
    data = _judged()
    corpus, asked = data.corpus.require_vectors(), data.queries["train"].require_vectors()
    trained = train_adaptor(data, dims=[6], out=tmp_path / "adaptor.safetensors")

    def mean_rank(projection: Projection) -> float:
        scores = projection.queries(asked)[:, :6] @ projection.documents(corpus)[:, :6].T
        return float((scores > np.diagonal(scores)[:, None]).sum(axis=1).mean())

    assert mean_rank(trained) < 0.8 * mean_rank(fit_pca(corpus, D, seed=0))
    index = indexes.get("adanns_ivf")()
    wanted = index.BuildParams(nesting="adaptor", adaptor=str(tmp_path / "adaptor.safetensors"))  # type: ignore[call-arg]
    index.build(data.corpus, wanted, Budget(), metric="ip")
    np.testing.assert_array_equal(index._nesting.matrix, trained.query)  # type: ignore[attr-defined]


def test_a_saved_adaptor_comes_back_and_a_damaged_one_does_not(tmp_path: Path) -> None:
    file = tmp_path / "adaptor.safetensors"
    adaptor = fit_pca(_vectors(50, 0), D, seed=0)
    save_adaptor(file, adaptor)
    np.testing.assert_array_equal(load_adaptor(file).query, adaptor.query)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ArtifactError, match=str(file)):
        load_adaptor(file)


def test_a_backend_learns_an_adaptor_at_the_build() -> None:
    backend = indexes.get("adanns_ivf")
    index = backend()
    vectors = _vectors(400, 0)
    wanted = backend.BuildParams(nesting="adaptor", dim=12)  # type: ignore[call-arg]
    index.build(Corpus(ids=RowIds(400), vectors=vectors), wanted, Budget(), metric="ip")
    hits = index.search(Queries(ids=RowIds(30), vectors=_vectors(30, 8)), 5, index.SearchParams())
    assert index.memory().parts["vectors"] == 4 * 12 * 400
    assert (hits.rows >= 0).all()


def test_what_cannot_be_learned_from_is_refused() -> None:
    vectors = _vectors(50, 0)
    with pytest.raises(UsageError, match=r"\[25\] must be 1 to 24"):
        fit_adaptor(vectors, dims=[25], seed=0)
    with pytest.raises(DataError, match="2 vectors have no neighbors"):
        fit_adaptor(vectors[:2], dims=[3], seed=0)
    with pytest.raises(DataError, match="pairs of shapes"):
        fit_adaptor(vectors, dims=[3], pairs=(vectors[:3], vectors[:2]), seed=0)
    data = _judged()
    with pytest.raises(DataError, match="no judged split"):
        train_adaptor(replace(data, qrels={}), dims=[3])
    nothing = Qrels(offsets=np.arange(301), rows=np.full(300, 999), grades=np.ones(300, np.int64))
    with pytest.raises(DataError, match="no judged query has a relevant document"):
        pairs_of(data.corpus, Examples(queries=data.queries["train"], qrels=nothing))
