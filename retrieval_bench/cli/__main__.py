"""``python -m retrieval_bench.cli``: the same as the command ``retrieval-bench``."""

from retrieval_bench.cli import main

main()
