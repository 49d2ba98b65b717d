"""What a person reads after a run: the terminal table and the self-contained HTML report."""

from retrieval_bench.report.html import write_html
from retrieval_bench.report.terminal import table

__all__ = ["table", "write_html"]
