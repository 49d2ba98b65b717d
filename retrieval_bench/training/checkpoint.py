"""The state of an unfinished run on disk: a folder ``checkpoint`` inside that of the model to be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from retrieval_bench.errors import ArtifactError, UsageError
from retrieval_bench.files import atomic_folder

Identity = dict[str, Any]
"""What makes a run what it is (recipe, settings, data, starting weights), as JSON values."""

FOLDER = "checkpoint"


def save(
    folder: Path, objective: torch.nn.Module, optimizer: torch.optim.Optimizer, losses: list[float], identity: Identity
) -> None:
    """Write weights, optimizer state and the losses so far; their number is the number of steps done.

    Random choices of a step are drawn from the seed and the step's number, so no generator's state is needed.
    """
    moments = {
        f"{parameter}.{name}": value
        for parameter, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }
    with atomic_folder(folder / FOLDER) as temporary:
        save_file(_copied(objective.state_dict()), temporary / "objective.safetensors")
        save_file(_copied(moments), temporary / "optimizer.safetensors")
        (temporary / "run.json").write_text(json.dumps({"identity": identity, "losses": losses}), encoding="utf-8")


def restore(
    folder: Path, objective: torch.nn.Module, optimizer: torch.optim.Optimizer, identity: Identity
) -> list[float]:
    """Load what ``save`` wrote.

    Returns:
        The losses of the steps done; none where there is no checkpoint.

    Raises:
        UsageError: the checkpoint is of another run; says in what they differ.
        ArtifactError: its files cannot be read; removing them starts the run anew.
    """
    kept = folder / FOLDER
    if not kept.exists():
        return []
    try:
        run = json.loads((kept / "run.json").read_text(encoding="utf-8"))
        check_identity(kept, run["identity"], identity)
        objective.load_state_dict(load_file(kept / "objective.safetensors"))
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in load_file(kept / "optimizer.safetensors").items():
            parameter, _, name = key.partition(".")
            state.setdefault(int(parameter), {})[name] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        return [float(loss) for loss in run["losses"]]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = str(error).partition("\n")[0]
        raise ArtifactError(f"{kept}: cannot be read as a checkpoint ({reason}); remove it to start anew") from error


def check_identity(where: Path, found: Identity, wanted: Identity) -> None:
    """Refuse to go on with a run that is not the one asked for.

    Raises:
        UsageError: names what differs.
    """
    different = [key for key in sorted({*found, *wanted}) if found.get(key) != wanted.get(key)]
    if different:
        shown = ", ".join(f"{key} {found.get(key)!r} there, {wanted.get(key)!r} asked for" for key in different)
        raise UsageError(f"{where}: is of another run ({shown}); name another folder with --out, or remove this one")


def _copied(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors on the CPU, in memory of their own, as safetensors asks."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
