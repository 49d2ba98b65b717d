"""The command ``retrieval-bench``."""

from retrieval_bench.cli import beir as beir
from retrieval_bench.cli import commands as commands
from retrieval_bench.cli import reproduce as reproduce
from retrieval_bench.cli._app import app, main

__all__ = ["app", "main"]
