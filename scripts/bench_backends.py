"""All index backends side by side at one setting each: recall, speed, build, and bytes by four figures.

    python scripts/bench_backends.py --data glove-50 --rows 100000
    python scripts/bench_backends.py --quick

Every backend runs through the ordinary runner, in processes of its own. The saved bytes are checked against the
analytic ones, which are theory: within 5 %, after 64 KiB of headers. Exit code 1 where a backend is further off.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from one_setting import backends, markdown

from retrieval_bench import Budget, run
from retrieval_bench.measure.clock import Effort
from retrieval_bench.specs import SystemCard
from retrieval_bench.types import TrialRecord

_FIGURES = ("analytic_bytes", "artifact_bytes", "private_bytes", "device_bytes")
_AGREEMENT, _HEADERS = 0.05, 64 * 1024


def as_toml(card: SystemCard) -> str:
    head = [f"{key} = {json.dumps(getattr(card, key))}" for key in ("name", "summary", "kind", "backend")]
    for table in ("build", "search"):
        head += [f"\n[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in getattr(card, table).items())]
    return "\n".join(head) + "\n"


def theory(record: TrialRecord) -> float | None:
    """How far the saved bytes are from the analytic ones, as a share; what headers explain counts as nothing."""
    analytic, saved = record.value("analytic_bytes"), record.value("artifact_bytes")
    if analytic is None or saved is None:
        return None
    return max(0.0, abs(saved - analytic) - _HEADERS) / analytic


def row(record: TrialRecord) -> dict[str, str]:
    def shown(name: str, form: str = ",.4g") -> str:
        value = record.value(name)
        return "-" if value is None else format(value, form)

    off = theory(record)
    per_vector = {
        name.removesuffix("_bytes") + " B/vec": "-"
        if (v := record.value(name)) is None
        else f"{v / record.documents:,.1f}"
        for name in _FIGURES
    }
    return {
        "backend": record.backend,
        "setting": " ".join(f"{key}={value}" for key, value in record.search_params.items()) or "-",
        "neighbor_recall@10": shown("neighbor_recall@10", ".4f"),
        "batch QPS": shown("batch_qps", ",.0f"),
        "p50 ms": shown("single_p50_ms"),
        "p95 ms": shown("single_p95_ms"),
        "build s": shown("build_seconds"),
        **per_vector,
        "off theory": "-" if off is None else f"{off:.1%}",
        "outcome": record.outcome if record.outcome == "ok" else f"{record.outcome}: {record.reason[:80]}",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="glove-50", help="data set, as for `retrieval-bench run`")
    parser.add_argument("--rows", type=int, help="use only the first so many vectors")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="2,000 vectors, 100 queries, a quarter of a second each")
    parser.add_argument("--out", type=Path, default=Path("bench-backends"), help="folder of the run and the tables")
    asked = parser.parse_args()
    cards, absent = backends()
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for card in cards:
            paths.append(Path(folder) / f"{card.name}.toml")
            paths[-1].write_text(as_toml(card), encoding="utf-8")
        done = run(
            asked.data, indexes=[str(path) for path in paths], budget=Budget(threads=asked.threads), depth=10,
            rows=2_000 if asked.quick else asked.rows, queries=100 if asked.quick else None, out=asked.out,
            effort=Effort(seconds=0.25, concurrent_seconds=0.1) if asked.quick else Effort(),
        )  # fmt: skip
    rows = [row(record) for record in done.records]
    (asked.out / "backends.json").write_text(json.dumps({"rows": rows, "absent": absent}, indent=1) + "\n")
    cpu = done.records[0].machine.get("cpu", "")
    text = (
        f"{done.summary.dataset}, {done.summary.documents:,} vectors; {asked.threads} thread(s) of {cpu}\n\n"
        + markdown(rows)
    )
    text += "".join(f"\nNot here: {name} ({why})" for name, why in absent.items())
    (asked.out / "backends.md").write_text(text + "\n")
    print(text)
    wrong = [record.backend for record in done.records if (theory(record) or 0) > _AGREEMENT]
    if wrong:
        print(f"further than {_AGREEMENT:.0%} off theory: {', '.join(wrong)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
