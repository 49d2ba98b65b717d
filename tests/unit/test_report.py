from __future__ import annotations

import math
from typing import Any

import made_up_run
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_run import trial

from retrieval_bench.errors import UsageError
from retrieval_bench.report import facts, text
from retrieval_bench.report.rows import best_setting, failures, pareto, per_vector, recall_name, rows
from retrieval_bench.types import Budget


def test_best_setting_is_chosen_on_tuning_queries_not_on_those_reported() -> None:
    overfitted = trial("s", "a", {"tune/nDCG@10": 0.5, "nDCG@10": 0.9})
    tuned = trial("s", "b", {"tune/nDCG@10": 0.6, "nDCG@10": 0.4})
    assert best_setting([overfitted, tuned], "nDCG@10").trial_id == "b"


def test_best_setting_without_tuning_queries_goes_by_the_reported_figure_then_by_speed() -> None:
    worse = trial("s", "a", {"nDCG@10": 0.4, "batch_qps": 900})
    slow = trial("s", "b", {"nDCG@10": 0.5, "batch_qps": 10})
    fast = trial("s", "c", {"nDCG@10": 0.5, "batch_qps": 20})
    assert best_setting([worse, slow, fast], "nDCG@10").trial_id == "c"


def test_a_failed_or_unmeasurable_trial_never_stands_for_a_system_that_has_a_good_one() -> None:
    good = trial("s", "a", {"nDCG@10": 0.1})
    broke = trial("s", "b", {"nDCG@10": 0.9}, outcome="over_budget", reason="too large")
    nothing = trial("s", "c", {"nDCG@10": math.nan})
    assert best_setting([nothing, broke, good], "nDCG@10").trial_id == "a"


def test_rows_order_indexes_first_then_quality_with_failed_systems_last() -> None:
    found = rows(made_up_run.run(), made_up_run.summary())
    order = [row.trial.system for row in found]
    assert order[:2] == ["flat", "leanvec"]
    assert order[8:] == ["svs", "hybrid", "bm25", "dense", "rerank"]
    assert {row.trial.system: row.mark for row in found if row.mark} == {"hybrid": "winner", "bm25": "tied"}
    assert next(row for row in found if row.trial.system == "hybrid").passed == 3


def test_rows_show_the_setting_that_the_run_chose() -> None:
    found = rows(made_up_run.run(), made_up_run.summary(winner="leanvec-2", chosen={"rabitq": "rabitq-1"}, tied=()))
    by_system = {row.trial.system: row for row in found}
    assert by_system["leanvec"].trial.trial_id == "leanvec-2"
    assert by_system["leanvec"].mark == "winner"
    assert by_system["rabitq"].trial.trial_id == "rabitq-1"
    assert by_system["ivf-pq"].trial.trial_id == "ivf-pq-4"


def test_rows_refuse_a_summary_of_another_run() -> None:
    with pytest.raises(UsageError, match="elsewhere"):
        rows(made_up_run.run(), made_up_run.summary(tied=("elsewhere",)))


def test_failures_are_grouped_by_system_and_outcome() -> None:
    records = [
        trial("s", "a", {}, outcome="crashed", reason="signal 9"),
        trial("s", "b", {}),
        trial("s", "c", {}, outcome="crashed", reason="signal 11"),
        trial("s", "d", {}, outcome="timed_out", reason="after 120 s"),
        trial("t", "e", {}, outcome="refused"),
    ]
    assert [text.failure_line(f) for f in failures(records)] == [
        "s: crashed in 2 of 4 settings: e.g. signal 9",
        "s: timed_out in 1 of 4 settings: after 120 s",
        "t: refused: no reason was recorded",
    ]


def test_bytes_per_vector_divide_by_the_documents() -> None:
    record = trial("s", "a", {"analytic_bytes": 64 * made_up_run.DOCUMENTS})
    assert per_vector(record, "analytic_bytes") == 64
    assert per_vector(record, "device_bytes") is None
    assert per_vector(record.model_copy(update={"documents": 0}), "analytic_bytes") is None


def test_neighbor_recall_is_shown_at_ten_where_it_was_measured() -> None:
    assert recall_name([trial("s", "a", {"neighbor_recall@1": 1, "neighbor_recall@10": 0.9})]) == "neighbor_recall@10"
    assert recall_name([trial("s", "a", {"neighbor_recall@5": 1})]) == "neighbor_recall@5"
    assert recall_name([trial("s", "a", {"nDCG@10": 1})]) == ""


def test_pareto_by_hand() -> None:
    points = [(0.9, 100.0), (0.5, 500.0), (0.7, 90.0), (0.9, 80.0), (0.95, 50.0), (math.nan, 900.0), (0.9, 100.0)]
    assert pareto(points, x="higher", y="higher") == [1, 0, 4]
    assert pareto(points, x="lower", y="higher") == [1]
    assert pareto(points, x="higher", y="lower") == [4]
    assert pareto([], x="higher", y="higher") == []


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12),
    st.sampled_from(["higher", "lower"]),
    st.sampled_from(["higher", "lower"]),
)
def test_pareto_is_what_the_definition_says(points: list[tuple[int, int]], x: Any, y: Any) -> None:
    signs = (1 if x == "higher" else -1, 1 if y == "higher" else -1)
    gain = [(signs[0] * a, signs[1] * b) for a, b in points]

    def beaten(i: int) -> bool:
        return any(
            gain[j] != gain[i] and gain[j][0] >= gain[i][0] and gain[j][1] >= gain[i][1] for j in range(len(gain))
        )

    expected = {points[i] for i in range(len(points)) if not beaten(i)}
    found = pareto(points, x=x, y=y)
    assert {points[i] for i in found} == expected
    assert len(found) == len(expected)
    assert [points[i][0] for i in found] == sorted(points[i][0] for i in found)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (0.01234, "0.0123"),
        (12.34, "12.3"),
        (999.6, "1,000"),
        (1234.5, "1,234"),
        (-3.456, "-3.46"),
        (1e9, "1,000,000,000"),
        (None, "-"),
        (math.nan, "-"),
        (math.inf, "-"),
    ],
)
def test_numbers(value: float | None, expected: str) -> None:
    assert text.number(value) == expected


def test_quality_shows_half_the_width_of_its_interval() -> None:
    assert text.quality(made_up_run.measurement("nDCG@10", 0.5, 0.0312, 300)) == "0.5000 ±0.0312"
    assert text.quality(made_up_run.measurement("nDCG@10", 0.5)) == "0.5000"
    assert text.quality(None) == "-"


def test_durations() -> None:
    assert [text.duration(s) for s in (0.0123, 12.34, 125.4, 4200)] == ["0.0123 s", "12.3 s", "2 min 5 s", "1 h 10 min"]


def test_budget_line() -> None:
    assert text.budget_line(Budget()) == "unlimited"
    budget = Budget(bytes_per_vector=64, latency_ms=2.5, latency_percentile=99.9, threads=1)
    assert text.budget_line(budget) == (
        "64 bytes per vector; single query in 2.5 ms at p99.9; 1 thread; nothing else limited"
    )


def test_every_limit_of_a_budget_has_words() -> None:
    everything = {name: 7 for name in Budget.model_fields if name != "latency_percentile"}
    assert set(text.limits(Budget.model_validate(everything))) == set(everything)


def test_a_short_setting_holds_the_search_parameters_and_the_build_parameters_that_vary() -> None:
    first = trial("s", "a", {}, build={"m": 8, "nlist": 64}, search={"nprobe": 2})
    second = trial("s", "b", {}, build={"m": 16, "nlist": 64}, search={"nprobe": 2})
    assert text.short_setting(first, [first, second]) == "m=8 nprobe=2"
    assert text.short_setting(first, [first]) == "nprobe=2"
    assert text.short_setting(trial("s", "c", {}), []) == "-"


def test_budget_use_and_memory_agreement() -> None:
    record = trial("s", "a", {"analytic_bytes": 5_183 * 128, "artifact_bytes": 5_183 * 160, "single_p95_ms": 5})
    used = facts.budget_use(made_up_run.BUDGET, record)
    assert [(use.used, use.percent) for use in used[:3]] == [(128, 25), (None, None), (5, 25)]
    assert facts.off_analytic(record, "artifact_bytes") == pytest.approx(25)
    assert facts.off_analytic(record, "private_bytes") is None


def test_environment_shows_every_value_where_trials_differ() -> None:
    one, two = trial("s", "a", {}), trial("s", "b", {})
    two = two.model_copy(update={"machine": {**two.machine, "memory_bytes": str(8 * 2**30), "gpu": ""}})
    machine = facts.environment([one, two])["Machine"]
    assert machine["cores"] == "2"
    assert machine["gpu"] == "none"
    assert machine["memory"] == "16.0 GiB / 8.0 GiB"
