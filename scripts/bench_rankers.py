"""All rankers on judged collections: quality with intervals and tied groups, speed, bytes.

    python scripts/bench_rankers.py beir/scifact npl cacm cosqa pystdlib [--ranker bm25 --ranker CARD.toml]

Every ranker of the suite, unless some are named, runs through the ordinary runner under one budget. MRR says more
than MAP where a query has one relevant document. The same command continues what was interrupted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from one_setting import markdown

from retrieval_bench import Budget, run
from retrieval_bench.measure.clock import Effort
from retrieval_bench.report.rows import Row, interval, rows
from retrieval_bench.specs import system_cards
from retrieval_bench.types import TrialRecord

EFFORT = Effort(seconds=1.0, concurrent_seconds=0.1)


def shown(record: TrialRecord, name: str, form: str = ".4f") -> str:
    value = record.value(name)
    return "-" if value is None else format(value, form)


def row(found: Row, primary: str) -> dict[str, str]:
    record = found.trial
    deciding = next((m for m in record.measurements if m.name == primary), None)
    ends = interval(deciding)
    return {
        "ranker": record.system,
        "group": {"winner": "pick", "tied": "tied"}.get(found.mark, ""),
        primary: shown(record, primary) + ("" if ends is None else f" ({ends[0]:.4f} to {ends[1]:.4f})"),
        "recall@100": shown(record, "recall@100"),
        "MAP": shown(record, "MAP"),
        "MRR": shown(record, "MRR"),
        "batch QPS": shown(record, "batch_qps", ",.0f"),
        "p95 ms": shown(record, "single_p95_ms", ".2f"),
        "build s": shown(record, "build_seconds", ",.1f"),
        "MB": "-" if (size := record.value("analytic_bytes")) is None else f"{size / 1e6:,.1f}",
        "outcome": record.outcome if record.outcome == "ok" else f"{record.outcome}: {record.reason[:90]}",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", help="data sets with judgments, as for `retrieval-bench run`")
    parser.add_argument("--ranker", action="append", help="card or its path; all rankers by default")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--queries", type=int, help="the first so many queries of each split")
    parser.add_argument("--tune-share", type=float, help="of the test queries, where a set has no others to learn from")
    parser.add_argument("--out", type=Path, default=Path("bench-rankers"), help="folder of the runs and the tables")
    asked = parser.parse_args()
    rankers = asked.ranker or list(system_cards("ranker"))
    failed = 0
    for dataset in asked.data:
        out = asked.out / Path(dataset).name
        done = run(
            dataset, rankers=rankers, budget=Budget(threads=asked.threads), queries=asked.queries,
            tune_share=asked.tune_share, out=out, effort=EFFORT, progress=True,
        )  # fmt: skip
        records = [record for record in done.records if record.kind == "ranker"]
        failed += sum(record.outcome not in ("ok", "refused") for record in records)
        first, cpu = records[0], records[0].machine.get("cpu", "")
        head = (
            f"{dataset}: {first.documents:,} documents, {first.queries:,} queries, {asked.threads} thread(s) of {cpu}"
        )
        text = f"{head}\n\n{markdown([row(r, done.summary.primary) for r in rows(records, done.summary)])}"
        (out / "rankers.md").write_text(text + "\n", encoding="utf-8")
        print(text, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
