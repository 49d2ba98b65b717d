"""How near each way to spend scorer calls comes to scoring every pair: recall of the scorer's own exact top-k.

The exact matrix (test queries x documents) is scored once and kept in the home folder; an interrupted run goes on.
Every system is an ordinary ranker of the suite; all get the same number of calls per query, and differ in what they
know beforehand: ANNCUR, ADACUR and AXN the anchors' scores, dense + rerank an encoder, bm25 + rerank the words.

Equal calls per query hide the calls of a build. The last columns say what re-ranking the dense encoder's hits would
have to spend per query for the same recall@10, which the exact matrix tells for every depth, and after how many queries
what that saves has paid for the build.

    python scripts/bench_cur.py scifact --queries 150
    python scripts/bench_cur.py pystdlib --items 2000 --queries 60 --anchors 50 --cross-encoder FOLDER --calls 50 100
"""

import argparse
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from retrieval_bench.datasets import load_dataset
from retrieval_bench.files import write_text
from retrieval_bench.hits import make_hits
from retrieval_bench.measure.clock import timed
from retrieval_bench.measure.machine import code, machine
from retrieval_bench.quality import evaluate, ranked, with_places
from retrieval_bench.rankers._cur.anchors import scored
from retrieval_bench.registry import rankers
from retrieval_bench.report.calls import paid_after
from retrieval_bench.scorers import Metered, load_scorer
from retrieval_bench.specs import params
from retrieval_bench.statistics import difference_interval, mean_interval
from retrieval_bench.types import Budget, Dataset, Examples, Hits, IntArray

CUTS = (1, 10, 100)
BASELINE = "dense + rerank"


def part(data: Dataset, items: int | None, queries: int, seed: int) -> Dataset:
    """The first test queries, and so many documents: those judged for these queries, and others at random."""
    asked, qrels = data.queries["test"].take(slice(queries)), data.qrels["test"].take(slice(queries))
    n = len(data.corpus)
    if items is None or items >= n:
        return replace(data, queries={**data.queries, "test": asked}, qrels={"test": qrels})
    judged = np.unique(qrels.rows[qrels.rows < n])
    others = np.setdiff1d(np.arange(n), judged)
    kept = np.sort(np.concatenate([judged, np.random.default_rng(seed).permutation(others)[: items - len(judged)]]))
    texts = data.corpus.require_texts()
    corpus = replace(data.corpus, ids=[data.corpus.ids[i] for i in kept], texts=[texts[i] for i in kept], vectors=None,
                     titles=None)  # fmt: skip
    places = np.where(np.isin(qrels.rows, kept), np.searchsorted(kept, qrels.rows), len(kept))
    return replace(
        data, corpus=corpus, queries={**data.queries, "test": asked}, qrels={"test": replace(qrels, rows=places)}
    )


def systems(scorer: Mapping[str, Any], anchors: int, calls: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """By label: the ranker and its parameters."""
    cur = {**scorer, "anchors": anchors, "calls": calls}
    return {
        BASELINE: ("rerank", {**scorer, "ranker": "dense", "depth": calls}),
        "bm25 + rerank": ("rerank", {**scorer, "ranker": "bm25", "depth": calls}),
        "ANNCUR": ("cur", {**cur, "method": "anncur"}),
        "ANNCUR, pinv": ("cur", {**cur, "method": "anncur", "ridge": 0.0}),
        "ADACUR": ("cur", {**cur, "method": "adacur"}),
        "residual (ours)": ("cur", {**cur, "method": "residual", "dual_encoder": "minilm"}),
        "AXN": ("cur", {**cur, "method": "axn", "dual_encoder": "minilm", "density": 1.0}),
        "AXN, a fifth of the scores": ("cur", {**cur, "method": "axn", "dual_encoder": "minilm"}),
    }


def recalls(rows: IntArray, exact: IntArray) -> dict[str, Any]:
    """By cut: (m,) share of the exact top-k among the first k."""
    return {
        f"recall@{k}": np.array([len(np.intersect1d(a[:k], b[:k])) / k for a, b in zip(rows, exact, strict=True)])
        for k in CUTS
        if k <= exact.shape[1]
    }


def calls_for(order: IntArray, found: IntArray, recall: float) -> int:
    """Fewest calls per query with which re-ranking finds this mean share of the exact answers.

    Args:
        order: (m, n) all documents as the first stage has them: c calls score the first c of them.
        found: (m, k) the exact answers; one that was scored is among the re-ranked first k.
        recall: to reach.
    """
    place = np.empty(order.shape, np.int64)
    np.put_along_axis(place, order, np.broadcast_to(np.arange(order.shape[1]), order.shape), axis=1)
    needed = np.sort(np.take_along_axis(place, found, axis=1), axis=None) + 1
    return int(needed[max(0, math.ceil(recall * needed.size - 1e-9) - 1)])


def drawn(matrix: Any, calls: int, seed: int) -> Hits:
    """Random documents, re-ranked."""
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.permutation(matrix.shape[1])[:calls] for _ in matrix]).astype(np.int64)
    return make_hits(rows, np.take_along_axis(matrix, rows, axis=1))


def main(arguments: argparse.Namespace) -> None:
    data = part(load_dataset(arguments.dataset), arguments.items, arguments.queries, arguments.seed)
    scorer: dict[str, Any] = {"scorer": "late_interaction", "scorer_settings": {"max_length": 128}}
    if arguments.cross_encoder:
        settings = {"model": arguments.cross_encoder, "max_length": arguments.max_length}
        scorer = {"scorer": "cross_encoder", "scorer_settings": settings}
    texts, asked = list(data.corpus.require_texts()), data.queries["test"]
    n, queries = len(texts), list(asked.require_texts())
    meter = Metered.over(load_scorer(scorer["scorer"], scorer["scorer_settings"], where="bench_cur"), texts)
    matrix = np.stack([scores for _, scores in scored(meter, texts, queries, [np.arange(n)] * len(queries))])
    depth = min(max(CUTS), n)
    order = np.argsort(-matrix, axis=1, kind="stable")[:, :depth]
    corpus = with_places(data.corpus)

    def judged(hits: Hits) -> dict[str, Any]:
        return dict(evaluate(ranked(hits, corpus), data.qrels["test"], ["nDCG@10"]))

    quality = judged(make_hits(order, np.take_along_axis(matrix, order, axis=1)))["nDCG@10"]
    dense = rankers.get("dense")()
    dense.build(data.corpus, dense.BuildParams(), Budget())
    first = dense.rank(asked, n).rows
    learn = next((Examples(queries=data.queries[s]) for s in ("train", "tune") if s in data.queries), None)
    table: list[dict[str, Any]] = [
        summary("every pair", n, {**recalls(order, order), "nDCG@10": quality}, None, 0, 0.0)
    ]
    for calls in arguments.calls:
        values: dict[str, dict[str, Any]] = {}
        for label, (name, settings) in systems(scorer, arguments.anchors, calls).items():
            ranker = rankers.get(name)()
            checked = params(ranker.BuildParams, settings, where=label)
            build = Budget(scorer_calls=calls)
            _, seconds = timed(lambda: ranker.build(data.corpus, checked, build, examples=learn, seed=arguments.seed))  # noqa: B023
            before = ranker.scorer_calls  # type: ignore[attr-defined]
            hits = ranker.rank(asked, depth)
            spent = (ranker.scorer_calls - before) / len(asked)  # type: ignore[attr-defined]
            assert spent <= calls, label  # noqa: S101
            values[label] = {**recalls(hits.rows, order), **judged(hits)}
            against = values[BASELINE]
            table.append(summary(label, calls, values[label], against, ranker.build_scorer_calls, seconds))  # type: ignore[attr-defined]
        hits = drawn(matrix, calls, arguments.seed)
        found = {**recalls(hits.rows, order), **judged(hits)}
        table.append(summary("random + rerank", calls, found, values[BASELINE], 0, 0.0))
    facts = {
        "dataset": arguments.dataset, "documents": n, "queries": len(asked), "anchors": arguments.anchors,
        "scorer": {**scorer, "revision": meter.scorer.revision}, "machine": machine(), "code": code(),
        "python": platform.python_version(), "rows": table,
    }  # fmt: skip
    for row in table:
        if row["build_scorer_calls"]:
            row["rerank_calls"] = calls_for(first, order[:, :10], row["recall@10"]["mean"])
            row["paid_after"] = paid_after(row["build_scorer_calls"], row["calls"], row["rerank_calls"])
    text = markdown(facts)
    print(text)
    if arguments.out:
        write_text(arguments.out.with_suffix(".json"), json.dumps(facts, indent=1) + "\n")
        write_text(arguments.out.with_suffix(".md"), text)


def summary(label: str, calls: int, values: dict[str, Any], against: dict[str, Any] | None, build: int, seconds: float
            ) -> dict[str, Any]:  # fmt: skip
    row: dict[str, Any] = {"system": label, "calls": calls, "build_scorer_calls": build, "build_seconds": seconds}
    for name, column in values.items():
        row[name] = {"mean": float(np.nanmean(column)), "interval": mean_interval(column)}
        if against is not None and against is not values:
            row[name] |= {"gain": float(np.nanmean(column - against[name])),
                          "gain_interval": difference_interval(column, against[name])}  # fmt: skip
    return row


def markdown(facts: Mapping[str, Any]) -> str:
    lines = [
        f"{facts['dataset']}: {facts['documents']} documents, {facts['queries']} test queries, {facts['anchors']} "
        f"anchor queries, scorer {facts['scorer']['scorer']}. In brackets: gain over {BASELINE} at equal calls, 95 % "
        "paired bootstrap interval.",
        "",
        "| calls | system | recall@1 | recall@10 | recall@100 | nDCG@10 | calls of the build | of re-ranking for "
        "that recall@10 | paid after queries |",
        "|---:|---|---|---|---|---|---:|---:|---:|",
    ]
    for row in facts["rows"]:
        cells = [cell(row.get(name)) for name in ("recall@1", "recall@10", "recall@100", "nDCG@10")]
        paid = [f"{row['rerank_calls']:,}", f"{row['paid_after']:,}"] if "paid_after" in row else ["", ""]
        paid[1] = paid[1].replace("inf", "never")
        cells += [f"{row['build_scorer_calls']:,}", *paid]
        lines.append(f"| {row['calls']} | {row['system']} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def cell(value: dict[str, Any] | None) -> str:
    if value is None:
        return ""
    if "gain" not in value:
        return f"{value['mean']:.3f}"
    low, high = value["gain_interval"]
    return f"{value['mean']:.3f} ({value['gain']:+.3f}: {low:+.3f} to {high:+.3f})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="a set with judgments, as for `retrieval-bench run`")
    parser.add_argument("--items", type=int, help="documents kept (default: all)")
    parser.add_argument("--queries", type=int, default=150, help="test queries")
    parser.add_argument("--anchors", type=int, default=200, help="anchor queries of the CUR family")
    parser.add_argument("--calls", type=int, nargs="+", default=[50, 100, 200], help="scorer calls per query")
    parser.add_argument("--cross-encoder", help="model to use as the scorer (default: late interaction)")
    parser.add_argument(
        "--max-length", type=int, help="tokens of a pair that the cross-encoder reads (default: its own)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where to write NAME.json and NAME.md")
    main(parser.parse_args())
