"""The compression tournament: every codec under the same budgets of bytes, and which to use when."""

from __future__ import annotations

from retrieval_bench.tournament.play import BUDGETS, LIGHT, methods, play
from retrieval_bench.tournament.show import tables
from retrieval_bench.tournament.standings import Round, Standing, Tournament

__all__ = ["BUDGETS", "LIGHT", "Round", "Standing", "Tournament", "methods", "play", "tables"]
