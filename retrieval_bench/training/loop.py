"""The loop that every recipe runs in: seeded, resumable, with a bar."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import torch

from retrieval_bench.encoders._bar import progress_bar
from retrieval_bench.errors import DataError
from retrieval_bench.training import checkpoint
from retrieval_bench.training.batches import Source
from retrieval_bench.training.objective import Objective
from retrieval_bench.training.settings import Settings

_LARGEST_GRADIENT = 1.0  # norm to which a step's gradient is cut


def fit(
    objective: Objective,
    source: Source,
    settings: Settings,
    folder: Path,
    *,
    identity: checkpoint.Identity,
    save_seconds: float = 60.0,
    progress: bool = False,
) -> list[float]:
    """Train the objective's parameters with AdamW; the learning rate rises in the warm-up, then falls to zero.

    Each step seeds every generator from the run's seed and its own number, so a run that was interrupted and resumed
    ends with the weights of one that was not.

    Args:
        objective: trained in place.
        source: of the batches.
        settings: of the run.
        folder: where checkpoints are kept; one that is there is continued.
        identity: what the checkpoint must be of.
        save_seconds: between two checkpoints; there is always one at the end.
        progress: show a bar on standard error.

    Returns:
        The loss of every step.

    Raises:
        DataError: the loss is no longer a number.
        UsageError, ArtifactError: the checkpoint is of another run, or damaged.
    """
    trained = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, weight_decay=settings.weight_decay)
    losses = checkpoint.restore(folder, objective, optimizer, identity)
    total = settings.epochs * len(source)
    saved_steps, saved_at = len(losses), time.monotonic()
    objective.train()
    with torch.random.fork_rng(), progress_bar(shown=progress) as bar:
        task = bar.add_task("training", total=total, completed=len(losses))
        for step in range(len(losses), total):
            rng = np.random.default_rng([settings.seed, 1 + step])
            torch.manual_seed(int(rng.integers(1 << 62)))
            loss = objective(source.batch(*divmod(step, len(source))), rng)
            if not math.isfinite(loss.item()):
                raise DataError(f"the loss of step {step} is {loss.item()}; lower the learning rate")
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, _LARGEST_GRADIENT)
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * _rate(step, total, settings.warmup)
            optimizer.step()
            losses.append(loss.item())
            bar.update(task, advance=1, description=f"training, loss {np.mean(losses[-20:]):.3f}")
            if time.monotonic() - saved_at >= save_seconds:
                checkpoint.save(folder, objective, optimizer, losses, identity)
                saved_steps, saved_at = len(losses), time.monotonic()
    objective.eval()
    if saved_steps < total:
        checkpoint.save(folder, objective, optimizer, losses, identity)
    return losses


def _rate(step: int, total: int, warmup: float) -> float:
    """Share of the peak learning rate at a step: rises linearly, then falls linearly to zero after the last step."""
    rising = warmup * total
    return min((step + 1) / (rising + 1), (total - step) / max(1.0, total - rising))
