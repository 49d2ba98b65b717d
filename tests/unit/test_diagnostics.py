"""Diagnostics against what is known of made-up data."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from retrieval_bench.datasets import exact_neighbors
from retrieval_bench.diagnostics import (
    contamination,
    difficulty,
    distribution,
    interpolation,
    judgments,
    labels,
    metrics,
    slices,
    tail,
)
from retrieval_bench.diagnostics.energy import energy_per_query
from retrieval_bench.diagnostics.throughput import Point, best_batch, landscape
from retrieval_bench.errors import UsageError
from retrieval_bench.measure.clock import Effort
from retrieval_bench.measure.energy import Meter, joules, meters
from retrieval_bench.quality import Ranking
from retrieval_bench.records.section import Section, shown
from retrieval_bench.types import Qrels

RNG = np.random.default_rng(0)


def normal(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


class TestDifficulty:
    def test_rank_me_counts_the_directions_that_carry_the_vectors(self) -> None:
        flat = normal(4000, 32)
        assert difficulty.rank_me(flat) == pytest.approx(32, rel=0.02)
        assert difficulty.rank_me(normal(4000, 4) @ normal(4, 32, 1)) < 5
        wide = normal(20, 300)
        assert difficulty.rank_me(wide) <= 20

    def test_intrinsic_dimension_is_that_of_the_plane_the_points_lie_in(self) -> None:
        for true in (2, 6):
            points = (RNG.random((6000, true)) @ RNG.normal(size=(true, 20))).astype(np.float32)
            near = exact_neighbors(points, points[:300], 60, "l2").rows
            found = difficulty.intrinsic_dimension(difficulty.euclidean(points[:300], points, near))
            assert np.median(found) == pytest.approx(true, rel=0.2)

    def test_hubs_come_with_dimensions(self) -> None:
        def skew(d: int) -> float:
            points = normal(1500, d)
            return difficulty.hubness(difficulty.others(exact_neighbors(points, points, 11, "l2").rows), 1500)

        assert skew(3) < 0.5 < 2 < skew(200)
        assert difficulty.hubness(np.array([[0], [1]]), 2) == 0

    def test_a_row_is_no_neighbor_of_itself_wherever_it_stands(self) -> None:
        assert difficulty.others(np.array([[0, 1, 2], [0, 1, 2], [0, 1, 3], [2, 0, 3]])).tolist() == [
            [1, 2], [0, 2], [0, 1], [2, 0]
        ]  # fmt: skip

    def test_contrast_falls_with_dimensions(self) -> None:
        def contrast(d: int) -> float:
            points, queries = normal(1000, d), normal(50, d, 1)
            near = difficulty.euclidean(queries, points, exact_neighbors(points, queries, 1, "l2").rows)
            return difficulty.relative_contrast(near[:, 0], difficulty.mean_distance(queries, points))

        assert contrast(2) > 10
        assert 1 < contrast(300) < 1.3


class TestLabels:
    @staticmethod
    def one_each(rows: np.ndarray) -> Qrels:
        return Qrels(offsets=np.arange(len(rows) + 1), rows=rows.astype(np.int64), grades=np.ones(len(rows), np.int64))

    def made(self, kept: int, d: int = 32) -> tuple[np.ndarray, np.ndarray, Qrels]:
        """Documents of full rank; each query is its document in the first ``kept`` directions and noise in others."""
        corpus, queries = normal(2000, d), normal(1000, d, 1)
        queries[:, :kept] = corpus[:1000, :kept]
        return queries, corpus + 5, self.one_each(np.arange(1000))  # the mean is no agreement

    def test_the_rank_of_what_agrees_is_that_of_the_shared_directions(self) -> None:
        few, many = (labels.label_agreement(*self.made(kept), metric="l2") for kept in (4, 32))
        assert few is not None
        assert many is not None
        assert difficulty.rank_me(self.made(4)[1] - 5) > 30  # all documents' directions vary
        assert 4 < few.rank < 20 < 30 < many.rank <= many.most == 32
        assert (few.queries, few.pairs) == (1000, 1000)

    def test_agreement_is_chance_without_a_relation_and_one_with_a_perfect_one(self) -> None:
        corpus, queries = normal(2000, 16), normal(800, 16, 1)
        chance = labels.label_agreement(queries, corpus, self.one_each(np.arange(800)))
        assert chance is not None
        assert chance.interval[0] < 0.5 < chance.interval[1]
        assert chance.interval[1] - chance.interval[0] < 0.1
        for metric in ("ip", "l2"):
            same = labels.label_agreement(10 * corpus[:800], 10 * corpus, self.one_each(np.arange(800)), metric=metric)
            assert same is not None
            assert same.share > 0.95

    def test_every_query_counts_the_same_and_the_irrelevant_do_not(self) -> None:
        corpus = np.array([[1], [2], [3], [0]], np.float32)
        queries = np.array([[1], [-1], [2]], np.float32)
        # The best document for the first, the best two of -x for the second (0 and -1), and for the third none.
        qrels = Qrels(offsets=np.array([0, 2, 4, 5]), rows=np.array([2, 1, 3, 0, 9]), grades=np.array([1, 0, 1, 1, 1]))
        found = labels.label_agreement(queries, corpus, qrels)
        assert found is not None
        assert (found.share, found.interval) == (1.0, (1.0, 1.0))
        assert (found.queries, found.pairs, found.most) == (2, 3, 1)

    def test_without_two_judged_queries_there_is_none(self) -> None:
        assert labels.label_agreement(normal(2, 4), normal(5, 4), self.one_each(np.array([1, 5]))) is None
        with pytest.raises(UsageError, match="do not go together"):
            labels.label_agreement(normal(3, 4), normal(5, 4), self.one_each(np.array([1, 2])))


class TestDistribution:
    def test_a_query_like_the_corpus_is_at_distance_one(self) -> None:
        mix = normal(16, 16, 5)
        corpus, alike = normal(5000, 16) @ mix, normal(500, 16, 1) @ mix
        assert distribution.mahalanobis(alike, corpus).queries.mean() == pytest.approx(1, abs=0.05)
        assert distribution.mahalanobis(alike + 3 * mix[0], corpus).queries.mean() > 1.15

    @pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
    def test_few_rows_of_many_dimensions_tell_their_own_kind_from_another(self, decay: float) -> None:
        scale = ((1 + np.arange(384)) ** -decay).astype(np.float32)
        corpus, alike = normal(200, 384) * scale, normal(100, 384, 1) * scale
        same = distribution.mahalanobis(alike, corpus)
        assert np.median(same.queries) == pytest.approx(1, abs=0.05)
        assert 0.3 < same.beyond < 0.7
        assert not same.foreign
        assert distribution.mahalanobis(1.3 * alike, corpus).foreign
        aside = 0.5 * np.sqrt((scale**2).sum() / 384)  # in all directions, half a standard deviation of the whole
        assert distribution.mahalanobis(alike + aside, corpus).foreign

    def test_spread_is_drawn_to_the_round_as_ledoit_and_wolf_do(self) -> None:
        covariance = pytest.importorskip("sklearn.covariance")
        for n, d in ((20, 60), (500, 8)):
            rows = normal(n, d) @ normal(d, d, 1)
            _, found = distribution._moments(rows)
            assert np.allclose(found, covariance.ledoit_wolf(rows.astype(np.float64))[0])

    def test_a_corpus_without_spread_is_held_against_all_the_same(self) -> None:
        flat = np.ones((50, 8), np.float32)
        assert not distribution.mahalanobis(flat, flat).foreign
        assert distribution.mahalanobis(flat + 1, flat).foreign
        with pytest.raises(UsageError, match="3 rows has no spread"):
            distribution.mahalanobis(flat, flat[:3])

    def test_frechet_is_zero_for_the_same_and_known_for_a_shift(self) -> None:
        corpus = normal(20_000, 4)
        assert distribution.frechet(normal(20_000, 4, 1), corpus) < 0.01
        shifted = normal(20_000, 4, 2) + np.array([2, 0, 0, 0], np.float32)
        assert distribution.frechet(shifted, corpus) == pytest.approx(4 / 4, rel=0.05)
        assert distribution.frechet(3 * normal(20_000, 4, 3), corpus) == pytest.approx(4, rel=0.05)  # (3 - 1)^2
        assert distribution.frechet(normal(100, 384, 1), normal(200, 384)) < 0.05


class TestSlicesAndTail:
    def test_slices_part_what_differs_and_keep_equals_together(self) -> None:
        feature = np.repeat([1.0, 2.0, 3.0, 10.0], 25)
        parts = slices.by_feature(feature / 10 + np.tile([0, 0.01, 0.02, 0.03, 0.04], 20), feature, bins=4)
        assert [(p.low, p.high, p.n) for p in parts] == [(1, 1, 25), (2, 2, 25), (3, 3, 25), (10, 10, 25)]
        assert parts[3].mean == pytest.approx(1.02)
        assert parts[3].mean_low < 1.02 < parts[3].mean_high
        uneven = slices.by_feature(np.zeros(100), np.arange(100.0), bins=3)
        assert sum(p.n for p in uneven) == 100
        assert all(a.high < b.low for a, b in itertools.pairwise(uneven))

    def test_rare_words_are_rare(self) -> None:
        corpus = ["the cat"] * 9 + ["the okapi"]
        rarity = slices.rarity(["the", "cat", "Okapi!", "unseen", ""], corpus)
        assert rarity[4] == 0.0
        assert (np.diff(rarity[:4]) > 0).all()
        assert slices.lengths(["a b, c", ""]).tolist() == [3, 0]

    def test_clusters_are_found(self) -> None:
        centres = 20 * normal(3, 8)
        true = np.repeat([0, 1, 2], [60, 30, 10])
        label = slices.clusters((centres[true] + normal(100, 8, 1)).astype(np.float32), k=3, seed=1)
        assert [len(set(label[true == c])) for c in range(3)] == [1, 1, 1]
        assert label[0] == 0

    def test_two_systems_of_one_mean_differ_in_their_tails(self) -> None:
        even, uneven = np.full(100, 0.9), np.repeat([1.0, 0.0], [90, 10])
        assert even.mean() == pytest.approx(uneven.mean())
        assert (tail.robustness(even, 0.5), tail.robustness(uneven, 0.5)) == (1.0, 0.9)
        assert tail.worst(uneven)[1][:2] == (5, 0.0)
        with pytest.raises(UsageError, match="delta"):
            tail.robustness(even, 0.0)


class TestGeneralisation:
    def test_a_ranker_that_only_knows_its_neighborhood_drops(self) -> None:
        train, test = normal(50, 8), normal(400, 8, 1)
        near = interpolation.similarity_to_training(test, train)
        assert near == pytest.approx(
            [max(np.dot(q, t) / np.linalg.norm(q) / np.linalg.norm(t) for t in train) for q in test], abs=1e-5
        )
        found = interpolation.generalisation(near + RNG.normal(0, 0.01, 400), near)
        assert found.interpolation > found.extrapolation
        assert found.drop_interval[0] > 0
        assert found.n == 120
        steady = interpolation.generalisation(RNG.random(400), near)
        assert steady.drop_interval[0] < 0 < steady.drop_interval[1]

    def test_what_makes_no_sense_is_refused(self) -> None:
        with pytest.raises(UsageError, match="too few"):
            interpolation.generalisation([0.1, 0.2, 0.3], [1, 2, 3])


class TestContamination:
    training = ("It is a truth universally acknowledged, that a single man", "in want of a wife")

    def test_spans_are_found_whatever_their_case_and_marks(self) -> None:
        found = contamination.overlap(
            ["Prove: a truth, universally ACKNOWLEDGED that", "a wife", "a husband", ""], self.training, n=3
        )
        assert found.longest.tolist() == [5, 2, 0, 0]
        assert found.share.tolist() == pytest.approx([5 / 6, 1, 0, 0])

    def test_words_in_another_order_are_no_span(self) -> None:
        assert contamination.overlap(["acknowledged universally truth a"], self.training, n=3).share[0] == 0

    def test_benefit_is_the_difference_between_dirty_and_clean(self) -> None:
        dirty = np.arange(300) < 100
        gain, low, high = contamination.benefit(RNG.normal(0.5, 0.1, 300) + 0.2 * dirty, dirty)
        assert low < 0.2 < high
        assert gain == pytest.approx(0.2, abs=0.04)
        assert np.isnan(contamination.benefit([0.1, 0.2], [True, True])).all()

    def test_a_query_is_touched_by_its_relevant_documents_only(self) -> None:
        qrels = Qrels(  # relevant and contaminated; relevant and clean; judged not relevant; none judged; not there
            offsets=np.array([0, 2, 3, 4, 4, 5]), rows=np.array([0, 2, 2, 1, 7]), grades=np.array([1, 1, 1, 0, 1])
        )
        some, among = contamination.relevant_among(qrels, [True, True, False])
        assert some.tolist() == [True, True, False, False, False]
        assert among.tolist() == [True, False, False, False, False]


class TestJudgments:
    qrels = Qrels(offsets=np.array([0, 2]), rows=np.array([5, 7]), grades=np.array([1, 0]))

    @staticmethod
    def ranking(*rows: int) -> Ranking:
        return Ranking(rows=np.array([rows]), scores=-np.arange(len(rows), dtype=np.float32)[None])

    def test_condensed_lists_leave_the_unjudged_out(self) -> None:
        found = judgments.reach(self.ranking(1, 5, 2, 7, 3), self.qrels, k=2)
        assert found.judged == 0.5
        assert found.usual == pytest.approx(1 / np.log2(3))
        assert found.condensed == 1.0
        assert found.bias > 0

    def test_where_all_is_judged_there_is_no_bias(self) -> None:
        assert judgments.reach(self.ranking(7, 5), self.qrels, k=2).bias == 0


class TestMetrics:
    def test_agreement_is_kendalls_tau(self) -> None:
        assert metrics.agreement({"a": [1, 2, 3], "b": [2, 3, 4], "c": [3, 2, 1]}) == {
            ("a", "b"): 1, ("a", "c"): -1, ("b", "c"): -1
        }  # fmt: skip

    def test_noise_is_not_believed_and_a_large_difference_is(self) -> None:
        alike = RNG.random((6, 60))
        clear = alike + np.arange(6)[:, None]
        assert metrics.believable_difference(clear) < 1.2
        assert metrics.believable_difference(alike) > 0.05


def test_the_smallest_batch_that_gains_nothing_by_growing_is_advised() -> None:
    points = [Point(batch=b, words=8, rate=r, low=r * 0.95, high=r * 1.05) for b, r in [(1, 10), (4, 97), (16, 100)]]
    assert best_batch(points) == {8: 4}
    seen: list[int] = []
    found = landscape(lambda texts: seen.append(len(texts)), sizes=(1, 3), words=(2,), effort=Effort(seconds=0.0))
    assert [(p.batch, p.words) for p in found] == [(1, 2), (3, 2)]
    assert set(seen) == {1, 3}


class TestEnergy:
    def test_a_counter_that_wraps_is_read_rightly(self, tmp_path: Path) -> None:
        package = tmp_path / "intel-rapl:0"
        package.mkdir()
        (tmp_path / "intel-rapl:0:0").mkdir()
        for name, text in (("energy_uj", "900"), ("name", "package-0"), ("max_energy_range_uj", "1000")):
            (package / name).write_text(text)
        (meter,) = [m for m in meters(tmp_path) if m.name.startswith("cpu")]
        spent = joules(lambda: (package / "energy_uj").write_text("200"), [meter], seconds=0)
        assert spent.joules == {"cpu package-0": pytest.approx(300e-6)}
        assert spent.calls == 1

    def test_the_queries_answered_are_counted_and_idling_lasts_as_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = [0.0]

        def passes(seconds: float) -> None:
            now[0] += seconds

        clock = SimpleNamespace(perf_counter=lambda: now[0], sleep=passes)
        monkeypatch.setattr("retrieval_bench.measure.energy.time", clock)
        monkeypatch.setattr("retrieval_bench.diagnostics.energy.time", clock)
        even = Meter(name="100 W at any time", read=lambda: round(now[0] * 100e6))
        uneven = Meter(name="50 W more while it answers", read=lambda: round((now[0] * 100 + worked[0] * 50) * 1e6))
        worked = [0.0]

        def answer() -> int:
            passes(0.7)  # a batch of ten queries; the second of them ends 0.4 s after the time asked for
            worked[0] += 0.7
            return 10

        found = energy_per_query(answer, [even, uneven], seconds=1.0)
        assert [f.joules for f in found] == pytest.approx([7.0, 10.5])
        assert [f.above_idle for f in found] == pytest.approx([0.0, 3.5])

    def test_where_nothing_can_be_read_there_is_nothing(self, tmp_path: Path) -> None:
        assert [m for m in meters(tmp_path) if m.name.startswith("cpu")] == []


def test_a_section_escapes_what_it_is_given() -> None:
    text = Section(title="<b>", says=("a & b",), columns=("x",), rows=((None,), ("<script>",), (0.123456,))).html()
    assert "<script>" not in text
    assert "<td>-</td>" in text
    assert "0.1235" in text


def test_a_cell_without_a_figure_is_a_dash() -> None:
    assert [shown(cell) for cell in (None, float("nan"), 0.5, 3, "a")] == ["-", "-", "0.5", "3", "a"]
