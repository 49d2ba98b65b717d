"""What was published on screening: figures from ``published_results.json`` by the records, settings of the study."""

from __future__ import annotations

import json
import tomllib
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any, NamedTuple

from retrieval_bench.errors import DataError
from retrieval_bench.quality.screening import RRF_AT, WSS_AT
from retrieval_bench.specs import validated
from retrieval_bench.study.active_learning import Learner

RESULTS = "published_results.json"
_SETTINGS = "ferdinands2023.toml"


class Published(NamedTuple):
    """Figures of one model on one review: WSS and RRF of the mean curve of its runs, ATD; all in percent."""

    review: str
    model: str
    measures: dict[str, float]


def published_results(folder: Path) -> list[Published]:
    """The figures in a folder of reviews; none when it has no ``published_results.json``.

    Raises:
        DataError: the file does not hold a list of objects with ``dataset``, ``model``, ``wss``, ``rrf`` and ``loss``.
    """
    path = folder / RESULTS
    if not path.is_file():
        return []
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return [Published(str(row["dataset"]), str(row["model"]), _measures(row)) for row in rows]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path}: is not a list of results with 'dataset', 'model', 'wss', 'rrf' and 'loss' ({error!r}); "
            "mend it or take it away"
        ) from error


def _measures(row: dict[str, Any]) -> dict[str, float]:
    return {
        **{f"WSS@{at}": float(row["wss"][str(at)]) for at in WSS_AT},
        **{f"RRF@{at}": float(row["rrf"][str(at)]) for at in RRF_AT},
        "ATD": 100 * float(row["loss"]),
    }


def tuned_learners(review: str) -> dict[str, Learner]:
    """The settings that the study tuned for a review, by the name of the model; empty for other reviews."""
    text = package_files("retrieval_bench.study").joinpath(_SETTINGS).read_text(encoding="utf-8")
    return {
        name: validated(Learner, values, where=_SETTINGS)
        for name, values in tomllib.loads(text).get(review, {}).items()
    }
