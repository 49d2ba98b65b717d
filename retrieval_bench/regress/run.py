"""Base and head of this repository, built and served in one job from two source trees."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from retrieval_bench import registry
from retrieval_bench.comparison import Finding
from retrieval_bench.datasets import load_dataset
from retrieval_bench.errors import RetrievalBenchError, UnavailableError, UsageError
from retrieval_bench.processors import usable_cores
from retrieval_bench.regress.gate import PILOT, Side, complaints, judged_speed, planned_rounds
from retrieval_bench.runner.encoding import encoded_or_why_not, refusal
from retrieval_bench.runner.prepared import opened, store
from retrieval_bench.runner.race import Contender, Served, ratio_in_new_processes, served, take_turns
from retrieval_bench.runner.run import chosen_cards
from retrieval_bench.runner.score import score
from retrieval_bench.specs import SystemCard
from retrieval_bench.types import Budget, Dataset

CLAIMED = ("nDCG@10", "neighbor_recall@10", "neighbor_recall@100")


@dataclass(frozen=True, kw_only=True)
class Report:
    """One system at one setting.

    Attributes:
        system: name of its card, with the setting.
        complaints: what is worse in head; empty when nothing is shown to be.
        speed: head against base; None where there was nothing to compare.
        refused: why there was nothing to compare; empty where there was.
    """

    system: str
    complaints: list[str]
    speed: Finding | None = None
    refused: str = ""


def regress(
    base: str, *, dataset: str = "synthetic", indexes: Sequence[str] | None = None,
    rankers: Sequence[str] | None = None, tree: Path | None = None, threads: int | None = None, rows: int | None = None,
    seconds: float = 120.0, on_report: Callable[[Report], None] | None = None,
) -> list[Report]:  # fmt: skip
    """Compare the working tree with a revision of it.

    Both are given the same prepared data, by the head's readers. Each builds and serves the systems with its own code
    in its own process; the processes then take turns, as often as the noise of a few first rounds asks for. Unless the
    difference is plain, new pairs of processes follow, until they show that head is slower or that it is not
    (``judged_speed``).

    Args:
        base: revision to compare with, as git names it.
        dataset: as for ``run``.
        indexes: index cards of the head; None with ``rankers`` None is every default system.
        rankers: ranker cards.
        tree: root of the repository; None is where this package lies.
        threads: of every engine; None is one per core.
        rows: use only the first so many vectors.
        seconds: after so long no further pair of processes is begun for a system; those measured by then, which are too
            few, blame nobody for their speed.
        on_report: told of each system when it is done.

    Raises:
        UsageError: not a git repository, no such revision, or one that has no package of ours.
        RetrievalBenchError: the data or the call is wrong, or no system can do without the encoder that is missing.
            A system that a revision cannot build or serve is a report that says so.
    """
    root = tree or Path(__file__).parents[2]
    data = load_dataset(dataset, rows=rows, apart=True)
    cards = chosen_cards(data, indexes, rankers)
    data, encoder, lacking = encoded_or_why_not(data, cards, None)
    folder = store(data)
    reports = []
    with checked_out(base, root) as old:
        for card in cards:
            setting = card.settings()[len(card.settings()) // 2]
            label = " ".join([card.name, *(f"{k}={v}" for k, v in setting.items())])
            try:
                if reason := refusal(card, lacking):
                    raise UnavailableError(reason)
                pair = [
                    _contender(name, place, card, setting, folder, len(data.corpus), encoder, threads or usable_cores())
                    for name, place in (("base", old), ("head", root))
                ]
                reports.append(_report(label, card, pair, opened(folder), seconds))
            except RetrievalBenchError as error:
                reports.append(Report(system=label, complaints=[], refused=str(error)))
            if on_report is not None:
                on_report(reports[-1])
    return reports


@contextlib.contextmanager
def checked_out(revision: str, root: Path) -> Iterator[Path]:
    """A folder with the files of a revision, as a git worktree that is removed afterwards.

    Raises:
        UsageError: git cannot give it; holds what git said.
    """
    with tempfile.TemporaryDirectory(prefix="retrieval-bench-base-") as parent:
        place = Path(parent) / "base"
        done = _git(root, "worktree", "add", "--detach", str(place), revision)
        if done.returncode:
            raise UsageError(f"--base {revision!r}: {(done.stderr.strip() or 'git failed').splitlines()[-1]}")
        try:
            if not (place / "retrieval_bench").is_dir():
                raise UsageError(f"--base {revision!r}: that revision holds no package retrieval_bench")
            yield place
        finally:
            _git(root, "worktree", "remove", "--force", str(place))


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)


def _contender(
    name: str, place: Path, card: SystemCard, setting: dict[str, object], folder: Path, documents: int,
    encoder: str | None, threads: int,
) -> Contender:  # fmt: skip
    plugin = (registry.indexes if card.kind == "index" else registry.rankers).get(card.backend)
    build = dict(card.build)
    if encoder is not None and "encoder" in plugin.BuildParams.model_fields:
        build.setdefault("encoder", encoder)
    return Contender(
        name=name, kind=card.kind, backend=card.backend, plugin=plugin.__module__, dataset_folder=folder, build=build,
        search=setting, budget=Budget(), depth=min(100, documents), threads=threads, tree=place,
    )  # fmt: skip


def _report(label: str, card: SystemCard, pair: list[Contender], data: Dataset, seconds: float) -> Report:
    start = time.perf_counter()
    with served(pair) as running:
        base, head = (_side(one, card, data) for one in running)
        pilot = take_turns(running, looks=1, rounds=PILOT).seconds  # its spread plans the rounds, its medians do not
        rounds = planned_rounds(pilot[:, 0], pilot[:, 1])
        done = take_turns(running, looks=1, rounds=rounds, seed=1)

    def once_more(before: int) -> float | None:
        if time.perf_counter() - start > seconds:
            return None
        return ratio_in_new_processes(pair[::-1], before, looks=1, rounds=rounds)

    speed = judged_speed(done.seconds, once_more, per=done.queries)
    found = complaints(base, head, speed, documents=len(data.corpus))
    return Report(system=label, complaints=found, speed=speed)


def _side(one: Served, card: SystemCard, data: Dataset) -> Side:
    hits = one.hits()
    values = score(data, "test", hits, kind=card.kind, depth=one.contender.depth)
    return Side(hits=hits, values={k: v for k, v in values.items() if k in CLAIMED}, memory=one.memory().model_dump())
