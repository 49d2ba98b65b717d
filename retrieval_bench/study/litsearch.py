"""Literature search as LitSearch judges it (Ajith et al. 2024): recall@5 and recall@20 by kind of question.

A *specific* question asks for one or very few papers, a *broad* one for many. The first stage is a ranker, the second
a re-ranking of its answers. LitSearch's papers are one corpus, so results are the records of an ordinary run, whose
per-query values are split by kind here.

Where LitSearch is not at hand, ``scifact-claims`` stands in: claims that ask for the abstracts that settle them. It has
no kinds of its own; claims with one relevant abstract stand for specific questions, those with several for broad ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retrieval_bench.datasets import local_copy
from retrieval_bench.datasets.litsearch import KINDS
from retrieval_bench.errors import UnavailableError
from retrieval_bench.report.section import Group, Section, SectionColumn
from retrieval_bench.runner.run import Run
from retrieval_bench.study.ordinary import COSTS, costs, figures, metric_columns
from retrieval_bench.types import Dataset

STAND_IN = "scifact-claims"
METRICS = ("recall@5", "recall@20", "nDCG@10")


def default_dataset() -> str:
    """``litsearch`` where it is on this machine, else the stand-in."""
    try:
        local_copy("litsearch")
    except UnavailableError:
        return STAND_IN
    return "litsearch"


def kinds(dataset: Dataset) -> list[str]:
    """The kind of each test query: ``specific`` or ``broad`` in LitSearch, elsewhere by the number relevant to it."""
    named = [query.split("/")[1] if query.count("/") == 2 else "" for query in dataset.queries["test"].ids]
    if set(named) <= set(KINDS):
        return named
    qrels = dataset.qrels["test"]
    relevant = np.add.reduceat(qrels.grades > 0, qrels.offsets[:-1]) if len(qrels) else np.zeros(0)
    return ["one relevant document" if count == 1 else "several relevant documents" for count in relevant]


def litsearch_section(run: Run, dataset: Dataset) -> Section:
    """The table of a run on this data set: all questions, then each kind."""
    each = np.array(kinds(dataset))
    groups: list[Group] = []
    for kind in ("", *sorted(set(each))):
        chosen = (each == kind) if kind else np.ones(len(each), bool)
        rows = [[r.system, *figures(r, run, METRICS, chosen), *costs(r, run)] for r in run.records]
        groups.append(Group(label=f"{kind or 'all questions'}: {int(chosen.sum()):,}", rows=rows))
    return Section(
        title=f"Literature search on {dataset.name}: {len(dataset.corpus):,} papers",
        columns=[SectionColumn(title="ranker"), *metric_columns(METRICS), *COSTS],
        groups=groups,
        remarks=(*remarks(dataset), *run.summary.notes),
    )


def remarks(dataset: Dataset) -> Sequence[str]:
    """What the kinds of this data set are."""
    if dataset.name != STAND_IN:
        return ()
    return ("SciFact's claims stand in for LitSearch, which is not on this machine: the figures are not LitSearch's.",)
