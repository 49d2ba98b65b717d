"""The values that flow through the suite."""

from retrieval_bench.types.data import (
    Corpus,
    Dataset,
    Examples,
    FloatArray,
    Hits,
    IntArray,
    Metric,
    Qrels,
    Queries,
    RowIds,
    Split,
)
from retrieval_bench.types.records import (
    Budget,
    Count,
    Frozen,
    Measurement,
    MemoryReport,
    Outcome,
    Params,
    Positive,
    TrialRecord,
)

__all__ = [
    "Budget",
    "Corpus",
    "Count",
    "Dataset",
    "Examples",
    "FloatArray",
    "Frozen",
    "Hits",
    "IntArray",
    "Measurement",
    "MemoryReport",
    "Metric",
    "Outcome",
    "Params",
    "Positive",
    "Qrels",
    "Queries",
    "RowIds",
    "Split",
    "TrialRecord",
]
