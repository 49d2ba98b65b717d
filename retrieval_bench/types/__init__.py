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
    Split,
)
from retrieval_bench.types.held_out import HeldOut
from retrieval_bench.types.ids import RowIds
from retrieval_bench.types.records import (
    Budget,
    Contention,
    Count,
    Direction,
    EncoderInfo,
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
    "Contention",
    "Corpus",
    "Count",
    "Dataset",
    "Direction",
    "EncoderInfo",
    "Examples",
    "FloatArray",
    "Frozen",
    "HeldOut",
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
