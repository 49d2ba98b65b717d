"""CACM abstracts (a BEIR folder named cacm): the rankers on a small classic collection."""

from rich.console import Console

import retrieval_bench as rb
from retrieval_bench.report import table, write_html


def main() -> None:
    result = rb.run("cacm", rankers=["bm25", "dense", "hybrid"], budget=rb.Budget(build_seconds=300))
    Console().print(table(result.records, result.summary))
    write_html(result.records, result.summary, result.folder / "report.html")
    for record in result.records:
        figures = {name: record.value(name) for name in ("nDCG@10", "MAP", "recall@100")}
        print(record.system, {name: round(value, 4) for name, value in figures.items() if value is not None})


if __name__ == "__main__":
    main()
