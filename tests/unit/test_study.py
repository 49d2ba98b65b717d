"""The protocols: screening over made-up and real reviews, code search among many, literature search by kind."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from retrieval_bench.datasets import Review
from retrieval_bench.errors import UnknownNameError
from retrieval_bench.report.section import Cell, Group, Section, SectionColumn, section_table, write_sections
from retrieval_bench.types import Corpus, Dataset, Hits, Qrels, Queries

pytest.importorskip("sklearn")
pytest.importorskip("bm25s")

from retrieval_bench.specs import system_card
from retrieval_bench.study import screening
from retrieval_bench.study.codesearch import _means, datasets_of, reciprocal_ranks
from retrieval_bench.study.litsearch import kinds
from retrieval_bench.study.reviews import load_reviews
from retrieval_bench.study.screening import Outcome, rank_once, screen
from retrieval_bench.study.screening_section import screening_sections


def review_of(source: str = "made up") -> Review:
    titles = ["migraine drug", "bridge", "steel", "river", "a drug for migraine", "paint"]
    return Review(
        name="tiny", topic="drugs for migraine", source=source, ids=list("abcdef"), titles=titles,
        abstracts=["", "concrete", "alloy", "water", "triptan", "colour"],
        included=np.array([1, 0, 0, 0, 1, 0], bool),
    )  # fmt: skip


def test_a_ranking_holds_every_record_and_the_unreturned_come_last() -> None:
    review = review_of()
    outcome = rank_once(review, system_card("bm25", "ranker"), "title")
    assert (outcome.records, outcome.relevant) == (6, 2)
    assert outcome.measures["AP"] == 1.0  # the two that hold words of the title come first
    of_abstracts = {seed: rank_once(review, system_card("bm25", "ranker"), "abstract", seed=seed) for seed in range(8)}
    last = {outcome.measures["last"] for outcome in of_abstracts.values()}
    assert len(last) > 1  # no abstract holds a word of the title: the order is drawn, not that of the file
    assert of_abstracts[3] == rank_once(review, system_card("bm25", "ranker"), "abstract", seed=3)


def test_both_ways_and_the_published_figures_in_one_table(tmp_path: Path) -> None:
    published = [{"dataset": "tiny", "model": "NB + TF-IDF", "loss": 0.1,
                  "wss": {"95": 50.0, "99": 50.0, "100": 50.0}, "rrf": {"5": 1.0, "10": 2.0, "20": 3.0}}]  # fmt: skip
    (tmp_path / "published_results.json").write_text(json.dumps(published), encoding="utf-8")
    told: list[Outcome] = []
    outcomes = screen(
        [review_of(str(tmp_path / "tiny.csv"))], rankers=["bm25"], representations=["title"], starts=4,
        on_outcome=told.append,
    )  # fmt: skip
    assert told == outcomes
    assert [outcome.way for outcome in outcomes] == ["ranked once", "active learning", "published"]
    learned = outcomes[1]
    assert (learned.records, learned.relevant, learned.starts) == (4, 1, 4)
    assert learned.spread is not None
    assert learned.spread.worst <= learned.spread.best
    assert learned.spread.low <= learned.measures["WSS@95"] <= learned.spread.high
    everything, compared = screening_sections(outcomes)
    assert len(everything.groups[0].rows) == 3
    (row,) = compared.groups[0].rows
    assert row[3] == learned.measures["WSS@95"]
    assert row[-2] == 50.0


def test_what_fails_says_why_and_the_others_go_on() -> None:
    review = dataclasses.replace(review_of(), included=np.array([1, 0, 0, 0, 0, 0], bool))
    nameless = dataclasses.replace(review_of(), name="no words", titles=["the"] * 6)
    outcomes = screen([nameless, review], rankers=["bm25"], representations=["title"], starts=1)
    assert [bool(outcome.problem) for outcome in outcomes] == [True, False, False, True]
    assert "no document holds a word besides stop words" in outcomes[0].problem
    assert "at least 2 records of each decision" in outcomes[3].problem
    (section,) = screening_sections(outcomes)
    assert any("no words, bm25 (title): " in remark for remark in section.remarks)


def test_names_are_checked_before_any_work() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'title'"):
        screen([review_of()], rankers=["bm25"], representations=["titel"])
    with pytest.raises(UnknownNameError, match="unknown learner"):
        screen([review_of()], rankers=["bm25"], learners=["SVM"])
    with pytest.raises(UnknownNameError, match="unknown ranker"):
        screen([review_of()], rankers=["bm26"])


def test_a_real_review(data_folder: Path) -> None:
    if not (data_folder / "screening").is_dir():
        pytest.skip("no folder 'screening' in $RETRIEVAL_BENCH_DATA")
    (review,) = load_reviews(["Cohen_2006_UrinaryIncontinence"])
    assert (len(review), int(review.included.sum())) == (327, 40)
    assert review.topic == "Drug class review: Urinary incontinence"
    ranked = rank_once(review, system_card("bm25", "ranker"), "title+abstract")
    assert ranked.measures["AP"] == pytest.approx(0.141, abs=0.02)
    (learned,) = screen([review], rankers=[], starts=3)
    assert learned.measures["WSS@95"] == pytest.approx(34, abs=8)
    assert learned.measures["AP"] > 2 * ranked.measures["AP"]


def test_the_published_start_of_ace(data_folder: Path) -> None:
    """Published starts of naive Bayes on ace mostly find 95 % with 83.4 to 83.9 % of the work saved."""
    if not (data_folder / "screening" / "ace.csv").is_file():
        pytest.skip("no folder 'screening' in $RETRIEVAL_BENCH_DATA")
    (review,) = load_reviews(["ace"])
    learned, *published = screen([review], rankers=[], starts=1)
    assert len(published) == 7
    assert learned.text == "settings as published"
    assert learned.measures["WSS@95"] == pytest.approx(83.6, abs=1.5)
    assert learned.measures["WSS@100"] == pytest.approx(48.1, abs=1.5)


class Ordered:
    """A ranker that returns the rows of a table, whatever k."""

    def __init__(self, rows: list[list[int]]) -> None:
        self._rows = np.array(rows, np.int64)

    def rank(self, queries: Queries, k: int) -> Hits:
        rows = self._rows[[int(query) for query in queries.ids], :k]
        return Hits(rows=rows, scores=np.where(rows < 0, -np.inf, 0.0).astype(np.float32))


def one_relevant_each(queries: int) -> Qrels:
    return Qrels(offsets=np.arange(queries + 1), rows=np.arange(queries), grades=np.ones(queries, np.int64))


def functions(n: int, queries: int) -> Dataset:
    return Dataset(
        name="made up", fingerprint="", metric="cos",
        corpus=Corpus(ids=[f"f{i}" for i in range(n)], texts=["x"] * n),
        queries={"test": Queries(ids=[str(i) for i in range(queries)], texts=["q"] * queries)},
        qrels={"test": one_relevant_each(queries)},
    )  # fmt: skip


def test_only_functions_of_the_batch_compete() -> None:
    # Query i wants function i. Every query ranks 3, 2, 1, 0; in batches of two only its own and one other compete.
    dataset, ranker = functions(4, 4), Ordered([[3, 2, 1, 0]] * 4)
    whole = reciprocal_ranks(ranker, dataset, candidates=4)  # type: ignore[arg-type]
    assert whole.tolist() == [1 / 4, 1 / 3, 1 / 2, 1.0]
    pairs = reciprocal_ranks(ranker, dataset, candidates=2)  # type: ignore[arg-type]
    assert sorted(pairs.tolist()) == [0.5, 0.5, 1.0, 1.0]
    assert pairs[0] == 0.5
    assert pairs[3] == 1.0


def test_a_last_batch_is_left_out_and_a_short_one_filled_up() -> None:
    left_out = reciprocal_ranks(Ordered([[3, 2, 1, 0]] * 3), functions(4, 3), candidates=2)  # type: ignore[arg-type]
    assert np.isnan(left_out).sum() == 1
    filled = reciprocal_ranks(Ordered([[3, 2, 1, 0]] * 2), functions(4, 2), candidates=4)  # type: ignore[arg-type]
    assert filled.tolist() == [1 / 4, 1 / 3]  # the two functions that nobody asks for compete too
    missed = reciprocal_ranks(Ordered([[3, 2, -1, -1]] * 2), functions(4, 2), candidates=4)  # type: ignore[arg-type]
    assert missed.tolist() == [0.0, 0.0]


def test_a_folder_of_languages_stands_for_its_languages(tmp_path: Path) -> None:
    for language in ("ruby", "go"):
        (tmp_path / language).mkdir()
    assert datasets_of([str(tmp_path), "cosqa"]) == [str(tmp_path / "go"), str(tmp_path / "ruby"), "cosqa"]


def test_the_languages_that_are_here_are_searched_too(
    tmp_path: Path, home_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RETRIEVAL_BENCH_DATA", raising=False)
    assert datasets_of([]) == ["pystdlib", "cosqa"]
    (tmp_path / "codesearchnet" / "ruby").mkdir(parents=True)
    (home_folder / "downloads" / "codesearchnet" / "go").mkdir(parents=True)
    monkeypatch.setenv("RETRIEVAL_BENCH_DATA", str(tmp_path))
    assert datasets_of([]) == ["pystdlib", "cosqa", "codesearchnet/go", "codesearchnet/ruby"]
    assert datasets_of(["cosqa"]) == ["cosqa"]


def test_the_mean_of_languages_leaves_out_what_one_lacks() -> None:
    tables: list[list[list[Cell]]] = [[["bm25", 0.5, "0.4 to 0.6", None]], [["bm25", 0.7, "0.6 to 0.8", 3.0]]]
    (row,) = _means(tables)
    assert row == ["bm25", pytest.approx(0.6), None, None]


def test_kinds_of_questions() -> None:
    named = functions(3, 2)
    ids = ["inline_acl/specific/0", "manual_acl/broad/1"]
    queries = {"test": dataclasses.replace(named.queries["test"], ids=ids)}
    assert kinds(dataclasses.replace(named, queries=queries)) == ["specific", "broad"]
    qrels = Qrels(offsets=np.array([0, 1, 3]), rows=np.array([0, 1, 2]), grades=np.array([1, 1, 1]))
    assert kinds(dataclasses.replace(named, qrels={"test": qrels})) == [
        "one relevant document",
        "several relevant documents",
    ]


SECTION = Section(
    title="Figures of <b>A & B</b>",
    columns=[
        SectionColumn(title="system"),
        SectionColumn(title="AP", best="highest", digits=3, help="average precision"),
        SectionColumn(title="last", unit="%", best="lowest", digits=1),
    ],
    groups=[Group(label="one <set>", rows=[["x", 0.5, 10.0], ["y", 0.25, 5.0], ["<script>", None, 20.0]])],
    remarks=["read with care"],
)


def test_a_section_on_the_terminal() -> None:
    console = Console(width=100, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(section_table(SECTION))
    shown = captured.get()
    assert "0.500" in shown
    assert "5.0" in shown
    assert "one <set>" in shown
    assert "read with care" in shown
    assert SECTION.is_best(SECTION.groups[0], SECTION.groups[0].rows[0], 1)
    assert not SECTION.is_best(SECTION.groups[0], SECTION.groups[0].rows[0], 2)


def test_a_section_as_a_page(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    page = tmp_path / "page.html"
    write_sections([SECTION], page, title="T & T", command="retrieval-bench x")
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "<strong>0.500</strong>" in text
    assert "<strong>5.0</strong>" in text
    assert "retrieval-bench x" in text
    write_sections([SECTION], tmp_path / "again.html", title="T & T", command="retrieval-bench x")
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()


def test_the_defaults_name_what_there_is() -> None:
    for name in screening.RANKERS:
        assert system_card(name, "ranker").kind == "ranker"
