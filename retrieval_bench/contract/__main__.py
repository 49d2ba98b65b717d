"""``python -m retrieval_bench.contract``: the checks of the contract, or all awkward data, over registered backends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from retrieval_bench.contract._awkward import findings
from retrieval_bench.contract._hits import ContractError
from retrieval_bench.contract._index import CHECKS
from retrieval_bench.contract._subject import IndexSubject, codec_subjects, index_subject
from retrieval_bench.errors import RetrievalBenchError
from retrieval_bench.registry import indexes


def _subjects(names: list[str]) -> Iterator[tuple[str, IndexSubject]]:
    for name in names or indexes.names():
        base = name.partition("/")[0]
        try:
            named = {base: index_subject(base), **dict(codec_subjects(base))}
        except RetrievalBenchError as error:
            print(f"{name:28} not checked: {error}", flush=True)
            continue
        yield from named.items() if name == base else [(name, named[name])]


def _awkward(subject: IndexSubject, name: str, n: int, seed: int) -> tuple[int, int, int]:
    """Print a line for each case; how many there were, how many were refused, how many are wrong."""
    said: dict[str, list[str]] = {}
    total = refused = wrong = 0
    for case, metric, found in findings(subject, n=n, d=32, m=20, seed=seed):
        cells = said.setdefault(case.name, [])
        cells.append(f"{metric} {'refused' if found.refused else f'{found.recall:.3f}'}")
        cells += [f"WRONG: {found.wrong}"] if found.wrong else [f"({found.refused})"] if found.refused else []
        total, refused, wrong = total + 1, refused + bool(found.refused), wrong + bool(found.wrong)
    for case_name, cells in said.items():
        print(f"{name:28} {case_name:32} {'  '.join(dict.fromkeys(cells))}", flush=True)
    return total, refused, wrong


def main(arguments: list[str] | None = None) -> int:
    """1 where a backend is wrong, else 0."""
    parser = argparse.ArgumentParser(prog=f"python -m {Path(__file__).parent.name}", description=__doc__)
    parser.add_argument("backends", nargs="*", help="names, or backend/codec; all registered where there is none")
    parser.add_argument("--awkward", action="store_true", help="every case of awkward data under every metric")
    parser.add_argument("--rows", type=int, default=800, help="of each case (default: 800)")
    parser.add_argument("--seed", type=int, default=0, help="of the cases")
    asked = parser.parse_args(arguments)
    sums = [0, 0, 0]
    for name, subject in _subjects(asked.backends):
        if asked.awkward:
            sums = [a + b for a, b in zip(sums, _awkward(subject, name, asked.rows, asked.seed), strict=True)]
            continue
        for check in CHECKS:
            try:
                check(subject)
            except ContractError as error:
                sums[2] += 1
                print(f"{name:28} {check.__name__}: {error}", flush=True)
            sums[0] += 1
    print(f"{sums[0]} combinations, {sums[1]} refused, {sums[2]} wrong")
    return 1 if sums[2] else 0


if __name__ == "__main__":
    sys.exit(main())
