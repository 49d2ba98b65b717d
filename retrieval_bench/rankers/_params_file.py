"""The parameters of a saved ranker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from retrieval_bench.errors import ArtifactError, CardError
from retrieval_bench.files import write_text
from retrieval_bench.specs import P, validated

_NAME = "ranker.json"


def save_params(folder: Path, params: P) -> None:
    """Write the parameters into the folder of a saved ranker."""
    write_text(folder / _NAME, params.model_dump_json(indent=1))


def load_params(folder: Path, model: type[P]) -> P:
    """Read what ``save_params`` wrote.

    Raises:
        ArtifactError: the file is missing or does not hold parameters of this kind.
    """
    path = folder / _NAME
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return validated(model, data, where=str(path))
    except (OSError, ValueError, TypeError, CardError) as error:
        raise ArtifactError(f"{path}: does not hold the parameters of a saved ranker: {error}") from error
