"""The CUR family: exact where the scores have low rank, never over its calls, and resumable."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from low_rank import ITEMS, RANK, asked, collection, exact

from retrieval_bench.errors import ArtifactError, BudgetError, DataError, ScorerError, UsageError
from retrieval_bench.rankers._cur.anchors import anchor_queries
from retrieval_bench.rankers._cur.factors import Known, calibrated, fitted, pivots, truncated, with_residuals
from retrieval_bench.rankers._cur.solve import coefficients, in_rounds
from retrieval_bench.rankers.cur import Cur, CurParams
from retrieval_bench.types import Budget, Corpus, Examples, FloatArray

rng = np.random.default_rng(0)
LEFT = rng.standard_normal((20, RANK)).astype(np.float32)
RIGHT = rng.standard_normal((RANK, 200)).astype(np.float32)
MATRIX: FloatArray = LEFT @ RIGHT
EXAMPLES = Examples(queries=asked(100, 40, "train"))


def built(params: dict[str, Any] | None = None, budget: dict[str, int] | None = None, **settings: Any) -> Cur:
    ranker = Cur()
    wanted = {"scorer": "low_rank", "scorer_settings": settings, "anchors": 12, "calls": 40, **(params or {})}
    ranker.build(collection(), CurParams.model_validate(wanted), Budget.model_validate(budget or {}), examples=EXAMPLES)
    return ranker


@pytest.mark.parametrize("ridge", [0.0, 1e-9])
def test_a_matrix_of_low_rank_is_recovered_exactly_from_a_few_items(ridge: float) -> None:
    row = rng.standard_normal(RANK).astype(np.float32) @ RIGHT
    items = np.arange(3, 3 + 2 * RANK)
    estimated = coefficients(MATRIX, items, row[items], ridge=ridge) @ MATRIX
    assert np.allclose(estimated, row, atol=1e-3)


def test_the_pseudo_inverse_is_the_cur_approximation() -> None:
    noisy = MATRIX + rng.standard_normal(MATRIX.shape).astype(np.float32)
    row, items = noisy[0], np.arange(8)
    expected = row[items] @ np.linalg.pinv(noisy[1:, items]) @ noisy[1:]
    assert np.allclose(coefficients(noisy[1:], items, row[items], ridge=0.0) @ noisy[1:], expected, atol=1e-3)


def test_a_strong_ridge_leaves_the_prior() -> None:
    prior = LEFT[0]
    u = coefficients(RIGHT, np.arange(10), np.zeros(10, np.float32), ridge=1e9, prior=prior)
    assert np.allclose(u, prior, atol=1e-3)


def test_rounds_spend_the_calls_they_have_on_items_not_yet_scored() -> None:
    truth = LEFT[3:5] @ RIGHT
    spent: list[int] = []

    def score(rows: Any) -> FloatArray:
        spent.append(rows.shape[1])
        found: FloatArray = np.take_along_axis(truth, rows, axis=1)
        return found

    first = np.tile(np.arange(7), (2, 1))
    rows, scores, estimates = in_rounds(MATRIX, first, score, calls=40, rounds=4, ridge=0.0)
    assert spent == [7, 9, 8, 8, 8]
    assert np.array_equal(scores, np.take_along_axis(truth, rows, axis=1))
    assert np.allclose(estimates, truth, atol=1e-3)
    for row, chosen in zip(truth, rows, strict=True):
        assert len(set(chosen.tolist())) == 40
        assert set(np.argsort(-row)[:25]) <= set(chosen.tolist())


def test_rounds_are_no_more_than_the_calls_left() -> None:
    first = np.arange(7)[None]
    rows, _, _ = in_rounds(MATRIX, first, lambda rows: MATRIX[0][rows], calls=9, rounds=5, ridge=0.0)
    assert rows.shape == (1, 9)
    rows, _, _ = in_rounds(MATRIX, first, lambda rows: MATRIX[0][rows], calls=7, rounds=5, ridge=0.0)
    assert rows.tolist() == first.tolist()


def test_pivots_span_the_columns() -> None:
    chosen = pivots(MATRIX, RANK)
    assert np.linalg.matrix_rank(MATRIX[:, chosen], tol=1e-3) == RANK
    assert len(pivots(MATRIX, 500)) == len(MATRIX)


def test_truncated_factors_keep_the_scores() -> None:
    factors = truncated(MATRIX, RANK)
    assert factors.shape == (RANK, 200)
    assert np.allclose(MATRIX @ np.linalg.pinv(factors) @ factors, MATRIX, atol=1e-2)


def test_fitted_factors_explain_sparse_scores_better_than_their_start() -> None:
    start = RIGHT + 0.5 * rng.standard_normal(RIGHT.shape).astype(np.float32)
    seen = [Known(np.sort(rng.permutation(200)[:100]), row) for row in MATRIX]
    known = [Known(rows, scores[rows]) for rows, scores in seen]
    factors = fitted(start, LEFT, known, ridge=0.01)

    def error(of: FloatArray) -> float:
        asked = [
            coefficients(of, rows, scores, ridge=0.01, prior=prior)
            for (rows, scores), prior in zip(known, LEFT, strict=True)
        ]
        return float(np.abs(np.stack(asked) @ of - MATRIX).mean())

    assert error(factors) < 0.3 * error(start)


def test_calibration_finds_the_line() -> None:
    known = [Known(np.arange(50), 3 * (LEFT[i] @ RIGHT[:, :50]) - 2) for i in range(4)]
    assert calibrated(LEFT, RIGHT, known) == pytest.approx((3, -2), abs=1e-3)


@pytest.mark.parametrize("method", ["anncur", "adacur", "axn"])
@pytest.mark.parametrize("first", ["pivoted", "random"])
def test_every_method_finds_the_exact_answers_under_a_scorer_of_low_rank(method: str, first: str) -> None:
    ranker = built({"method": method, "first": first, "factors": 2 * RANK, "ridge": 1e-6})
    queries = asked(0, 6)
    hits = ranker.rank(queries, 10)
    for i, text in enumerate(queries.texts or ()):
        truth = exact(text, [f"d{j}" for j in range(ITEMS)])
        assert hits.rows[i].tolist() == np.argsort(-truth)[:10].tolist()
        assert np.allclose(hits.scores[i], np.sort(truth)[::-1][:10], atol=1e-4)


def test_what_was_not_scored_follows_in_the_order_of_the_estimates() -> None:
    ranker = built({"ridge": 1e-6})
    hits = ranker.rank(asked(0, 1), ITEMS)
    assert sorted(hits.rows[0].tolist()) == list(range(ITEMS))
    truth = exact("q0", [f"d{j}" for j in range(ITEMS)])
    rest = truth[hits.rows[0][40:]]
    assert (np.diff(rest) <= 1e-3).all()


def test_calls_are_counted_by_the_scorer_and_stay_within_the_budget() -> None:
    ranker = built(budget={"scorer_calls": 40, "build_scorer_calls": 12 * ITEMS})
    assert ranker.build_scorer_calls == ranker.scorer_calls == 12 * ITEMS
    ranker.rank(asked(0, 7), 10)
    assert ranker.scorer_calls == 12 * ITEMS + 7 * 40


def test_what_is_left_open_is_chosen_from_the_budget_and_filled_in() -> None:
    ranker = built({"anchors": None, "calls": None}, {"scorer_calls": 33, "build_scorer_calls": 9 * ITEMS + 1})
    assert isinstance(ranker.params, CurParams)
    assert (ranker.params.anchors, ranker.params.calls) == (9, 33)
    assert ranker.build_scorer_calls == 9 * ITEMS


@pytest.mark.parametrize(
    ("params", "budget", "reason"),
    [
        ({}, {"build_scorer_calls": 12 * ITEMS - 1}, "12 anchor queries need 3600"),
        ({"anchors": None}, {"build_scorer_calls": ITEMS - 1}, "1 anchor queries need 300"),
        ({}, {"scorer_calls": 39}, "spends 40 scorer calls per query, the budget allows 39"),
    ],
)
def test_a_budget_too_small_is_refused_before_any_call(
    params: dict[str, Any], budget: dict[str, int], reason: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with pytest.raises(BudgetError, match=reason):
        built(params, budget, log=str(log))
    assert not log.exists()


@pytest.mark.parametrize(
    ("wrong", "reason"), [("nan", "gave nan"), ("short", "299"), ("raise", "the model fell over"), ("text", "<U")]
)
def test_a_scorer_that_goes_wrong_half_way_is_named(wrong: str, reason: str) -> None:
    with pytest.raises(ScorerError, match=rf"'low_rank'.*{reason}"):
        built(wrong=wrong, after=3 * ITEMS)


BUILD = """
import sys
sys.path[:0] = sys.argv[3:]
from test_cur import built
ranker = built(log=sys.argv[1], wrong=sys.argv[2], after=5 * 300)
print(ranker.build_scorer_calls, ranker.scorer_calls)
"""


def test_a_killed_build_goes_on_where_it_stopped(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def run(wrong: str) -> subprocess.CompletedProcess[str]:
        folders = [str(folder) for folder in Path(__file__).parents[:2]]
        command = [sys.executable, "-c", BUILD, str(log), wrong, *folders]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    killed = run("kill")
    assert killed.returncode == -9, killed.stderr
    assert log.read_text().split() == ["300"] * 6  # five queries were scored, the sixth was lost
    done = run("no")
    assert done.stdout.split() == ["3600", str(7 * ITEMS)], done.stderr
    assert log.read_text().split() == ["300"] * (6 + 7)
    again = run("no")
    assert again.stdout.split() == ["3600", "0"]


def test_a_saved_ranker_answers_alike_and_knows_its_scorer(tmp_path: Path) -> None:
    ranker = built()
    ranker.save(tmp_path)
    loaded = Cur.load(tmp_path)
    assert loaded.params == ranker.params
    assert loaded.build_scorer_calls == ranker.build_scorer_calls
    queries = asked(0, 5)
    assert np.array_equal(loaded.rank(queries, 20).rows, ranker.rank(queries, 20).rows)
    kept = tmp_path / "ranker.json"
    kept.write_text(kept.read_text().replace("low-rank-1", "low-rank-0"))
    with pytest.raises(ArtifactError, match="revision low-rank-0, here it is low-rank-1"):
        Cur.load(tmp_path)


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    built().save(tmp_path)
    np.save(tmp_path / "first.npy", np.array([ITEMS]))
    with pytest.raises(ArtifactError, match=f"holds {ITEMS} to {ITEMS}, beyond 0 to {ITEMS}"):
        Cur.load(tmp_path)


def test_without_examples_first_sentences_are_the_anchors() -> None:
    documents = ["One. Two.", "One. Other.", "Line\nnext", "   "]
    assert anchor_queries(None, documents) == ["One.", "Line"]
    assert anchor_queries(EXAMPLES, documents)[:2] == ["q100", "q101"]


def test_a_corpus_without_any_text_is_refused() -> None:
    params = CurParams(scorer="low_rank")
    with pytest.raises(DataError, match="nothing to score"):
        Cur().build(Corpus(ids=["a", "b"], texts=["", " "]), params, Budget())


def test_residual_rows_make_up_for_what_the_start_lacks() -> None:
    start, priors = RIGHT[:3], LEFT[:, :3]  # two of the five dimensions are missing
    factors = with_residuals(start, priors[:10], MATRIX[:10])
    assert factors.shape == (13, 200)
    row, items = MATRIX[15], np.arange(12)
    prior = np.pad(priors[15], (0, 10))
    assert np.allclose(coefficients(factors, items, row[items], ridge=0.0, prior=prior) @ factors, row, atol=1e-2)
    exact_start = with_residuals(RIGHT, LEFT, MATRIX * 0 + LEFT @ RIGHT)
    assert np.isfinite(exact_start).all()


def test_residual_needs_an_encoder() -> None:
    with pytest.raises(UsageError, match="needs a dual_encoder"):
        built({"method": "residual"})
