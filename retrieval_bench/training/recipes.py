"""From the name of a data set to a trained model with its held-out gain: what the commands call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from retrieval_bench.training.batches import Pairs
from retrieval_bench.training.cocosoda import CoCoSoDa, CoCoSoDaSettings
from retrieval_bench.training.contrastive import Contrastive
from retrieval_bench.training.folder import Trained, finished, measured_also, publish
from retrieval_bench.training.heldout import gains_on
from retrieval_bench.training.learned import learning_data
from retrieval_bench.training.loop import fit
from retrieval_bench.training.matryoshka import Matryoshka
from retrieval_bench.training.objective import Objective
from retrieval_bench.training.settings import Settings
from retrieval_bench.training.text_encoder import TextEncoder


def train_contrastive(
    dataset: str,
    out: Path,
    *,
    settings: Settings,
    start: str = "minilm",
    evaluate: Sequence[str] = (),
    device: str | None = None,
    progress: bool = False,
) -> Trained:
    """Train a dual encoder with in-batch and mined negatives.

    The same call goes on where an interrupted one stopped, and returns at once when the model is there.

    Args:
        dataset: whose ``train`` split is learned from, and whose ``test`` split is reported.
        out: folder of the model.
        settings: of the run.
        start: encoder to start from.
        evaluate: more data sets to report the ``test`` split of.
        device: None is a GPU where there is one.
        progress: show a bar on standard error.

    Raises:
        UsageError: the folder holds something else, or a setting does not fit the encoder.
        DataError: nothing to learn from, or the encoder's folder holds no model.
        UnavailableError: data set, encoder or device cannot be had.
    """
    return _train(
        "contrastive", dataset, out, lambda encoder: Contrastive(encoder, settings), settings=settings, start=start,
        evaluate=evaluate, device=device, progress=progress,
    )  # fmt: skip


def train_matryoshka(
    dataset: str,
    out: Path,
    *,
    dims: Sequence[int],
    settings: Settings,
    start: str = "minilm",
    evaluate: Sequence[str] = (),
    device: str | None = None,
    progress: bool = False,
) -> Trained:
    """Train a dual encoder whose vectors can be cut to any of ``dims``; otherwise as ``train_contrastive``."""
    return _train(
        "matryoshka", dataset, out, lambda encoder: Matryoshka(encoder, settings, dims), settings=settings,
        start=start, evaluate=evaluate, device=device, progress=progress, dims=dims,
    )  # fmt: skip


def train_cocosoda(
    dataset: str,
    out: Path,
    *,
    settings: CoCoSoDaSettings,
    start: str = "minilm",
    evaluate: Sequence[str] = (),
    device: str | None = None,
    progress: bool = False,
) -> Trained:
    """Train for code search as CoCoSoDa does; otherwise as ``train_contrastive``."""
    return _train(
        "cocosoda", dataset, out, lambda encoder: CoCoSoDa(encoder, settings), settings=settings, start=start,
        evaluate=evaluate, device=device, progress=progress,
    )  # fmt: skip


def _train(
    recipe: str,
    name: str,
    out: Path,
    objective_of: Callable[[TextEncoder], Objective],
    *,
    settings: Settings,
    start: str,
    evaluate: Sequence[str],
    device: str | None,
    progress: bool,
    dims: Sequence[int] = (),
) -> Trained:
    encoder = TextEncoder(start, frozen_layers=settings.frozen_layers, device=device)
    objective = objective_of(encoder)
    dataset = learning_data(name, settings)
    identity = {
        "recipe": recipe, "settings": settings.model_dump(mode="json"), "dataset": name,
        "dataset_fingerprint": dataset.fingerprint, "start": start, "start_revision": encoder.revision,
        "dims": list(dims),
    }  # fmt: skip
    reported = list(dict.fromkeys([name, *evaluate]))
    done = finished(out, identity)
    if done is not None:
        return measured_also(done, reported, lambda names: gains_on(names, start, str(out), dims=dims))
    losses = fit(objective, Pairs(dataset, settings), settings, out, identity=identity, progress=progress)
    return publish(
        out,
        encoder.save,
        lambda folder: gains_on(reported, start, str(folder), dims=dims),
        identity=identity,
        start=start,
        losses=losses,
    )
