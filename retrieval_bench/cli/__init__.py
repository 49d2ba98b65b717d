"""The command ``retrieval-bench``."""

from retrieval_bench.cli import commands as commands
from retrieval_bench.cli import compare as compare
from retrieval_bench.cli import tune as tune
from retrieval_bench.cli._app import app, main

__all__ = ["app", "main"]
