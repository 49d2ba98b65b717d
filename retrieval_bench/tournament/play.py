"""Every method under every budget by the ordinary runner, so that processes, records and resumption are the same."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from retrieval_bench.codecs import registered
from retrieval_bench.datasets import place_name
from retrieval_bench.errors import UsageError
from retrieval_bench.files import home, write_text
from retrieval_bench.measure.clock import Effort
from retrieval_bench.records import Store, Turns
from retrieval_bench.runner.finals import in_turns, usable_again
from retrieval_bench.runner.quiet import unquiet_answer
from retrieval_bench.runner.run import run
from retrieval_bench.tournament.advice import advised
from retrieval_bench.tournament.standings import EXACT, Round, Standing, Tournament, standings
from retrieval_bench.types import Budget

BUDGETS = (16.0, 32.0, 64.0, 128.0, 256.0)
LIGHT = Effort(target=0.1, minimum=3, seconds=0.3, concurrent_seconds=0.1)
_RESULT = "tournament.json"
_TURNS = 20  # times the effort's seconds: most time for measuring the fastest of a round in turns
_DEPTH = 10  # what the quality figures of the table look at


def methods() -> list[str]:
    """Names of the codecs that take part when none are named: all of them."""
    return registered.names()


def play(
    dataset: str,
    *,
    budgets: Sequence[float] = BUDGETS,
    codecs: Sequence[str] | None = None,
    traffic: Path | None = None,
    encoder: str | None = None,
    rows: int | None = None,
    queries: int | None = None,
    threads: int | None = None,
    seed: int = 0,
    timeout: float = 600.0,
    effort: Effort = LIGHT,
    out: Path | None = None,
    retry: bool = False,
    progress: bool = False,
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> Tournament:
    """Run all codecs on a data set under each budget; the same call again continues an interrupted tournament.

    Args:
        dataset: as for ``run``.
        budgets: analytic index bytes per vector, one round each.
        codecs: names of those that take part; None is all.
        traffic: file with one count per document, for codecs that favour what is asked for most.
        encoder: of texts, as for ``run``.
        rows: use only the first so many vectors of the corpus.
        queries: use only the first so many queries of each split.
        threads: of every engine.
        seed: of every random choice.
        timeout: most wall seconds of one process.
        effort: how long to measure each method.
        out: folder with a run for each budget; None is ``results/<dataset>-tournament`` in the home folder.
        retry: do trials again that did not end in ``ok``.
        progress: show bars for downloads and encoding.
        on_event: told of everything the trials report.

    Returns:
        The tables, also written as ``tournament.json``.

    Raises:
        RetrievalBenchError: the data or the call is wrong. What a method does wrong stands in the table instead.
    """
    if not budgets or not all(0 < each < math.inf for each in budgets):
        raise UsageError("name at least one budget, each more than 0 bytes per vector")
    if traffic is not None and not traffic.is_file():
        raise UsageError(f"{traffic}: there is no such file; traffic is a .npy of one count for each document")
    folder = (out or home() / "results" / f"{place_name(dataset)}-tournament").resolve()
    cards = [str(_card(folder / "cards", name, traffic)) for name in codecs or methods()]

    def one(indexes: list[str], budget: Budget, name: str) -> Any:
        return run(
            dataset, indexes=indexes, encoder=encoder, budget=budget, depth=_DEPTH, rows=rows, queries=queries,
            seed=seed, timeout=timeout, effort=effort, out=folder / name, retry=retry, compare_speeds=False,
            progress=progress, on_event=on_event,
        )  # fmt: skip

    exact = one(["flat"], Budget(threads=threads), EXACT)
    reference = standings(Store(exact.folder), exact.records)[0]
    rounds, before = [], _measured_before(folder)
    for budget in sorted(set(budgets)):
        done = one(cards, Budget(bytes_per_vector=budget, threads=threads), f"{budget:g}")
        found = standings(Store(done.folder), done.records)
        race = partial(_in_turns, Store(done.folder), before.get(budget), _TURNS * effort.seconds)
        choice, sentence, turns = advised(budget, found, reference, race)
        rounds.append(
            Round(
                bytes_per_vector=budget,
                standings=found,
                choice=choice,
                advice=sentence + unquiet_answer(done.records),
                turns=turns,
            )
        )
    result = Tournament(
        dataset=exact.summary.dataset,
        documents=exact.summary.documents,
        dimensions=exact.summary.dimensions,
        queries=exact.summary.queries,
        machine=exact.records[0].machine,
        commit=exact.records[0].code.get("commit", ""),
        exact=reference,
        rounds=tuple(rounds),
        folder=folder,
    )
    write_text(folder / _RESULT, result.model_dump_json(indent=1) + "\n")
    return result


def _measured_before(folder: Path) -> dict[float, Turns]:
    """What an earlier call measured in turns, by budget."""
    try:
        written = Tournament.model_validate_json((folder / _RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {each.bytes_per_vector: each.turns for each in written.rounds if each.turns is not None}


def _in_turns(store: Store, before: Turns | None, seconds: float, near: Sequence[Standing]) -> Turns | str:
    trials = [standing.trial_id for standing in near]
    if usable_again(before, trials):
        return before
    return in_turns(store, store.records(trials), seconds=seconds)


def _card(folder: Path, codec: str, traffic: Path | None) -> Path:
    """Write the card of a codec under the flat index: what ran can be run again by hand with it."""
    module = sys.modules[registered.get(codec).__module__]
    summary = (module.__doc__ or codec).strip().splitlines()[0]
    lines = [
        f"name = {json.dumps(codec)}",
        f"summary = {json.dumps(summary, ensure_ascii=False)}",
        'kind = "index"',
        'backend = "coded"',
        "",
        "[build]",
        f"codec = {json.dumps(codec)}",
    ]
    if traffic is not None:
        lines.append(f"traffic = {json.dumps(str(traffic.resolve()))}")
    path = folder / f"{codec}.toml"
    write_text(path, "\n".join(lines) + "\n")
    return path
