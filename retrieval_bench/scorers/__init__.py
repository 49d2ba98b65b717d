"""Scorers of pairs of texts: one file each, found by the file's name (see ``registry``); rankers call them metered."""

from retrieval_bench.scorers._calls import Calls, calls_of_process
from retrieval_bench.scorers._metered import BLOCK_QUERIES, Metered, Session, load_scorer

__all__ = ["BLOCK_QUERIES", "Calls", "Metered", "Session", "calls_of_process", "load_scorer"]
