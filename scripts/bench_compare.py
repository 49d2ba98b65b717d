"""Compare pytest-benchmark results with a stored baseline, by the ratio of each median to its group's peer.

Ratios within one run hold across machines far better than times do. A ratio worse than the baseline's by more than
the tolerance is a regression: exit code 1.
"""

import json
import sys
from pathlib import Path
from typing import Any

TOLERANCE = 1.5  # a shared two-core machine moves a ratio by up to a third between runs


def ratios(results: dict[str, Any]) -> dict[str, float]:
    """By benchmark name, median over the median of the benchmark of the same group whose parameter is ``peer``."""
    medians = {(b["group"], b["name"]): b["stats"]["median"] for b in results["benchmarks"]}
    peers = {group: median for (group, name), median in medians.items() if "peer" in name}
    return {
        name: median / peers[group]
        for (group, name), median in medians.items()
        if group in peers and "peer" not in name
    }


def main(results_path: str, baseline_path: str, *flags: str) -> int:
    results = json.loads(Path(results_path).read_text())
    found = ratios(results)
    if not found:
        print("error: the results hold no benchmark with a peer")
        return 1
    if "--update" in flags:
        facts = {
            "machine": results["machine_info"]["cpu"].get("brand_raw", "unknown"),
            "commit": results["commit_info"].get("id", "unknown")[:12],
            "ratios": {name: round(ratio, 4) for name, ratio in sorted(found.items())},
        }
        Path(baseline_path).write_text(json.dumps(facts, indent=1) + "\n")
        print(f"Stored {len(found)} ratios in {baseline_path}")
        return 0
    baseline = json.loads(Path(baseline_path).read_text())
    print(f"Baseline: {baseline['machine']}, commit {baseline['commit']}")
    worse = []
    for name, ratio in sorted(found.items()):
        stored = baseline["ratios"].get(name)
        change = "new" if stored is None else f"{ratio / stored:5.2f} x baseline"
        print(f"{name:<40} {ratio:9.3f} x peer   {change}")
        if stored is not None and ratio > TOLERANCE * stored:
            worse.append(name)
    if gone := sorted(set(baseline["ratios"]) - set(found)):
        print("not measured any more:", ", ".join(gone))
    if worse or gone:
        print("REGRESSION:", ", ".join(worse + gone))
        return 1
    print("OK: no ratio is more than", TOLERANCE, "times its baseline")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
