"""SQL over the results of one or more runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from retrieval_bench.errors import UsageError
from retrieval_bench.records.store import Store
from retrieval_bench.types import Measurement, TrialRecord

TABLES = """tables:
  trials (one row per trial, one column per measurement's value)
  measurements (trial_id, name, value, low, high, unit, direction, statistic, spread, n)
  queries (trial_id, split, query_id, one column per metric)"""


def trial_row(record: TrialRecord) -> dict[str, Any]:
    """One flat object per trial: its description, then every measurement's value under its full name."""
    row = record.model_dump(mode="json", exclude={"measurements", "memory_parts", "notes", "machine", "libraries"})
    row["notes"] = " ".join(record.notes)
    row["cpu"] = record.machine.get("cpu", "")
    return row | {m.name: m.value for m in record.measurements}


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    return {k: str(v) if isinstance(v, dict | list) else v for k, v in row.items()}


_NOTHING = dict.fromkeys(["trial_id", *(name for name in Measurement.model_fields if name != "samples")])


def sql(folder: Path, statement: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run a statement over the run in ``folder``: column names and rows (see TABLES for what it can ask).

    Raises:
        UsageError: there are no results, or the statement is wrong.
    """
    store = Store(folder)
    records = store.records()
    if not records:
        raise UsageError(f"{folder}: holds no results; make some with `retrieval-bench run DATASET --out {folder}`")
    rows = [_flat(trial_row(r)) for r in records]
    measured = [{"trial_id": r.trial_id} | m.model_dump(exclude={"samples"}) for r in records for m in r.measurements]
    columns: Sequence[str] = list(dict.fromkeys(key for row in rows for key in row))
    tables = {
        "trials": pa.table({c: [row.get(c) for row in rows] for c in columns}),
        # Of no rows there are no columns to ask for either, so one stands in for them.
        "measurements": pa.Table.from_pylist(measured or [_NOTHING]).slice(0, len(measured)),
    }
    import duckdb  # here: a trial's process writes records and asks none

    with duckdb.connect() as connection:
        for name, table in tables.items():
            connection.register(name, table)
        files = [str(p) for r in records if (p := store.queries_path(r.trial_id)).exists()]
        if files:
            connection.register("queries", connection.read_parquet(files, union_by_name=True))
        try:
            result = connection.sql(statement)
        except duckdb.Error as error:
            raise UsageError(f"SQL: {error}\n{TABLES}") from error
        return ([], []) if result is None else (result.columns, result.fetchall())
