"""Code search over Python's standard library: every default index and ranker, then ask the winner."""

from rich.console import Console

import retrieval_bench as rb
from retrieval_bench.report import table, write_html


def main() -> None:
    result = rb.run("pystdlib", budget=rb.Budget(build_seconds=300))
    Console().print(table(result.records, result.summary))
    write_html(result.records, result.summary, result.folder / "report.html")
    if result.winner is not None:
        searcher = rb.export(result.winner.trial_id, result.folder / "winner", out=result.folder)
        for name in searcher.search("remove duplicate items from a sequence", k=3).ids[0]:
            print(name)


if __name__ == "__main__":
    main()
