"""The parameters of a saved ranker."""

from __future__ import annotations

from pathlib import Path

from retrieval_bench.specs import P, read_params, write_params

_NAME = "ranker.json"


def save_params(folder: Path, params: P) -> None:
    """Write the parameters into the folder of a saved ranker."""
    write_params(folder / _NAME, params)


def load_params(folder: Path, model: type[P]) -> P:
    """Read what ``save_params`` wrote.

    Raises:
        ArtifactError: the file is missing or does not hold parameters of this kind.
    """
    return read_params(folder / _NAME, model)
