"""Word vectors (400,000 of 50 dimensions): which index finds the true neighbors fastest, and what does it cost?"""

from rich.console import Console

import retrieval_bench as rb
from retrieval_bench.report import table, write_html

INDEXES = ["flat", "ivf", "ivf_pq", "ivf_opq", "hnsw"]


def main() -> None:
    result = rb.run("glove-50", indexes=INDEXES, budget=rb.Budget(build_seconds=300), recall_target=0.95)
    Console().print(table(result.records, result.summary))
    write_html(result.records, result.summary, result.folder / "report.html")
    share = result.summary.overhead_percent
    print(f"Neither building, searching nor encoding: {share:.1f} % of the wall time")


if __name__ == "__main__":
    main()
