"""Scientific claims (BEIR's SciFact): sparse, dense and fused ranking under one budget, tuned on training claims."""

from rich.console import Console

import retrieval_bench as rb
from retrieval_bench.report import table, write_html


def main() -> None:
    result = rb.run("beir/scifact", rankers=["bm25", "dense", "hybrid"], budget=rb.Budget(build_seconds=900))
    Console().print(table(result.records, result.summary))
    write_html(result.records, result.summary, result.folder / "report.html")
    for record in result.records:
        score = record.measurement("nDCG@10")
        if score is not None and score.low is not None:
            print(f"{record.system}: nDCG@10 {score.value:.4f} ({score.low:.4f} to {score.high:.4f})")


if __name__ == "__main__":
    main()
