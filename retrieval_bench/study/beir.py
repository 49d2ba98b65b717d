"""The BEIR sets under reference rankers, one by one or all, with results in the form of the MTEB leaderboard.

Thakur et al. 2021 (arXiv 2104.08663). A query's own document is taken out before scoring, as the runner does for every
data set whose queries are documents.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval_bench.errors import RetrievalBenchError, UnavailableError, UnknownNameError
from retrieval_bench.files import home, write_text
from retrieval_bench.measure.clock import Effort
from retrieval_bench.measure.machine import libraries
from retrieval_bench.runner.execute import OnEvent
from retrieval_bench.runner.run import Run, run
from retrieval_bench.specs import dataset_cards, system_card
from retrieval_bench.types import TrialRecord

RANKERS = ("bm25", "dense", "hybrid")
_PREFIX = "beir/"
_DEPTH = 100  # of a run over judged texts, and so of MAP
_FORUMS = (
    "android", "english", "gaming", "gis", "mathematica", "physics",
    "programmers", "stats", "tex", "unix", "webmasters", "wordpress",
)  # fmt: skip
# Our name of a set -> the leaderboard's; a set that is not among them keeps its own.
_TASKS = {
    "arguana": "ArguAna",
    "climate-fever": "ClimateFEVER",
    **{f"cqadupstack/{forum}": f"CQADupstack{forum.capitalize()}Retrieval" for forum in _FORUMS},
    "dbpedia-entity": "DBPedia",
    "fever": "FEVER",
    "fiqa": "FiQA2018",
    "hotpotqa": "HotpotQA",
    "msmarco": "MSMARCO",
    "nfcorpus": "NFCorpus",
    "nq": "NQ",
    "quora": "QuoraRetrieval",
    "scidocs": "SCIDOCS",
    "scifact": "SciFact",
    "trec-covid": "TRECCOVID",
    "webis-touche2020": "Touche2020",
}
_METRICS = {
    "nDCG@10": "ndcg_at_10",
    "recall@100": f"recall_at_{_DEPTH}",
    "MAP": f"map_at_{_DEPTH}",
    "MRR@10": "mrr_at_10",
    "P@10": "precision_at_10",
}


@dataclass(frozen=True, kw_only=True)
class Done:
    """A BEIR set that was run, or why it was not.

    Attributes:
        dataset: name of its card.
        run: None where the set is not on this machine or cannot be used.
        files: written results, one per ranker that finished.
        problem: one line for a set without a run.
        absent: whether it is not on this machine.
    """

    dataset: str
    run: Run | None
    files: tuple[Path, ...] = ()
    problem: str = ""
    absent: bool = False


def beir_sets() -> list[str]:
    """Names of the cards of all BEIR sets."""
    return [name for name in dataset_cards() if name.startswith(_PREFIX)]


def run_beir(
    names: Sequence[str],
    *,
    rankers: Sequence[str] = RANKERS,
    encoder: str | None = None,
    seconds: float = 1.0,
    out: Path | None = None,
    on_event: OnEvent | None = None,
) -> Iterator[Done]:
    """Run rankers over BEIR sets; each is yielded when it is done, and the same call again resumes.

    A set that is not here or cannot be used is yielded without a run, and the others go on.

    Args:
        names: of sets, with or without ``beir/``, or paths of BEIR folders; ``cqadupstack`` is its twelve forums.
        rankers: names or paths of ranker cards.
        encoder: of the rankers that leave it open.
        seconds: most time to measure the speed of each ranker.
        out: where to write; each set gets a folder ``runs/SET``, each ranker its results as ``RANKER/TASK.json``.
        on_event: told of the progress of each run.

    Raises:
        UnknownNameError: no such set or ranker; known before any work.
    """
    for ranker in rankers:
        system_card(ranker, "ranker")
    place = out or home() / "results" / "beir"
    for name in [full for given in names for full in _full_names(given)]:
        short = name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else Path(name).name
        try:
            done = run(
                name,
                rankers=rankers,
                encoder=encoder,
                effort=Effort(seconds=seconds),
                out=place / "runs" / short,
                command=f"retrieval-bench beir {name}",
                compare_speeds=False,
                on_event=on_event,
            )
        except RetrievalBenchError as error:
            yield Done(dataset=name, run=None, problem=str(error), absent=isinstance(error, UnavailableError))
            continue
        task = _TASKS.get(short, short)
        files = []
        for record in done.records:
            if record.outcome == "ok":
                file = place / record.system / f"{task}.json"
                write_text(file, json.dumps(leaderboard(record, task), indent=2))
                files.append(file)
        yield Done(dataset=name, run=done, files=tuple(files))


def leaderboard(record: TrialRecord, task: str) -> dict[str, Any]:
    """A trial in the form of MTEB's result files (``TaskResult``)."""
    found = {theirs: record.value(ours) for ours, theirs in _METRICS.items()}
    scores = {name: value for name, value in found.items() if value is not None}
    return {
        "dataset_revision": record.dataset_fingerprint,
        "task_name": task,
        "mteb_version": None,
        "retrieval_bench_version": libraries().get("retrieval-bench", ""),
        "scores": {
            "test": [{**scores, "main_score": scores["ndcg_at_10"], "hf_subset": "default", "languages": ["eng-Latn"]}]
        },
        "evaluation_time": record.seconds,
        "kg_co2_emissions": None,
    }


def _full_names(name: str) -> list[str]:
    known = beir_sets()
    if name in known or Path(name).is_dir():
        return [name]
    full = f"{_PREFIX}{name.removeprefix(_PREFIX)}"
    if full in known:
        return [full]
    if parts := [each for each in known if each.startswith(f"{full}/")]:
        return parts
    raise UnknownNameError("BEIR set", name, [*known, *(each.removeprefix(_PREFIX) for each in known)])
