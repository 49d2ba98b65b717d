"""Reductions: what each promises about inner products and distances, and the drift check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from retrieval_bench.datasets import load_dataset
from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.projections import (
    Projection,
    fit_eigenvector_search,
    fit_frank_wolfe,
    fit_pca,
    fit_query_aware,
    fit_random_rotation,
)
from retrieval_bench.projections._moments import loss, second_moment, shrunk_moment
from retrieval_bench.projections.drift import check_drift, profile_queries
from retrieval_bench.types import Dataset, FloatArray

LEARNING = {
    "query_aware": fit_query_aware,
    "eigenvector_search": fit_eigenvector_search,
    "frank_wolfe": fit_frank_wolfe,
}


@pytest.fixture(scope="module")
def shifted() -> Dataset:
    return load_dataset("synthetic-ood", rows=4000)


@pytest.fixture(scope="module")
def alike() -> Dataset:
    return load_dataset("synthetic", rows=4000)


def _parts(data: Dataset) -> tuple[FloatArray, FloatArray, FloatArray]:
    return (
        data.corpus.require_vectors(),
        data.queries["train"].require_vectors(),
        data.queries["test"].require_vectors(),
    )


def _error(projection: Projection, vectors: FloatArray, queries: FloatArray) -> float:
    """Mean squared error of the centred inner products, relative to their mean square."""
    true = queries @ (vectors - projection.mean).T
    return float(
        np.mean((projection.queries(queries) @ projection.documents(vectors).T - true) ** 2) / np.mean(true**2)
    )


def _fits(vectors: FloatArray, queries: FloatArray) -> dict[str, Callable[..., Projection]]:
    made: dict[str, Callable[..., Projection]] = {
        "pca": partial(fit_pca, vectors, seed=0),
        "random_rotation": partial(fit_random_rotation, vectors, seed=0),
    }
    for name, fit in LEARNING.items():
        made[name] = partial(fit, vectors, queries, seed=0)
    return made


@pytest.mark.parametrize("name", ["pca", "random_rotation", *LEARNING])
def test_all_dimensions_lose_nothing(shifted: Dataset, name: str) -> None:
    vectors, train, test = _parts(shifted)
    projection = _fits(vectors, train)[name](dim=vectors.shape[1])
    assert _error(projection, vectors, test) < 1e-8
    turned = projection.rotated(5)
    np.testing.assert_allclose(
        turned.queries(test[:5]) @ turned.documents(vectors[:9]).T,
        projection.queries(test[:5]) @ projection.documents(vectors[:9]).T,
        atol=1e-4,
    )


def test_learned_from_queries_beats_pca_out_of_distribution_and_all_beat_the_control(shifted: Dataset) -> None:
    vectors, train, test = _parts(shifted)
    errors = {name: _error(fit(dim=24), vectors, test) for name, fit in _fits(vectors, train).items()}
    assert errors["query_aware"] < 0.5 * errors["pca"]
    assert errors["query_aware"] <= 1.01 * min(errors.values())
    assert errors["frank_wolfe"] <= errors["eigenvector_search"] * 1.001
    assert errors["random_rotation"] > 5 * errors["pca"]


def test_the_closed_form_is_the_optimum(shifted: Dataset) -> None:
    vectors, train, _ = _parts(shifted)
    best = fit_query_aware(vectors, train, 12, seed=0)
    moments = shrunk_moment(train), second_moment(vectors, best.mean)
    least = loss(*moments, best.query.astype(np.float64), best.database.astype(np.float64))
    generator = np.random.default_rng(1)
    for _ in range(20):  # a step in any direction makes it worse
        step = [1e-2 * np.abs(m).mean() * generator.standard_normal(m.shape) for m in (best.query, best.database)]
        assert loss(*moments, best.query + step[0], best.database + step[1]) > least


@pytest.mark.parametrize("queries", [1, 3, 20])
def test_fewer_queries_than_dimensions_still_give_finite_matrices(shifted: Dataset, queries: int) -> None:
    vectors, train, test = _parts(shifted)
    projection = fit_query_aware(vectors, train[:queries], 32, seed=0)
    assert np.isfinite(projection.query).all()
    assert np.isfinite(projection.database).all()
    assert _error(projection, vectors, test) < 0.5
    assert np.isfinite(fit_query_aware(vectors, np.tile(train[:1], (50, 1)), 32, seed=0).query).all()


def test_distances_follow_from_centred_products(alike: Dataset) -> None:
    vectors, _, test = _parts(alike)
    projection = fit_pca(vectors, 32, seed=0)
    centred = vectors - projection.mean
    products = projection.queries(test, metric="l2") @ projection.documents(vectors).T
    estimate = (
        2 * (products - np.square(centred).sum(axis=1) / 2) - np.square(test - projection.mean).sum(axis=1)[:, None]
    )
    true = -np.square(test[:, None] - vectors[None, :200]).sum(axis=2)
    assert np.abs(estimate[:, :200] - true).mean() < 0.05 * true.std()


def test_unit_documents_have_length_one_and_zero_rows_stay(alike: Dataset) -> None:
    vectors = alike.corpus.require_vectors()[:100].copy()
    projection = fit_pca(vectors, 8, seed=0, center=False)
    vectors[3] = 0
    lengths = np.linalg.norm(projection.documents(vectors, unit=True), axis=1)
    assert lengths[3] == 0
    np.testing.assert_allclose(np.delete(lengths, 3), 1, atol=1e-5)


def test_principal_components_are_in_order_and_nested(alike: Dataset) -> None:
    vectors = alike.corpus.require_vectors()
    wide, narrow = fit_pca(vectors, 20, seed=0), fit_pca(vectors, 5, seed=0)
    spread = wide.documents(vectors).var(axis=0)
    assert (np.diff(spread) <= 1e-4).all()
    np.testing.assert_allclose(wide.query[:, :5], narrow.query, atol=1e-4)


@pytest.mark.parametrize("dim", [0, 65])
@pytest.mark.parametrize("name", ["pca", "random_rotation", *LEARNING])
def test_dimensions_out_of_range_are_refused(shifted: Dataset, name: str, dim: int) -> None:
    vectors, train, _ = _parts(shifted)
    with pytest.raises(UsageError, match=f"cannot reduce 64 dimensions to {dim}"):
        _fits(vectors, train)[name](dim=dim)


def test_nothing_to_learn_from_is_refused(shifted: Dataset) -> None:
    vectors, train, _ = _parts(shifted)
    with pytest.raises(DataError, match="needs vectors"):
        fit_pca(vectors[:0], 4, seed=0)
    with pytest.raises(DataError, match="training queries"):
        fit_query_aware(vectors, train[:0], 4, seed=0)
    made = fit_pca(vectors, 4, seed=0)
    with pytest.raises(DataError, match="must be one"):
        replace(made, database=made.database[:, :2])


def test_drift_is_told_from_none(alike: Dataset, shifted: Dataset) -> None:
    vectors, train, test = _parts(alike)
    profile = profile_queries(vectors, train, seed=0)
    same = check_drift(profile, test)
    assert not same.drifted
    assert 0.9 < same.distance_ratio < 1.1
    assert 0.95 < same.kept_ratio < 1.05
    other = check_drift(profile, shifted.queries["test"].require_vectors())
    assert other.drifted
    assert other.p_value < 1e-6
    assert other.kept_ratio < 0.8
    _, asked, again = _parts(shifted)
    assert not check_drift(profile_queries(vectors, asked, seed=0), again).drifted


def test_false_alarms_are_as_rare_as_the_level_says(alike: Dataset) -> None:
    vectors, train, test = _parts(alike)
    for size in (60, 1000):  # few queries of many dimensions must not look like others of their kind
        profile = profile_queries(vectors, train[:size], seed=0)
        alarms = [check_drift(profile, test[i::10], level=0.05).drifted for i in range(10)]
        assert sum(alarms) <= 3


def test_too_few_queries_to_tell_a_drift(alike: Dataset) -> None:
    vectors, train, test = _parts(alike)
    with pytest.raises(DataError, match="39 training queries are too few"):
        profile_queries(vectors, train[:39], seed=0)
    with pytest.raises(DataError, match="19 queries are too few"):
        check_drift(profile_queries(vectors, train[:40], seed=0), test[:19])
