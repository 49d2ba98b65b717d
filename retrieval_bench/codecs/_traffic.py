"""How often each row of a corpus is asked for, read from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import DataError


def read_traffic(path: Path, n: int) -> npt.NDArray[np.float64]:
    """(n,) counts, one for each row of the corpus in its order.

    Args:
        path: ``.npy`` of shape (n,), ``.parquet`` whose last column holds the counts, or text with one count a line
            (the last field, where there are several between commas; a line of headings may stand first).
        n: rows of the corpus.

    Raises:
        DataError: cannot be read, another number of counts, negative or NaN counts, or all of them zero.
    """
    try:
        counts = _read(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as traffic: {error}") from error
    if counts.shape != (n,):
        raise DataError(f"{path}: holds {counts.shape} counts; one for each of the {n} rows of the corpus is needed")
    if not (counts >= 0).all() or not np.isfinite(counts).all() or not counts.any():
        raise DataError(f"{path}: counts must be finite, not negative, and not all zero")
    return counts


def _read(path: Path) -> npt.NDArray[np.float64]:
    if path.suffix == ".npy":
        return np.asarray(np.load(path, allow_pickle=False), np.float64)
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq  # here, for a process that only answers queries has no use for it

        return np.asarray(pq.read_table(path).columns[-1].to_numpy(), np.float64)
    fields = [line.rpartition(",")[2].strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    headed = bool(fields) and not fields[0].replace(".", "", 1).isdigit()
    return np.array(fields[headed:], np.float64)
