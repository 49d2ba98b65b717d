from __future__ import annotations

import math

import made_up_run
import plotly.graph_objects
from made_up_run import trial

from retrieval_bench.report.figures import figures
from retrieval_bench.report.rows import rows


def test_figures_are_valid_plotly_and_follow_the_data() -> None:
    records, summary = made_up_run.run(), made_up_run.summary()
    found = {f.name: f for f in figures(rows(records, summary), records, summary)}
    assert list(found) == ["recall-speed", "quality-speed", "quality-bytes", "latency"]
    for figure in found.values():
        plotly.graph_objects.Figure(figure.spec)  # raises on an unknown property
    spec = found["recall-speed"].spec
    assert spec["layout"]["yaxis"]["type"] == "log"
    assert spec["layout"]["xaxis"]["title"]["text"] == "neighbor recall@10"
    frontier = next(t for t in spec["data"] if t["name"] == "leanvec")
    assert frontier["x"] == sorted(frontier["x"])
    assert frontier["y"] == sorted(frontier["y"], reverse=True)
    assert len(frontier["x"]) == 5
    assert "window=320" in frontier["hovertext"][-1]
    assert "neighbor_recall@10 = 0.9970" in frontier["hovertext"][-1]
    assert found["quality-bytes"].spec["layout"]["shapes"][0]["x0"] == 512
    assert found["latency"].spec["layout"]["shapes"][0]["x0"] == 20


def test_beaten_settings_leave_the_line() -> None:
    records = [
        trial("s", "a", {"neighbor_recall@10": 0.8, "batch_qps": 100}),
        trial("s", "b", {"neighbor_recall@10": 0.7, "batch_qps": 90}),
        trial("s", "c", {"neighbor_recall@10": 0.9, "batch_qps": 50}),
        trial("s", "d", {"neighbor_recall@10": 0.99, "batch_qps": 99}, outcome="over_budget", reason="too large"),
    ]
    summary = made_up_run.summary(winner="c", tied=(), primary="neighbor_recall@10")
    (figure,) = figures(rows(records, summary), records, summary)
    drawn = [(trace["name"], trace["mode"], trace["x"]) for trace in figure.spec["data"]]
    assert drawn == [
        ("s", "lines+markers", [0.8, 0.9]),
        ("s", "markers", [0.7]),
        ("s", "markers", [0.99]),
        ("winner", "markers", [0.9]),
    ]


def test_systems_keep_one_look_and_no_two_share_it() -> None:
    records = [trial(f"s{i:02}", f"t{i}", {"nDCG@10": 0.5 + i / 100, "batch_qps": 10 + i}) for i in range(42)]
    summary = made_up_run.summary(winner=None, tied=())
    (figure,) = figures(rows(records, summary), records, summary)
    looks = {(t["marker"]["color"], t["marker"]["symbol"]) for t in figure.spec["data"]}
    assert len(looks) == 42


def test_values_that_an_axis_cannot_show_are_left_out() -> None:
    records = [
        trial("s", "a", {"nDCG@10": 0.5, "batch_qps": 0}),
        trial("s", "b", {"nDCG@10": math.nan, "batch_qps": 10, "single_p50_ms": math.inf}),
    ]
    summary = made_up_run.summary(winner=None, tied=())
    assert figures(rows(records, summary), records, summary) == ()
