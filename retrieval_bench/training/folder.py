"""The folder of a trained model: weights, what they came from, what they gained, and a model card for readers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from retrieval_bench.errors import UsageError
from retrieval_bench.files import atomic_folder
from retrieval_bench.training import checkpoint
from retrieval_bench.training.checkpoint import Identity, check_identity
from retrieval_bench.training.heldout import Gain
from retrieval_bench.types import Frozen

_FACTS = "metrics.json"


class Trained(Frozen):
    """A finished model.

    Attributes:
        folder: can be named as an encoder.
        identity: recipe, settings, data and starting weights.
        start: encoder that the gains are over.
        gains: on held-out queries.
        losses: of every step; empty for a soup.
        facts: whatever else the recipe found out.
    """

    folder: Path
    identity: dict[str, Any]
    start: str
    gains: tuple[Gain, ...]
    losses: tuple[float, ...] = ()
    facts: dict[str, Any] = Field(default_factory=dict)


def finished(folder: Path, identity: Identity) -> Trained | None:
    """The model of this run that is in the folder already, or None where the folder is free or holds a checkpoint.

    Raises:
        UsageError: the folder holds something else, which is not overwritten.
    """
    facts = folder / _FACTS
    if facts.is_file():
        try:
            found = Trained.model_validate_json(facts.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UsageError(f"{facts}: not written by a training run; name another folder with --out") from error
        check_identity(folder, found.identity, identity)
        return found.model_copy(update={"folder": folder})
    if folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - {checkpoint.FOLDER}):
        raise UsageError(f"{folder}: holds other files; name a new folder with --out")
    return None


def measured_also(done: Trained, names: Sequence[str], measure: Callable[[Sequence[str]], Sequence[Gain]]) -> Trained:
    """A finished model with its gains on more data sets; its folder, whose files name its version, stays as it is.

    Args:
        done: the model.
        names: of the data sets that gains are wanted on.
        measure: the gains on some of them; not called where all are known.
    """
    known = {gain.dataset for gain in done.gains}
    missing = [name for name in names if name not in known]
    return done.model_copy(update={"gains": (*done.gains, *measure(missing))}) if missing else done


def identity_of(folder: Path) -> Identity:
    """What a trained model, or the mixture that it is an expert of, was made of; empty where nothing says so."""
    for place in (folder, folder.parent):
        try:
            found = Trained.model_validate_json((place / _FACTS).read_text(encoding="utf-8")).identity
        except (OSError, ValueError):
            continue
        if place == folder or found.get("recipe") == "moe":
            return found
    return {}


def publish(
    folder: Path,
    write_model: Callable[[Path], None],
    measure: Callable[[Path], Sequence[Gain]],
    *,
    identity: Identity,
    start: str,
    losses: Sequence[float] = (),
    facts: dict[str, Any] | None = None,
    parts: Sequence[str] = (),
    measured: str = "exact search",
    use: str = "`retrieval-bench run DATASET --ranker dense --encoder {}`",
) -> Trained:
    """Write a model, measure it as any other encoder is measured, and put both in place of the checkpoint at once.

    Args:
        folder: where the model is wanted.
        write_model: writes weights and settings into a folder.
        measure: the gains of the model in a folder.
        identity: of the run.
        start: encoder that the gains are over.
        losses: of every step.
        facts: whatever else is worth keeping.
        parts: folders inside, where the folder holds several models.
        measured: how the gains were measured.
        use: how to use a model, with a place for its folder.
    """
    with atomic_folder(folder) as temporary:
        write_model(temporary)
        trained = Trained(
            folder=folder, identity=identity, start=start, gains=tuple(measure(temporary)), losses=tuple(losses),
            facts=facts or {},
        )  # fmt: skip
        (temporary / _FACTS).write_text(trained.model_dump_json(indent=1), encoding="utf-8")
        (temporary / "README.md").write_text(_card(trained, parts, measured, use), encoding="utf-8")
    return trained


def _card(trained: Trained, parts: Sequence[str], measured: str, use: str) -> str:
    """The model card; its head is what the Hugging Face hub reads."""
    identity = trained.identity
    rows = [
        f"| {g.dataset} | {g.split} | {g.metric} | {g.dimensions} | {g.queries} | {g.over} "
        f"| {g.before:.4f} | {g.after:.4f} | {g.gain:+.4f} | {g.low:+.4f} to {g.high:+.4f} |"
        for g in trained.gains
    ]
    folders = [f"{trained.folder.name}/{part}" for part in parts] or [trained.folder.name]
    return "\n".join([
        "---", "library_name: sentence-transformers", "pipeline_tag: sentence-similarity",
        "tags: [sentence-transformers, retrieval]", "---",
        f"# {trained.folder.name}", "",
        f"Made by `retrieval-bench train {identity['recipe']}` from the encoder `{trained.start}`.", "",
        "## Held-out gain", "",
        f"Means over queries that no training saw, {measured}; the interval is a paired bootstrap's (95 %).", "",
        "| data set | split | metric | dimensions | queries | over | before | after | gain | interval |",
        "|---|---|---|---:|---:|---|---:|---:|---:|---|", *rows, "",
        "## How it was made", "", "```json", json.dumps({**identity, **trained.facts}, indent=1), "```", "",
        "## Use", "", *(f"- {use.format(folder)}" for folder in folders), "",
    ])  # fmt: skip
