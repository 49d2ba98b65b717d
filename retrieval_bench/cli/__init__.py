"""The command ``retrieval-bench``."""

from retrieval_bench.cli import commands as commands
from retrieval_bench.cli import compare as compare
from retrieval_bench.cli import diagnose as diagnose
from retrieval_bench.cli import diagnose_sets as diagnose_sets
from retrieval_bench.cli import regress as regress
from retrieval_bench.cli import tune as tune
from retrieval_bench.cli._app import app, main

__all__ = ["app", "main"]
