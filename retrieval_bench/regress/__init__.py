"""The regression gate: base and head measured in turns in one job; it fails only on what the evidence supports."""

from retrieval_bench.regress.gate import LEVEL, PILOT, Side, complaints, judged_speed, planned_rounds
from retrieval_bench.regress.run import Report, regress

__all__ = ["LEVEL", "PILOT", "Report", "Side", "complaints", "judged_speed", "planned_rounds", "regress"]
