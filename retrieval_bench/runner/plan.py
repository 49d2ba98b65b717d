"""What is to be done: builds, each with the search settings that are its trials.

Ids are hashes of everything that can change a figure, so that what is already there is only taken up where it would
come out the same: data, parameters, budget, seed, effort, all sources of this package and of the plug-in's, whether the
compiled kernels or numpy did the work, libraries and processor.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict
from functools import cache
from pathlib import Path

from retrieval_bench import registry
from retrieval_bench.errors import CardError, UsageError
from retrieval_bench.files import sha256
from retrieval_bench.kernels import kernel
from retrieval_bench.measure.clock import Effort
from retrieval_bench.measure.machine import libraries, machine
from retrieval_bench.runner.job import BuildPlan, Floor, TrialPlan
from retrieval_bench.specs import SystemCard, params
from retrieval_bench.types import Budget, Params, Split

_SOURCES = {".py", ".pyx", ".c", ".cc", ".cpp", ".cu", ".h", ".hpp", ".so"}


def plan_builds(
    cards: list[SystemCard],
    *,
    fingerprint: str,
    dataset_folder: Path,
    out: Path,
    budget: Budget,
    threads: int,
    seed: int,
    depth: int,
    effort: Effort,
    encoder: str | None,
    splits: tuple[Split, ...] = ("test", "tune"),
    floor: Floor | None = None,
) -> list[BuildPlan]:
    """Check every card against its backend's parameters and lay out the run, before any work is done.

    A ranker with a parameter ``encoder`` that its card leaves open gets the run's.

    Raises:
        CardError: a key or value that the backend does not take; names the card and the key.
        UnavailableError: a backend's engine is not installed.
        UnknownNameError: no such backend.
    """
    plans = []
    aside = [splits, floor and floor.model_dump(), asdict(effort), machine()["cpu"], machine()["gpu"]]
    for card in cards:
        plugin = registry.indexes.get(card.backend) if card.kind == "index" else registry.rankers.get(card.backend)
        module = plugin.__module__
        if module == "__main__":
            raise UsageError(
                f"{card.backend!r} is defined in the script itself; move it to a module that trials can import"
            )
        where = f"card {card.name!r}"
        wanted = dict(card.build)
        if encoder is not None and "encoder" in plugin.BuildParams.model_fields:
            wanted.setdefault("encoder", encoder)
        asked = params(plugin.BuildParams, wanted, where=f"{where}, table 'build'")
        build = asked.model_dump(mode="json")
        if card.kind == "index":
            search_model = registry.indexes.get(card.backend).SearchParams
            settings = [
                params(search_model, s, where=f"{where}, table 'search'").model_dump(mode="json")
                for s in card.settings()
            ]
        elif card.search:
            raise CardError(f"{where}: a ranker has no table 'search'; put its parameters under 'build'")
        else:
            settings = [{}]
        build_id = _hash(
            card.kind, card.backend, build | _contents(asked), fingerprint, budget.model_dump(), threads, seed,
            libraries(), sources_hash("retrieval_bench", module), kernel(),
        )  # fmt: skip
        trials = tuple(TrialPlan(trial_id=_hash(build_id, s, depth, card.name, *aside), search=s) for s in settings)
        plans.append(
            BuildPlan(
                build_id=build_id, card=card, build=build, trials=trials, dataset_folder=dataset_folder, out=out,
                budget=budget, threads=threads, seed=seed, depth=depth, effort=effort, plugin=module,
                splits=splits, floor=floor,
            )
        )  # fmt: skip
    return plans


def sources_hash(*modules: str) -> str:
    """Hash of the sources of the modules' whole packages, or of the file of a module that is in none.

    A file is read again only when it has changed: a long session plans often, and its sources may be edited meanwhile.
    """
    found: dict[str, Path] = {}
    for name in sorted({module.partition(".")[0] for module in modules}):
        top = sys.modules[name]
        for folder in map(Path, getattr(top, "__path__", [])):
            found |= {f"{name}/{f.relative_to(folder)}": f for f in folder.rglob("*") if f.suffix in _SOURCES}
        if not hasattr(top, "__path__") and top.__file__:
            found[name] = Path(top.__file__)
    return _hash([[name, _digest(file, file.stat().st_mtime_ns)] for name, file in sorted(found.items())])


@cache
def _digest(file: Path, _changed: int) -> str:
    return sha256(file)


def _contents(build: Params) -> dict[str, str]:
    """The SHA-256 of each file that a parameter names: it counts by what it holds, wherever it stands."""
    return {name: sha256(value) for name, value in build if isinstance(value, Path) and value.is_file()}


def _hash(*parts: object) -> str:
    text = json.dumps(parts, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
