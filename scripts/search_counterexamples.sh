#!/usr/bin/env bash
# Look for vectors on which an exact search is not exact: the tests of CI, with new examples each time.
# Usage: scripts/search_counterexamples.sh [examples]; 20,000 take about twenty minutes on one core.
set -euo pipefail
source "$(dirname "$0")/_environment.sh"
ensure_environment dev
RETRIEVAL_BENCH_EXAMPLES=${1:-20000} "$VENV/bin/python" -m pytest -q tests/unit/test_exact_search.py \
  tests/unit/test_flat_awkward.py tests/unit/test_neighbors.py
