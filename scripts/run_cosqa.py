"""Code search on CoSQA (a BEIR folder named cosqa): web queries against Python functions that no training here saw."""

from rich.console import Console

import retrieval_bench as rb
from retrieval_bench.report.section import section_table
from retrieval_bench.study.codesearch import among_others, codesearch_section


def main() -> None:
    run = rb.run("cosqa", rankers=["bm25", "dense", "hybrid"])
    found = among_others(run, rb.load_dataset("cosqa"), candidates=1000)
    Console(width=160).print(section_table(codesearch_section([found])))


if __name__ == "__main__":
    main()
