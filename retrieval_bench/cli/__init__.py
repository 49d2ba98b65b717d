"""The command ``retrieval-bench``."""

from retrieval_bench.cli import beir as beir
from retrieval_bench.cli import commands as commands
from retrieval_bench.cli import compare as compare
from retrieval_bench.cli import diagnose as diagnose
from retrieval_bench.cli import diagnose_sets as diagnose_sets
from retrieval_bench.cli import diagnose_training as diagnose_training
from retrieval_bench.cli import export_run as export_run
from retrieval_bench.cli import regress as regress
from retrieval_bench.cli import reproduce as reproduce
from retrieval_bench.cli import screening as screening
from retrieval_bench.cli import studies as studies
from retrieval_bench.cli import tournament as tournament
from retrieval_bench.cli import train as train
from retrieval_bench.cli import tune as tune
from retrieval_bench.cli._app import app, main

__all__ = ["app", "main"]
