"""Equal tuning: the same trials for every system, on tuning queries; what is reported comes from held-out ones."""

from retrieval_bench.registry import missing
from retrieval_bench.tuning.results import Tuned, Tuning
from retrieval_bench.tuning.targets import Target, parse_target

try:
    from retrieval_bench.tuning.tune import tune
except ModuleNotFoundError as error:  # optuna is an extra
    raise missing("tuning", error) from error

__all__ = ["Target", "Tuned", "Tuning", "parse_target", "tune"]
