"""Systematic reviews (CSV files in $RETRIEVAL_BENCH_DATA/screening): ranked once, and read by active learning."""

from pathlib import Path

from rich.console import Console

from retrieval_bench.report.section import section_table, write_sections
from retrieval_bench.study.reviews import load_reviews
from retrieval_bench.study.screening import screen
from retrieval_bench.study.screening_section import screening_sections


def main() -> None:
    outcomes = screen(load_reviews(["ace", "nudging"]), representations=["title+abstract"], starts=15)
    sections = screening_sections(outcomes)
    for section in sections:
        Console().print(section_table(section))
    write_sections(sections, Path("screening.html"), title="Screening of systematic reviews")


if __name__ == "__main__":
    main()
