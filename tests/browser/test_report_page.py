"""The report in a real browser: its script runs under its own policy, the figures are drawn, a heading sorts."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import made_up_run
import pytest
from made_up_run import trial

from retrieval_bench.report import write_html
from retrieval_bench.types import TrialRecord

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = "</script><script>document.title = 'broken'</script><img src=x onerror=\"document.title = 'broken'\">"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: the report is not opened in a browser")


def opened(path: Path, *options: str) -> tuple[str, str]:
    """The page's document after its script ran, and what the browser logged."""
    done = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--enable-logging=stderr", "--window-size=1400,1600", "--virtual-time-budget=10000",
            f"--user-data-dir={path.parent / 'profile'}", *options, "--dump-dom", path.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def page(folder: Path, records: list[TrialRecord]) -> Path:
    path = folder / "report.html"
    write_html(records, made_up_run.summary(winner=records[0].trial_id, tied=()), path)
    return path


class Drawn(HTMLParser):
    """For each figure, by id: the number of points drawn, and the names in its legend."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.points: dict[str, int] = {}
        self.texts: dict[str, list[str]] = {}
        self._figure = ""
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        classes = found.get("class", "").split()
        if "plot" in classes:
            self._figure = found["id"]
        elif tag == "figcaption":
            self._figure = ""
        if self._figure and tag == "path" and "point" in classes:
            self.points[self._figure] = self.points.get(self._figure, 0) + 1

    def handle_data(self, data: str) -> None:
        if self._figure and data.strip():
            self.texts.setdefault(self._figure, []).append(data.strip())


@pytest.mark.parametrize("theme", [0, 1], ids=["dark", "light"])
def test_every_figure_is_drawn_and_nothing_is_refused_or_logged(tmp_path: Path, theme: int) -> None:
    document, log = opened(page(tmp_path, made_up_run.run()), f"--blink-settings=preferredColorScheme={theme}")
    drawn = Drawn(document)
    assert set(drawn.points) == {"recall-speed", "quality-speed", "quality-bytes", "latency"}
    measured_recall = sum(t.value("neighbor_recall@10") is not None for t in made_up_run.run())
    assert drawn.points["recall-speed"] == measured_recall + 1  # the ring of the winner
    assert {"flat", "leanvec", "winner", "hnsw (over_budget)"} <= set(drawn.texts["recall-speed"])
    assert "neighbor recall@10" in drawn.texts["recall-speed"]
    assert "single-query latency, ms (log scale)" in drawn.texts["latency"]
    assert log == ""


def test_a_hostile_name_is_drawn_as_text(tmp_path: Path) -> None:
    figures = {"nDCG@10": 0.5, "batch_qps": 10.0, "analytic_bytes": 9.0, "single_p50_ms": 1.0}
    document, log = opened(page(tmp_path, [trial(HOSTILE, "a", figures, search={HOSTILE: 1})]))
    assert "<title>scifact: retrieval-bench report</title>" in document
    assert any(HOSTILE in text for text in Drawn(document).texts["quality-speed"])
    assert "<img" not in document
    assert log == ""


def test_a_click_on_a_heading_sorts_with_missing_figures_last(tmp_path: Path) -> None:
    path = page(tmp_path, made_up_run.run())
    source = path.read_text(encoding="utf-8")
    click = "[...document.querySelectorAll('#systems th button')].find(b => b.textContent === 'batch').click()"
    without_policy = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", source)
    path.write_text(without_policy.replace("</body>", f"<script>{click}</script></body>"), encoding="utf-8")
    document, _ = opened(path)
    systems = document[document.index('id="systems"') : document.index('id="memory"')]
    assert re.findall(r'<td class="system" data-value="([^"]+)"', systems) == [
        "hybrid", "dense", "hnsw", "hnsw-sq8", "ivf", "leanvec", "ivf-opq-refine", "flat", "ivf-pq", "rabitq", "bm25",
        "svs", "rerank",
    ]  # fmt: skip
    assert systems.count('aria-sort="ascending"') == 1


def test_only_the_pages_own_scripts_may_run(tmp_path: Path) -> None:
    path = page(tmp_path, made_up_run.run())
    source = path.read_text(encoding="utf-8")
    path.write_text(source.replace("</body>", "<script>document.title = 'broken'</script></body>"), encoding="utf-8")
    document, log = opened(path)
    assert "<title>scifact: retrieval-bench report</title>" in document
    assert "Content Security Policy" in log
