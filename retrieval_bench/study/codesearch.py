"""Code search as CodeSearchNet and CoSQA judge it: a description asks for the one function that does it.

Two figures of CodeSearchNet (Husain et al. 2019, section 4.2) and its successors: *MRR* over the whole corpus, here
over the first 100 answers as a run has them (what ranks lower adds less than 0.01), and *MRR among 1,000*: queries are
shuffled and taken by the thousand, and each must find its function among the functions of its batch. A last batch that
is not full is left out; where there are fewer queries than that, other functions of the corpus fill it up. nDCG@10 is
CoIR's and MTEB's figure.

The corpora are ordinary data sets: results are the records of ordinary runs, and the MRR among 1,000 asks the very
rankers that those runs built and saved.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retrieval_bench import registry
from retrieval_bench.datasets import local_copy
from retrieval_bench.datasets.codesearchnet import LANGUAGES
from retrieval_bench.errors import UnavailableError
from retrieval_bench.protocols import Ranker
from retrieval_bench.quality import mean, ranked, with_places
from retrieval_bench.quality.judged import Float64Array
from retrieval_bench.records import Store
from retrieval_bench.report.section import Cell, Group, Section, SectionColumn
from retrieval_bench.runner.run import Run
from retrieval_bench.study.ordinary import COSTS, costs, figures, metric_columns
from retrieval_bench.types import Dataset, Qrels

DATASETS = ("pystdlib", "cosqa")
METRICS = ("MRR", "nDCG@10", "recall@100")
_BLOCK = 64  # queries ranked over the whole corpus at a time


@dataclass(frozen=True, kw_only=True)
class CodeSearch:
    """A finished run on a set of functions, and for each ranker its MRR among ``candidates`` asked for, by trial."""

    run: Run
    candidates: int
    among: dict[str, float]

    @property
    def told_apart(self) -> int:
        """Functions that a ranker had to tell apart: the candidates, or the whole corpus where it is smaller."""
        return min(self.candidates, self.run.summary.documents)


def datasets_of(names: Sequence[str]) -> list[str]:
    """Names of data sets; a folder of languages (``python``, ``java`` ...) stands for those in it.

    No names at all are ``DATASETS``, and the languages of CodeSearchNet that are on this machine.
    """
    found: list[str] = []
    for name in names or (*DATASETS, *_languages_at_hand()):
        languages = [Path(name) / language for language in LANGUAGES if (Path(name) / language).is_dir()]
        found += [str(folder) for folder in languages] or [name]
    return found


def _languages_at_hand() -> list[str]:
    found = []
    for name in (f"codesearchnet/{language}" for language in LANGUAGES):
        with suppress(UnavailableError):
            local_copy(name)
            found.append(name)
    return found


def among_others(run: Run, dataset: Dataset, *, candidates: int = 1000, seed: int = 0) -> CodeSearch:
    """Ask the rankers of a run for each query's function among so many.

    Args:
        run: of rankers; their builds must be there still.
        dataset: that the run was on.
        candidates: functions to tell apart, the right one counted.
        seed: of the shuffle.
    """
    store = Store(run.folder)
    among = {}
    for record in run.records:
        if record.outcome == "ok" and record.kind == "ranker":
            folder = store.build_folder(record.build_id) / "index"
            ranker = registry.rankers.get(record.backend).load(folder)
            among[record.trial_id] = mean(reciprocal_ranks(ranker, dataset, candidates=candidates, seed=seed))
    return CodeSearch(run=run, candidates=candidates, among=among)


def reciprocal_ranks(ranker: Ranker, dataset: Dataset, *, candidates: int, seed: int = 0) -> Float64Array:
    """1 / rank of the best relevant function among the candidates of the query's batch.

    Args:
        ranker: built over the corpus of the data set.
        dataset: its test queries are asked.
        candidates: functions in a batch.
        seed: of the shuffle and of the functions that fill a batch up.

    Returns:
        (m,) values in the order of the test queries; 0 where the ranker does not return the function, NaN for queries
        of a last batch that is not full.
    """
    queries, qrels, n = dataset.queries["test"], dataset.qrels["test"], len(dataset.corpus)
    corpus = with_places(dataset.corpus)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(queries))
    size = min(candidates, len(queries))
    values = np.full(len(queries), np.nan)
    for start in range(0, len(queries) - size + 1, size):
        batch = order[start : start + size]
        member = np.zeros(n, bool)
        member[np.concatenate([_relevant(qrels, query) for query in batch])] = True
        missing = min(candidates, n) - int(member.sum())
        if missing > 0:
            member[rng.choice(np.flatnonzero(~member), missing, replace=False)] = True
        for at in range(0, size, _BLOCK):
            block = batch[at : at + _BLOCK]
            answers = ranked(ranker.rank(queries.take(block), n), corpus)
            for query, rows in zip(block, answers.rows, strict=True):
                kept = rows[rows >= 0]
                kept = kept[member[kept]]
                places = np.flatnonzero(np.isin(kept, _relevant(qrels, query)))
                values[query] = 1 / (1 + places[0]) if len(places) else 0.0
    return values


def _relevant(qrels: Qrels, query: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    judged = slice(qrels.offsets[query], qrels.offsets[query + 1])
    return qrels.rows[judged][qrels.grades[judged] > 0]


def codesearch_section(found: Sequence[CodeSearch]) -> Section:
    """The table of all sets and rankers, and the mean over the languages where there are several of CodeSearchNet."""
    told_apart = sorted({one.told_apart for one in found if one.candidates})
    unit = "among " + " or ".join(f"{number:,}" for number in told_apart)
    among = [SectionColumn(title="MRR", unit=unit, best="highest")] if told_apart else []
    groups, languages = [], []
    for one in found:
        summary = one.run.summary
        rows: list[list[Cell]] = [
            [
                r.system,
                *figures(r, one.run, METRICS),
                *([one.among.get(r.trial_id)] if among else []),
                *costs(r, one.run),
            ]
            for r in one.run.records
        ]
        queries = summary.queries["test"]
        groups.append(
            Group(label=f"{summary.dataset}: {queries:,} queries, {summary.documents:,} functions", rows=rows)
        )
        if summary.dataset.rpartition("/")[2] in LANGUAGES:
            languages.append(rows)
    if len(languages) > 1:
        groups.append(Group(label=f"mean of {len(languages)} languages", rows=_means(languages)))
    return Section(
        title="Code search",
        columns=[SectionColumn(title="ranker"), *metric_columns(METRICS), *among, *COSTS],
        groups=groups,
        remarks=(
            "MRR: over the first 100 answers from the whole corpus. Among so many: as CodeSearchNet, in batches.",
            "CoSQA's test queries come from web searches; what learns (a fusion's weights, LambdaMART) learns from its "
            "tuning queries. MiniLM was trained on CodeSearchNet among others, where the functions come from.",
            *(
                f"{one.run.summary.dataset}: has {one.told_apart:,} functions, so the MRR is among these."
                for one in found
                if one.told_apart < one.candidates
            ),
            *(f"{one.run.summary.dataset}: {note}" for one in found for note in one.run.summary.notes),
        ),
    )


def _means(tables: Sequence[Sequence[Sequence[Cell]]]) -> list[list[Cell]]:
    """Row by row the mean of each column of numbers; nothing where a table lacks the number."""
    means: list[list[Cell]] = []
    for rows in zip(*tables, strict=True):
        columns = list(zip(*rows, strict=True))[1:]
        numbers = [[cell for cell in column if isinstance(cell, float)] for column in columns]
        full = [len(column) == len(tables) for column in numbers]
        means.append(
            [rows[0][0], *(sum(c) / len(c) if whole else None for c, whole in zip(numbers, full, strict=True))]
        )
    return means
