"""The command ``retrieval-bench``."""

from retrieval_bench.cli import commands as commands
from retrieval_bench.cli import train as train
from retrieval_bench.cli._app import app, main

__all__ = ["app", "main"]
