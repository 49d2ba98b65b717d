"""The command ``retrieval-bench``."""

from retrieval_bench.cli.commands import app, main

__all__ = ["app", "main"]
