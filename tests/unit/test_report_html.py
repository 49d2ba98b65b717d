from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import made_up_run
import pytest
from made_up_run import trial

from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.records.section import Section
from retrieval_bench.report import write_html
from retrieval_bench.types import TrialRecord

HOSTILE = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 1'>{{ 7 * 7 }}"


class Page(HTMLParser):
    """The tags, attributes, texts and scripts of a page; checks that tags nest."""

    VOID = frozenset({"meta", "br", "img", "link", "input", "hr"})

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.scripts: list[str] = []
        self.content: list[str] = []
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert self._open == []
        self.text = " ".join(" ".join(self.content).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            self.scripts.append(data)
        elif self._open and self._open[-1] != "style":
            self.content.append(data)


@pytest.fixture
def page(tmp_path: Path) -> Callable[..., Page]:
    def read(records: list[TrialRecord] | None = None, **changes: Any) -> Page:
        records = made_up_run.run() if records is None else records
        path = tmp_path / "report.html"
        write_html(records, made_up_run.summary(**changes), path)
        return Page(path.read_text(encoding="utf-8"))

    return read


def test_page_answers_the_question(page: Callable[..., Page]) -> None:
    found = page()
    for expected in (
        "Which retrieval system to deploy on scifact?",
        "Best nDCG@10 within the budget",
        "95 % interval 0.6730 to 0.7330",
        "comes from 300 queries",
        "bm25 is also tied with the best",
        "nDCG@10 was 0.0080 higher on the tuning queries",
        "retrieval-bench export hybrid-0.5 my-index",
        'retrieval_bench.load("my-index")',
        "512 bytes per vector 505 99 %",
        "svs: crashed: child process ended by signal 11",
        "5 of 5",
        "All 43 trials",
        "window=160",
        "AMD EPYC 9B14",
        "0e3340d4c1",
        "faiss",
        "retrieval-bench run scifact --budget bytes_per_vector=512",
        "of which the harness added 3.9 %",
        "private_bytes is +6 % off analytic",
    ):
        assert expected in found.text, expected
    assert {"header", "main", "footer", "nav", "h1", "caption", "figcaption", "noscript"} <= set(found.tags)
    assert found.tags.count("figure") == 4


def test_page_says_when_the_calls_of_a_build_have_paid(page: Callable[..., Page]) -> None:
    figures = {"nDCG@10": 0.6, "scorer_calls": 100.0, "build_scorer_calls": 64_000.0}
    record = made_up_run.trial("cur", "cur-0", figures, kind="ranker")
    found = page([record], winner="cur-0", tied=("cur-0",)).text
    assert "(5,183 a query) from 13 queries on" in found
    assert "No other system shown" not in found, "there was none"


def test_vectors_without_an_encoder_are_searched_by_vectors(page: Callable[..., Page]) -> None:
    records = list(made_up_run.indexes())
    assert "index.search(vectors, k=10)" in page(records, winner="flat-0", tied=("flat-0",), encoder=None).text


def test_page_is_offline(page: Callable[..., Page]) -> None:
    found = page()
    links = [
        value for _, name, value in found.attributes if name in ("src", "href", "srcset", "action", "data", "poster")
    ]
    assert links
    assert all(link.startswith("#") for link in links)
    assert "link" not in found.tags
    assert "import(" not in found.scripts[-1]
    (policy,) = [v for tag, name, v in found.attributes if (tag, name) == ("meta", "content") and "default-src" in v]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "http" not in policy
    assert "'unsafe-eval'" not in policy
    own = [s for s in found.scripts if "plotly.js v" not in s[:100]]
    assert len(own) == len(found.scripts) - 1  # Plotly once
    assert not re.search(r"cdn|https?://", "".join(own))


def test_hostile_names_are_inert(page: Callable[..., Page]) -> None:
    figures_ = {"nDCG@10": 0.5, "batch_qps": 10.0, "analytic_bytes": 9.0, "single_p50_ms": 1.0}
    hostile = trial(HOSTILE, "a", figures_, search={HOSTILE: HOSTILE}, notes=(HOSTILE,), parts={HOSTILE: 9})
    hostile = hostile.model_copy(update={"machine": {HOSTILE: HOSTILE}})
    failed = trial("s", "b", {}, outcome="crashed", reason=HOSTILE)
    words: dict[str, Any] = dict.fromkeys(
        ("dataset", "description", "licence", "source", "encoder", "why", "started", "command"), HOSTILE
    )
    found = page([hostile, failed], winner="a", tied=("a",), wall_seconds={HOSTILE: 1.0}, queries={HOSTILE: 1}, **words)
    harmless = page([trial("s", "a", figures_), failed], winner="a", tied=("a",))
    assert found.tags.count("script") == harmless.tags.count("script")
    assert "img" not in found.tags
    assert not [name for _, name, _ in found.attributes if name.startswith("on")]
    assert "49" not in found.text
    assert HOSTILE in found.text
    data = next(s for s in found.scripts if s.startswith("["))
    assert "<" not in data
    labels = [trace["name"] for figure in json.loads(data) for trace in figure["spec"]["data"] if "name" in trace]
    assert not any("<" in label for label in labels)  # Plotly reads tags in labels
    assert any("&lt;img" in label for label in labels)


def test_no_records_and_nothing_that_ended_well(page: Callable[..., Page]) -> None:
    empty = page([], winner=None, tied=(), why="There was nothing to run.")
    assert "No trials There was nothing to run. This run recorded no trial" in empty.text
    assert len(empty.scripts) == 2  # no figures, so no Plotly
    failed = [
        trial("s", "a", {}, outcome="crashed", reason="signal 9"),
        trial("t", "b", {}, outcome="refused", reason="does not fit"),
    ]
    found = page(failed, winner=None, tied=(), why="No system finished.")
    assert "No winner No system finished. Not one of the 2 trials ended well" in found.text
    assert "s: crashed: signal 9" in found.text
    assert "t: refused: does not fit" in found.text


def test_infinite_and_missing_figures_do_not_reach_the_script(page: Callable[..., Page]) -> None:
    records = [
        trial("s", "a", {"nDCG@10": 0.5, "batch_qps": math.inf, "analytic_bytes": 9, "single_p95_ms": math.nan}),
        trial("s", "b", {"nDCG@10": 0.4, "batch_qps": 10}),
    ]
    found = page(records, winner="a", tied=())
    data = next(s for s in found.scripts if s.startswith("["))
    assert not re.search(r"NaN|Infinity", data)
    json.loads(data)


def test_the_same_input_gives_the_same_file_and_replaces_the_old_one(tmp_path: Path) -> None:
    one, two = tmp_path / "one.html", tmp_path / "new" / "two.html"
    one.write_text("old", encoding="utf-8")
    write_html(made_up_run.run(), made_up_run.summary(), one)
    write_html(made_up_run.run(), made_up_run.summary(), two)
    assert one.read_bytes() == two.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "one.html"]


def test_a_summary_that_does_not_fit_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(UsageError, match=r"hybrid-0\.5"):
        write_html([], made_up_run.summary(), path)
    assert path.read_text(encoding="utf-8") == "old"
    (tmp_path / "file").touch()
    with pytest.raises(DataError):
        write_html(made_up_run.run(), made_up_run.summary(), tmp_path / "file" / "report.html")


def test_what_diagnostics_said_is_a_section_and_stays_text(tmp_path: Path) -> None:
    said = Section(title="Tail", says=("<script>alert(1)</script>",), columns=("p",), rows=((0.123456,), (None,)))
    write_html(made_up_run.run(), made_up_run.summary(), tmp_path / "report.html", [said])
    page = (tmp_path / "report.html").read_text()
    assert '<a href="#diagnostics">' in page
    assert "<td>0.1235</td>" in page
    assert "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>" in page
