"""How far the speed of equal code differs from process to process: what `statistics.processes` rests on.

    python scripts/process_offsets.py [--data glove-50 --rows 20000] [--pairs 8] [--index ivf ...] [--threads 1]

Every index is built once. Pairs of new processes then serve the same build and answer in turns; their ratio would be 1
but for noise and for where the memory of a process lies. Writes docs/process_offsets.md.
"""

import argparse
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

from one_setting import markdown

from retrieval_bench import Budget, run
from retrieval_bench.files import write_text
from retrieval_bench.measure.clock import Effort
from retrieval_bench.measure.machine import machine
from retrieval_bench.records import Store
from retrieval_bench.runner.race import contender, ratio_in_new_processes
from retrieval_bench.statistics import PLAIN

OUT = Path(__file__).resolve().parents[1] / "docs" / "process_offsets.md"
QUICK = Effort(minimum=2, seconds=0.0, concurrent_seconds=0.0)


def measured(table: Path = OUT) -> list[float]:
    """Standard deviations of the ratio of a pair, one for each index, as this script wrote them: 0.043 for 4.3 %."""
    rows = [line.split("|") for line in table.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    column = [cell.strip() for cell in rows[0]].index("sd")
    return [float(row[column].strip(" %")) / 100 for row in rows[2:]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="glove-50")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--index", nargs="+", default=["flat", "ivf", "ivf_pq", "hnsw", "leanvec_ivf", "coded"])
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0, help="most of each pair")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    table = []
    with tempfile.TemporaryDirectory(prefix="process-offsets-") as out:
        done = run(
            asked.data, indexes=asked.index, rows=asked.rows, budget=Budget(threads=asked.threads), effort=QUICK,
            out=Path(out),
        )  # fmt: skip
        for name in asked.index:
            trials = [record for record in done.records if record.system == name and record.outcome == "ok"]
            one = contender(Store(Path(out)), trials[len(trials) // 2], "one")
            assert one is not None  # noqa: S101 - it was built a moment ago
            pair = (one, replace(one, name="other"))
            ratios = [
                ratio_in_new_processes(pair, i, looks=1, rounds=20, seconds=asked.seconds) for i in range(asked.pairs)
            ]
            furthest = max(max(ratio, 1 / ratio) for ratio in ratios)
            table.append(
                {
                    "index": name, "median": f"{statistics.median(ratios):.3f}",
                    "sd": f"{100 * statistics.stdev(ratios):.1f} %", "furthest from 1": f"{100 * (furthest - 1):.1f} %",
                }
            )  # fmt: skip
            print(markdown(table[-1:]), flush=True)
    text = (
        "# How far processes of equal code differ in speed\n\n"
        f"Made by `scripts/process_offsets.py`: {asked.data}, {asked.rows:,} vectors, {asked.threads} thread(s) of "
        f"{machine()['cpu']}; {asked.pairs} pairs of new processes a line, serving one build in turns. The ratio of "
        "a pair would be 1 but for noise and where the memory of a process lies. Whoever claims a "
        "difference (`run`, `tune`, `tournament`, `compare`, `regress`) claims it at once beyond "
        f"{100 * (PLAIN - 1):.0f} %, and asks a smaller one again in new pairs (`statistics.processes`).\n\n"
    )
    write_text(OUT, text + markdown(table) + "\n")


if __name__ == "__main__":
    main()
