from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from retrieval_bench.records import Store, Turns
from retrieval_bench.runner import finals
from retrieval_bench.runner.measurements import exact, quality
from retrieval_bench.runner.race import Contender, Race
from retrieval_bench.runner.select import choose
from retrieval_bench.types import Budget, Measurement, TrialRecord

Values = npt.NDArray[np.float64]


def add(
    store: Store, system: str, setting: int, qps: float, *, metric: str, test: Values, tune: Values | None = None,
    kind: str = "index", outcome: str = "ok", notes: tuple[str, ...] = (),
) -> TrialRecord:  # fmt: skip
    values = {"test": {metric: test}} | ({"tune": {metric: tune}} if tune is not None else {})
    found: list[Measurement] = [*quality(values), exact("batch_qps", "1/s", qps, direction="higher")]
    record = TrialRecord.model_validate(
        dict(  # noqa: C408 - reads better than twenty quoted keys
            trial_id=f"{system}-{setting}", build_id=system, dataset="d", dataset_fingerprint="f", documents=10,
            dimensions=2,
            queries=len(test), depth=10, system=system, kind=kind, backend=system, card_hash="", build_params={},
            search_params={"s": setting}, seed=0, budget=Budget(), outcome=outcome, measurements=found, notes=notes,
            started="2026-01-01", seconds=1, code={}, machine={}, libraries={},
        )
    )  # fmt: skip
    store.write(record, values, {s: [str(i) for i in range(len(v[metric]))] for s, v in values.items()})
    return record


def noisy(mean: float, seed: int = 0) -> Values:
    return np.clip(mean + np.random.default_rng(seed).normal(0, 0.02, 400), 0, 1)


def test_with_neighbors_the_fastest_that_reaches_the_recall_wins(tmp_path: Path) -> None:
    store, m = Store(tmp_path), "neighbor_recall@10"
    records = [
        add(store, "flat", 0, 10, metric=m, test=noisy(1.0), tune=noisy(1.0)),
        add(store, "ivf", 1, 900, metric=m, test=noisy(0.9), tune=noisy(0.9)),
        add(store, "ivf", 2, 300, metric=m, test=noisy(0.97), tune=noisy(0.97)),
        add(store, "hnsw", 1, 200, metric=m, test=noisy(0.98), tune=noisy(0.98)),
    ]
    choice = choose(store, records, primary=m, recall_target=0.95)
    assert choice.chosen == {"flat": "flat-0", "ivf": "ivf-2", "hnsw": "hnsw-1"}
    assert choice.winner == "ivf-2"
    assert choice.selected_on == "tune"
    unreachable = choose(store, records[1:2], primary=m, recall_target=0.95)
    assert unreachable.winner == "ivf-1"
    assert "no system reaches" in unreachable.why


def test_the_setting_is_chosen_on_tuning_queries_not_on_those_reported(tmp_path: Path) -> None:
    store, m = Store(tmp_path), "neighbor_recall@10"
    records = [
        add(store, "ivf", 1, 900, metric=m, test=noisy(0.97), tune=noisy(0.90)),
        add(store, "ivf", 2, 300, metric=m, test=noisy(0.90), tune=noisy(0.97)),
    ]
    assert choose(store, records, primary=m, recall_target=0.95).winner == "ivf-2"


def test_with_judgments_the_fastest_of_those_tied_for_the_best_wins(tmp_path: Path) -> None:
    store, m = Store(tmp_path), "nDCG@10"
    good = noisy(0.5)
    records = [
        add(store, "bm25", 0, 1000, metric=m, test=noisy(0.4, 1), tune=noisy(0.4, 1), kind="ranker"),
        add(store, "dense", 0, 50, metric=m, test=good, tune=good, kind="ranker"),
        add(store, "hybrid", 0, 80, metric=m, test=good - 1e-6 * noisy(0.5, 2), tune=good + 1e-9, kind="ranker"),
        add(store, "flat", 0, 9000, metric=m, test=good, tune=good),
    ]
    choice = choose(store, records, primary=m, recall_target=0.95)
    assert choice.winner == "hybrid-0"  # an index leaves out the encoding of the query, so it does not compete
    assert set(choice.tied) >= {"dense-0"}
    assert "bm25-0" not in choice.tied


def test_it_says_where_the_test_queries_contradict_the_choice(tmp_path: Path) -> None:
    store, m = Store(tmp_path), "nDCG@10"
    records = [
        add(store, "ltr", 0, 10, metric=m, test=noisy(0.4, 1), tune=noisy(0.6, 1), kind="ranker"),
        add(store, "dense", 0, 50, metric=m, test=noisy(0.5, 2), tune=noisy(0.5, 2), kind="ranker"),
    ]
    choice = choose(store, records, primary=m, recall_target=0.95)
    assert choice.winner == "ltr-0"
    assert "The test queries contradict it: dense is better" in choice.why
    assert "contradict" not in choose(store, records[1:], primary=m, recall_target=0.95).why


def test_without_tuning_queries_it_says_that_the_choice_flatters(tmp_path: Path) -> None:
    store, m = Store(tmp_path), "nDCG@10"
    record = add(store, "bm25", 0, 10, metric=m, test=noisy(0.4), kind="ranker")
    choice = choose(store, [record], primary=m, recall_target=0.95)
    assert choice.selected_on == "test"
    assert "flatters" in choice.why


def test_systems_that_failed_are_not_chosen(tmp_path: Path) -> None:
    store, m = Store(tmp_path), "nDCG@10"
    record = add(store, "bm25", 0, 10, metric=m, test=noisy(0.4), outcome="over_budget")
    choice = choose(store, [record], primary=m, recall_target=0.95)
    assert choice.winner is None
    assert choice.chosen == {}


def raced(*fastest_first: str, told: bool = True) -> Callable[[Sequence[TrialRecord]], Turns | str]:
    """As if these had been measured in turns, which must be the finalists, and come in this order."""

    def in_turns(finalists: Sequence[TrialRecord]) -> Turns:
        assert {r.trial_id for r in finalists} == set(fastest_first)
        return Turns(
            qps={t: 100.0 - i for i, t in enumerate(fastest_first)}, rival=fastest_first[1], ratio=1.3, low=1.2,
            high=1.4, rounds=20, processes=7, told=told,
        )  # fmt: skip

    return in_turns


def test_measuring_in_turns_names_the_fastest_of_those_that_come_near_each_other(tmp_path: Path) -> None:
    store, m = Store(tmp_path), "neighbor_recall@10"
    records = [
        add(store, "flat", 0, 10, metric=m, test=noisy(1.0), tune=noisy(1.0)),
        add(store, "ivf", 2, 300, metric=m, test=noisy(0.97), tune=noisy(0.97)),
        add(store, "hnsw", 1, 200, metric=m, test=noisy(0.98), tune=noisy(0.98)),
    ]
    choice = choose(store, records, primary=m, recall_target=0.95, in_turns=raced("hnsw-1", "ivf-2"))
    assert choice.winner == "hnsw-1"
    assert "hnsw is the fastest of 3 systems" in choice.why
    assert "faster than ivf (1.30 times its queries, 1.20 to 1.40 over 7 pairs of processes)" in choice.why
    assert choice.turns is not None
    assert choose(store, records[:2], primary=m, recall_target=0.95, in_turns=raced()).winner == "ivf-2"


def test_nobody_is_called_the_fastest_who_is_not_told_from_another(tmp_path: Path) -> None:
    store, m, j = Store(tmp_path / "a"), "neighbor_recall@10", "nDCG@10"
    records = [
        add(store, "ivf", 2, 300, metric=m, test=noisy(0.97), tune=noisy(0.97)),
        add(store, "hnsw", 1, 200, metric=m, test=noisy(0.98), tune=noisy(0.98)),
    ]
    untold = choose(
        store, records, primary=m, recall_target=0.95, in_turns=raced("ivf-2", "hnsw-1", told=False)
    ).why  # fmt: skip
    assert "ivf is one of the fastest of 2 systems" in untold
    assert "not told from hnsw in speed (1.30 times" in untold
    for reason in ("", "no time"):
        unasked = choose(store, records, primary=m, recall_target=0.95, in_turns=lambda _, why=reason: why).why  # type: ignore[misc]
        assert "ivf is one of the fastest" in unasked
        assert f"not told from hnsw in speed: not measured in turns{' (no time)' if reason else ';'}" in unasked
    other = Store(tmp_path / "b")
    judged = [add(other, name, 0, qps, metric=j, test=noisy(0.5)) for name, qps in (("a", 10), ("b", 12))]
    assert "b is one of the fastest of those" in choose(other, judged, primary=j, recall_target=0.95).why
    assert "is the one system that reaches" in choose(store, records[:1], primary=m, recall_target=0.95).why


def test_speeds_that_cannot_be_told_apart_are_said_so() -> None:
    turns = Turns(qps={"a": 100.0, "b": 99.0}, rival="b", ratio=1.01, low=1.005, high=1.03, rounds=20)
    assert "not told from B in speed (1.01 times its queries, 1.00 to 1.03)" in turns.said("B")


def test_what_found_nothing_is_never_recommended(tmp_path: Path) -> None:
    store, m = Store(tmp_path), "nDCG@10"
    nothing, some = np.zeros(3), np.array([1.0, 0.0, 1.0])  # too few queries to tell the two apart
    bm25 = add(store, "bm25", 0, 5000, metric=m, test=nothing, kind="ranker", notes=("no document was returned ...",))
    dense = add(store, "dense", 0, 50, metric=m, test=some, kind="ranker")
    flat = add(store, "flat", 0, 9000, metric=m, test=some)
    choice = choose(store, [bm25, dense], primary=m, recall_target=0.95)
    assert choice.winner == "dense-0"
    assert choice.tied == ("dense-0",)
    assert set(choice.chosen) == {"bm25", "dense"}, "it is shown all the same"
    assert choose(store, [bm25, flat], primary=m, recall_target=0.95).winner == "flat-0"
    none = choose(store, [bm25], primary=m, recall_target=0.95)
    assert none.winner is None
    assert none.tied == ()
    assert "nDCG@10 is 0 on every query for bm25" in none.why
    assert "no document was returned" in none.why


def test_where_nothing_was_compared_it_says_so(tmp_path: Path) -> None:
    store, m = Store(tmp_path), "nDCG@10"
    alone = add(store, "bm25", 0, 1000, metric=m, test=noisy(0.4, 1), kind="ranker")
    why = choose(store, [alone], primary=m, recall_target=0.95).why
    assert "bm25 is the only ranker with a result" in why
    assert "in speed" not in why
    other = add(store, "dense", 0, 50, metric=m, test=noisy(0.7, 2), kind="ranker")
    assert "no other is statistically tied" in choose(store, [alone, other], primary=m, recall_target=0.95).why


def made_race(*medians: float) -> Race:
    """Twenty rounds of contenders named after their places, with seconds near these."""
    noise = np.random.default_rng(0).lognormal(0, 0.005, (20, len(medians)))
    names = tuple(str(i) for i in range(len(medians)))
    return Race(names=names, seconds=noise * medians, queries=10, decided={}, looks=1)


@pytest.mark.parametrize(
    ("medians", "again", "rival", "told", "processes"),
    [
        ((1.0, 1.03), [1.02] * 6, "1", True, 6),
        ((1.0, 1.03), [0.98, 1.02, 0.97], "1", False, 3),
        ((1.0, 1.03), [1.02] * 3, "1", False, 3),  # then there is no more time
        ((1.0, 1.5), [], "1", True, 1),  # plain
        ((1.0, 1.0), [], "1", False, 1),
        ((1.5, 1.03, 1.0), [1.02] * 6, "1", True, 6),
        ((1.06, 1.03, 1.0), [1.02] * 6 + [0.9, 0.9], "0", False, 2),  # the third may well be the fastest
    ],
)
def test_a_lead_is_told_by_new_processes_alone(
    monkeypatch: pytest.MonkeyPatch, medians: tuple[float, ...], again: list[float], rival: str, told: bool,
    processes: int,
) -> None:  # fmt: skip
    left = iter(again)
    monkeypatch.setattr(finals, "ratio_in_new_processes", lambda *_, **__: next(left, None))
    contenders = [
        Contender(name=str(i), kind="index", backend="b", plugin="p", dataset_folder=Path())
        for i in range(len(medians))
    ]
    found = finals._judged(made_race(*medians), contenders, rounds=20, seconds=60.0)
    assert (found.rival, found.told, found.processes) == (rival, told, processes)
    assert next(left, None) is None, "every new pair was asked for"


def test_new_pairs_end_with_the_time_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finals, "ratio_in_new_processes", None)
    contenders = [Contender(name=n, kind="index", backend="b", plugin="p", dataset_folder=Path()) for n in "01"]
    found = finals._judged(made_race(1.0, 1.03), contenders, rounds=20, seconds=0.0)
    assert (found.told, found.processes) == (False, 1)
    assert found.low > 1, "one pair of processes would have claimed it"
