"""Rankers that learn: fusion weights by hand, features by formula, LambdaMART on a set whose order can be learned."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval_bench import registry, specs
from retrieval_bench.contract import check_hits
from retrieval_bench.errors import ArtifactError, CardError, DataError
from retrieval_bench.quality import evaluate, ranked
from retrieval_bench.rankers import hybrid as hybrid_module
from retrieval_bench.rankers import ltr as ltr_module
from retrieval_bench.rankers._examples import grades_of
from retrieval_bench.rankers._fusing import learned_weights, scaled, weighted
from retrieval_bench.rankers._text_features import FEATURES, Terms
from retrieval_bench.rankers.hybrid import Fusion, HybridParams
from retrieval_bench.types import Budget, Corpus, Examples, FloatArray, Hits, Qrels, Queries, RowIds

CARDS = ("lucene", "lucene_rm3", "lucene_qld", "bm25_lucene", "dense_float32", "hybrid_weighted", "splade", "ltr",
         "knrm", "conv_knrm")  # fmt: skip


def hits_of(rows: list[list[int]], scores: list[list[float]]) -> Hits:
    return Hits(rows=np.array(rows, np.int64), scores=np.array(scores, np.float32))


def qrels_of(*relevant: Sequence[int]) -> Qrels:
    offsets = np.cumsum([0, *map(len, relevant)], dtype=np.int64)
    rows = np.array([row for each in relevant for row in each], np.int64)
    return Qrels(offsets=offsets, rows=rows, grades=np.ones(len(rows), np.int64))


def test_scores_are_scaled_within_each_query() -> None:
    inf = -np.inf
    found = scaled(hits_of([[3, 1, 2], [4, 5, -1], [7, 8, -1], [9, -1, -1], [-1, -1, -1]],
                           [[9, 6, 5], [2, 1, inf], [4, 4, inf], [3, inf, inf], [inf, inf, inf]]))  # fmt: skip
    expected = [[1, 0.25, 0], [1, 0, inf], [1, 1, inf], [1, inf, inf], [inf, inf, inf]]
    np.testing.assert_allclose(found.scores, np.array(expected, np.float32))


def test_weighted_fusion_by_hand() -> None:
    first, second = hits_of([[3, 1, 2]], [[1, 0.5, 0]]), hits_of([[1, 4, -1]], [[1, 0.5, -np.inf]])
    found = weighted([first, second], [0.8, 0.2], 4)
    assert found.rows.tolist() == [[3, 1, 4, 2]]
    np.testing.assert_allclose(found.scores, [[0.8, 0.6, 0.1, 0]], atol=1e-6)
    assert weighted([first, second], [1, 0], 4).rows.tolist() == [[3, 1, 2, -1]]


TEN = Corpus(ids=RowIds(10))


def test_the_better_ranking_gets_the_weight() -> None:
    good = hits_of([[1, 2], [3, 4]], [[1, 0], [1, 0]])  # where both weigh the same, the greater id would stand first
    bad = hits_of([[2, 1], [4, 3]], [[1, 0], [1, 0]])
    weights = learned_weights([good, bad], qrels_of([1], [3]), TEN)
    assert weights[0] > 0.5
    assert sum(weights) == pytest.approx(1)
    assert learned_weights([bad, good], qrels_of([1], [3]), TEN) == weights[::-1]
    third = learned_weights([bad, bad, good], qrels_of([1], [3]), TEN)
    assert third[2] > 0.5
    assert learned_weights([good], qrels_of([1], [3]), TEN) == (1.0,)


def test_equal_rankings_keep_equal_weights() -> None:
    good = hits_of([[1, 2]], [[1, 0]])
    assert learned_weights([good, good], qrels_of([1]), TEN) == (0.5, 0.5)


def test_weights_are_checked() -> None:
    for weights in ([0.5], [1, -1], [0, 0]):
        with pytest.raises(CardError, match="2 numbers, none below 0"):
            specs.params(HybridParams, {"weights": weights, "fusion": "weighted"}, where="test")
    with pytest.raises(CardError, match="finite number"):
        specs.params(HybridParams, {"weights": [math.nan, math.nan], "fusion": "weighted"}, where="test")
    with pytest.raises(CardError, match="weights belong to fusion = 'weighted'; rrf takes none"):
        specs.params(HybridParams, {"weights": [0.5, 0.5], "fusion": "rrf"}, where="test")


@settings(deadline=None)
@given(st.data())
def test_learned_weights_are_never_all_zero(data: st.DataObject) -> None:
    m = data.draw(st.integers(1, 3))
    order = st.permutations(range(5))
    rankings = [
        hits_of([data.draw(order)[:3] for _ in range(m)], [[1, 0.5, 0]] * m)
        for _ in range(data.draw(st.integers(1, 3)))
    ]
    weights = learned_weights(rankings, qrels_of(*([data.draw(st.integers(0, 9))] for _ in range(m))), TEN)
    assert sum(weights) == pytest.approx(1, abs=1e-5)
    assert min(weights) >= 0


def test_weights_that_no_question_tells_apart_are_equal_and_noted() -> None:
    corpus, examples, queries, _ = learnable()
    ranker = Fusion()
    params = HybridParams.model_validate({"rankers": ["bm25", "bm25"], "fusion": "weighted", "depth": 12})
    ranker.build(corpus, params, Budget(), examples=examples)
    assert ranker.params.weights == (0.5, 0.5)
    assert ranker.notes == [
        f"hybrid: no other weights are better on the {len(examples.queries)} questions: all are equal."
    ]
    check_hits(ranker.rank(queries, 40), len(queries), 40, len(corpus))


def test_grades_of_hits() -> None:
    qrels = Qrels(offsets=np.array([0, 2, 3]), rows=np.array([5, 1, 5]), grades=np.array([2, -1, 1]))
    found = grades_of(np.array([[5, 1, 9], [1, -1, 5]]), qrels)
    assert found.tolist() == [[2, 0, 0], [0, 0, 1]]


# A set whose order can be learned: the right document for a question is the one that opens with its words.

WORDS = ["crane", "steel", "bird", "list", "search", "index", "query", "vector", "rank", "graph", "tree", "field"]


def learnable() -> tuple[Corpus, Examples, Queries, Qrels]:
    """Pairs of words; long texts that repeat one word mislead BM25, short ones that hold both are right."""
    rng = np.random.default_rng(0)
    pairs = [(a, b) for i, a in enumerate(WORDS) for b in WORDS[i + 1 :]]
    texts, asked, right = list[str](), list[str](), list[int]()
    for a, b in pairs:
        filler = " ".join(rng.choice(WORDS, 6))
        right.append(len(texts))
        texts += [f"about {a} and {b} once {filler} {filler} {filler}", f"{a} {a} {a} {a} {a}", f"{b} {b} {b} {b} {b}"]
        asked.append(f"{a} {b}")
    corpus = Corpus(ids=[f"d{i}" for i in range(len(texts))], texts=texts)

    def part(which: range, split: str) -> tuple[Queries, Qrels]:
        ids = [f"q{i}" for i in which]
        return Queries(ids=ids, texts=[asked[i] for i in which], split=split), qrels_of(*([right[i]] for i in which))

    train, test = part(range(0, len(pairs), 2), "train"), part(range(1, len(pairs), 2), "test")
    return corpus, Examples(queries=train[0], qrels=train[1]), *test


class Letters:
    """Encodes a text by its letters."""

    name, revision, dim, precision, nbytes = "letters", "r1", 26, "float32", 1000

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> FloatArray:
        return np.array([[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts], np.float32)


@pytest.mark.parametrize(("name", "settings"), [("ltr", {"least": 5, "depth": 30}), ("hybrid", {"fusion": "weighted"})])
def test_what_learns_needs_examples(name: str, settings: dict[str, object]) -> None:
    ranker = registry.rankers.get(name)()
    params = specs.params(ranker.BuildParams, settings | ({"rankers": ["bm25"]} if name == "hybrid" else {}), where="")
    corpus, examples, *_ = learnable()
    for lacking in (None, Examples(queries=examples.queries), Examples(queries=examples.queries, qrels=qrels_of(
            *[[] for _ in examples.queries.ids]))):  # fmt: skip
        with pytest.raises(DataError, match="judged questions, and there are none: use a data set with a split"):
            ranker.build(corpus, params, Budget(), examples=lacking)


def test_ltr_learns_and_is_saved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    letters = Letters()
    monkeypatch.setattr(ltr_module, "load_encoder", lambda name: letters)
    corpus, examples, queries, qrels = learnable()
    ranker = ltr_module.Ltr()
    ranker.build(corpus, ltr_module.LtrParams(least=5, depth=30, trees=60), Budget(), examples=examples, seed=1)
    hits = ranker.rank(queries, 10)
    bm25 = registry.rankers.get("bm25")()
    bm25.build(corpus, bm25.BuildParams(), Budget())

    def quality(found: Hits) -> float:
        return float(evaluate(ranked(found, corpus), qrels, ["MRR@10"])["MRR@10"].mean())

    assert quality(hits) > quality(bm25.rank(queries, 10)) + 0.2
    ranker.save(tmp_path)
    loaded = ltr_module.Ltr.load(tmp_path)
    np.testing.assert_array_equal(loaded.rank(queries, 10).rows, hits.rows)
    assert loaded.rank(queries, 200).rows.shape == (len(queries), 200)
    (tmp_path / "trees" / "leaves.npy").write_text("no trees")
    with pytest.raises(ArtifactError, match=r"leaves\.npy"):
        ltr_module.Ltr.load(tmp_path)
    monkeypatch.setattr(letters, "revision", "r2", raising=False)
    with pytest.raises(ArtifactError, match="of revision r1, here it is r2"):
        ltr_module.Ltr.load(tmp_path)


def test_text_features_are_those_of_the_formulas() -> None:
    terms = Terms.of(["crane crane steel", "steel beams", "the of", "birds sing"])
    found = dict(zip(FEATURES, terms.features("cranes steel crane unknown", np.array([0]))[0].tolist(), strict=True))
    mean, n = 7 / 4, 4
    idf = {"crane": math.log(1 + (n - 1 + 0.5) / 1.5), "steel": math.log(1 + (n - 2 + 0.5) / 2.5)}
    norm = 0.9 * (0.6 + 0.4 * 3 / mean)
    assert found["bm25"] == pytest.approx(2 * idf["crane"] * 2 / (2 + norm) + idf["steel"] / (1 + norm), rel=1e-5)
    assert found["tf_sum"] == 3
    assert found["tf_max"] == 2
    assert found["idf_max"] == pytest.approx(idf["crane"])
    assert found["matched"] == 2
    assert found["matched_share"] == pytest.approx(2 / 3)
    assert found["query_terms"] == 3
    assert found["document_terms"] == pytest.approx(math.log(4))
    smoothed = {t: math.log(1 + tf / (1000 * share)) for t, tf, share in (("crane", 2, 2 / 7), ("steel", 1, 2 / 7))}
    kept = {t: max(0.0, s + math.log(1000 / 1003)) for t, s in smoothed.items()}
    assert found["query_likelihood"] == pytest.approx(2 * kept["crane"] + kept["steel"], rel=1e-4, abs=1e-6)
    assert not terms.features("", np.array([0, 1]))[:, : FEATURES.index("document_terms")].any()


def test_hybrid_learns_its_weights_and_keeps_them(tmp_path: Path) -> None:
    corpus, examples, queries, _ = learnable()
    parts = ["bm25", {"ranker": "bm25", "build": {"k1": 5, "b": 1}}]
    params = HybridParams.model_validate({"rankers": parts, "fusion": "weighted"})
    ranker = Fusion()
    ranker.build(corpus, params, Budget(), examples=examples)
    assert ranker.params.weights is not None
    assert sum(ranker.params.weights) == pytest.approx(1)
    ranker.save(tmp_path)
    loaded = hybrid_module.Fusion.load(tmp_path)
    np.testing.assert_array_equal(loaded.rank(queries, 5).rows, ranker.rank(queries, 5).rows)
    assert json.loads((tmp_path / "ranker.json").read_text())["params"]["weights"] == list(ranker.params.weights)


def test_how_many_are_asked_for_does_not_change_weighted_fusion() -> None:
    corpus, _, queries, _ = learnable()
    parts = ["bm25", {"ranker": "bm25", "build": {"k1": 5, "b": 1}}]
    params = {"rankers": parts, "fusion": "weighted", "weights": [0.3, 0.7], "depth": 12}
    ranker, n = Fusion(), len(corpus)
    ranker.build(corpus, HybridParams.model_validate(params), Budget())
    whole = ranker.rank(queries, n)
    check_hits(whole, len(queries), n, n)
    for k in (1, 10, 12, 40):
        found = ranker.rank(queries, k)
        np.testing.assert_array_equal(found.rows, whole.rows[:, :k])
        np.testing.assert_array_equal(found.scores[:, :10], whole.scores[:, : min(k, 10)])
    np.testing.assert_array_equal(np.sort(whole.rows), np.sort(ranker._parts[0].rank(queries, n).rows))  # all found


def test_a_ranker_without_weight_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, _, queries, _ = learnable()
    parts = ["bm25", {"ranker": "bm25", "build": {"k1": 5, "b": 1}}]
    params = {"rankers": parts, "fusion": "weighted", "weights": [1, 0], "depth": 12}
    ranker = Fusion()
    ranker.build(corpus, HybridParams.model_validate(params), Budget())
    first, second = ranker._parts
    monkeypatch.setattr(second, "rank", lambda *_: pytest.fail("asked"))
    for k in (5, 12, 40):
        np.testing.assert_array_equal(ranker.rank(queries, k).rows, first.rank(queries, k).rows)


@pytest.mark.parametrize("name", CARDS)
def test_the_cards_hold_valid_parameters(name: str) -> None:
    card = specs.system_card(name, "ranker")
    plugin = registry.rankers.get(card.backend)
    specs.params(plugin.BuildParams, card.build, where=name)
    assert not card.default
    assert card.source
