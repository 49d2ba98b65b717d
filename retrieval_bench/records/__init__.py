"""Results on disk: one immutable record and one per-query Parquet file per trial; DuckDB reads them."""

from retrieval_bench.records.query import sql, trial_row
from retrieval_bench.records.store import Store
from retrieval_bench.records.summary import RunSummary, Turns

__all__ = ["RunSummary", "Store", "Turns", "sql", "trial_row"]
