"""The BEIR sets under reference rankers, one by one or all, with results in the form of the MTEB leaderboard.

Thakur et al. 2021 (arXiv 2104.08663). A query's own document is taken out before scoring, as the runner does for every
data set whose queries are documents.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from retrieval_bench.datasets import holds_beir, place_name
from retrieval_bench.errors import RetrievalBenchError, UnavailableError, UnknownNameError
from retrieval_bench.files import home, write_text
from retrieval_bench.measure.clock import Effort
from retrieval_bench.runner.execute import OnEvent
from retrieval_bench.runner.run import Run, run
from retrieval_bench.specs import dataset_cards, system_card
from retrieval_bench.study.leaderboard import digest, leaderboard, means
from retrieval_bench.types import TrialRecord

RANKERS = ("bm25", "dense", "hybrid")
_PREFIX = "beir/"
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
_WHOLES = {"beir/cqadupstack": "CQADupstackRetrieval"}  # sets in parts, whose result is the mean of theirs


@dataclass(frozen=True, kw_only=True)
class Done:
    """A BEIR set that was run, or why it was not; or the mean over the parts of a set, once all of them were run.

    Attributes:
        dataset: name of its card, or path.
        run: None where the set is not on this machine or cannot be used, and for a mean.
        files: written results, one per ranker that finished.
        problem: one line for a set without a run.
        absent: whether it is not on this machine.
        means: of a mean, ranker to metric to value.
    """

    dataset: str
    run: Run | None
    files: tuple[Path, ...] = ()
    problem: str = ""
    absent: bool = False
    means: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


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
        names: of sets, with or without ``beir/``, or paths of BEIR folders or of folders of such; ``cqadupstack`` is
            its twelve forums.
        rankers: names or paths of ranker cards.
        encoder: of the rankers that leave it open.
        seconds: most time to measure the speed of each ranker.
        out: where to write; each set gets a folder ``runs/SET``, each ranker its results as ``RANKER/TASK.json``. What
            comes from a path carries a mark of the path in its name, so that folders called alike stay apart.
        on_event: told of the progress of each run.

    Raises:
        UnknownNameError: no such set or ranker; known before any work.
    """
    for ranker in rankers:
        system_card(ranker, "ranker")
    place = out or home() / "results" / "beir"
    given = {part: whole for name in names for part, whole in _parts(name).items()}
    ran: dict[str, list[TrialRecord]] = {}
    for name, whole in given.items():
        try:
            folder = place_name(name)
            done = run(
                name,
                rankers=rankers,
                encoder=encoder,
                effort=Effort(seconds=seconds),
                out=place / "runs" / folder,
                command=f"retrieval-bench beir {name}",
                compare_speeds=False,
                on_event=on_event,
            )
        except RetrievalBenchError as error:
            yield Done(dataset=name, run=None, problem=str(error), absent=isinstance(error, UnavailableError))
            continue
        ran[name] = [record for record in done.records if record.outcome == "ok"]
        files = tuple(_write(place, [record], _task(name, given)) for record in ran[name])
        yield Done(dataset=name, run=done, files=files)
        parts = [part for part, of in given.items() if of == whole]
        if whole and name == parts[-1] and _complete(whole, parts) and all(part in ran for part in parts):
            yield from _mean(place, whole, [ran[part] for part in parts])


def _mean(place: Path, whole: str, parts: Sequence[Sequence[TrialRecord]]) -> Iterator[Done]:
    """Write the mean over the parts for each system that has a result on all of them."""
    by_system: dict[str, list[TrialRecord]] = {}
    for part in parts:
        for system, record in {record.system: record for record in part}.items():
            by_system.setdefault(system, []).append(record)
    full = {system: records for system, records in by_system.items() if len(records) == len(parts)}
    if not full:
        return
    fingerprints = [part[0].dataset_fingerprint for part in parts]
    task = _WHOLES.get(whole) or f"{Path(whole).resolve().name}-{digest(fingerprints)[:6]}"
    files = tuple(_write(place, records, task) for records in full.values())
    yield Done(dataset=whole, run=None, files=files, means={name: means(each) for name, each in full.items()})


def _write(place: Path, records: Sequence[TrialRecord], task: str) -> Path:
    file = place / records[0].system / f"{task}.json"
    write_text(file, json.dumps(leaderboard(records, task), indent=2))
    return file


def _task(name: str, others: Iterable[str]) -> str:
    """The leaderboard's name of a set; a folder has it too if it is called as the set and is alone in that."""
    short = name.removeprefix(_PREFIX)
    if name in dataset_cards():
        return _TASKS.get(short, short)
    called = Path(name).resolve().name
    alone = sum(Path(other).resolve().name == called for other in others) == 1
    return _TASKS.get(called, place_name(name)) if alone else place_name(name)


def _parts(name: str) -> dict[str, str]:
    """The cards or folders that a name stands for, each with the set that it is part of, empty where it is none."""
    known = beir_sets()
    full = f"{_PREFIX}{name.removeprefix(_PREFIX)}"
    if parts := [each for each in known if each == full or each.startswith(f"{full}/")]:
        return {part: next((whole for whole in _WHOLES if part.startswith(f"{whole}/")), "") for part in parts}
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise UnknownNameError("BEIR set", name, [*known, *(each.removeprefix(_PREFIX) for each in known)])
    inside = [] if holds_beir(folder) else sorted(str(each) for each in folder.iterdir() if holds_beir(each))
    return dict.fromkeys(inside, name) or {name: ""}


def _complete(whole: str, parts: Sequence[str]) -> bool:
    return whole not in _WHOLES or len(parts) == len(_parts(whole))
