"""Do the claims of AdANNS (arXiv 2305.19435) hold on our data? JSON and Markdown, every difference with its interval.

    python scripts/bench_matryoshka.py cosqa beir/scifact pystdlib glove-50 --out results/matryoshka

Three questions: how much a prefix of each nesting finds; whether codes of a nested prefix do with half the bytes of
codes of all dimensions; whether lists scanned on a prefix find more for the same bytes read. Whatever is chosen is
chosen on the tune (or train) queries; figures are of the test queries.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import retrieval_bench as rb
from retrieval_bench.datasets import exact_neighbors
from retrieval_bench.encoders import load_encoder
from retrieval_bench.errors import RetrievalBenchError
from retrieval_bench.exact import exact_scores
from retrieval_bench.files import write_text
from retrieval_bench.projections import Projection, fit_pca, fit_query_aware, fit_random_rotation
from retrieval_bench.projections.adaptor import fit_adaptor
from retrieval_bench.quality import evaluate, neighbor_recall, ranked
from retrieval_bench.registry import indexes
from retrieval_bench.runner.prepared import encoded, framed, opened, store
from retrieval_bench.statistics import difference_interval, mean_interval
from retrieval_bench.training.matryoshka_adaptor import train_adaptor
from retrieval_bench.types import Budget, Dataset, FloatArray, Hits, Queries

K, SEED = 10, 0
Values = dict[str, Any]  # per-query values by metric


class Bench:
    """One data set: what is asked, what is right, and systems built once."""

    def __init__(self, name: str, rows: int | None) -> None:
        data = rb.load_dataset(name, rows=rows)
        if data.corpus.vectors is None:
            data = encoded(data, load_encoder())
        self.data: Dataset = framed(data)[0] if rows else opened(store(data), texts=False)
        self.learn = next(split for split in ("tune", "train") if split in self.data.queries)
        self.vectors = np.asarray(self.data.corpus.require_vectors())
        self.exact = {split: self._exact(split) for split in ("test", self.learn)}

    def _exact(self, split: str) -> Hits:
        return exact_neighbors(self.vectors, self.data.queries[split].require_vectors(), K, self.data.metric)

    def queries(self, split: str) -> Queries:
        """The queries of a split."""
        return self.data.queries[split]

    def values(self, hits: Hits, split: str) -> Values:
        """neighbor_recall@10, and nDCG@10 where there are judgments, by query."""
        asked = self.queries(split).require_vectors()
        rows, true = hits.rows, exact_scores(self.vectors, asked, hits.rows, self.data.metric)
        found: Values = {"neighbor_recall@10": neighbor_recall(rows, self.exact[split], K, true)}
        if split in self.data.qrels:
            found["nDCG@10"] = evaluate(ranked(hits, self.data.corpus), self.data.qrels[split], ["nDCG@10"])["nDCG@10"]
        return found

    def built(self, backend: str, **params: Any) -> Any:
        """An index with these build parameters."""
        index = indexes.get(backend)()
        wanted = index.BuildParams(**params)
        train = self.data.queries.get("train") or self.data.queries[self.learn]
        index.build(self.data.corpus, wanted, Budget(), metric=self.data.metric, queries=train, seed=SEED)
        return index

    def answered(self, index: Any, split: str, **search: Any) -> Values:
        """Values of its answers at these search parameters."""
        return self.values(index.search(self.queries(split), K, index.SearchParams(**search)), split)


def compared(a: Values, b: Values) -> dict[str, dict[str, float]]:
    """Means of two systems and the interval of a - b, by metric."""
    result = {}
    for metric in a:
        low, high = difference_interval(a[metric], b[metric])
        means = {"a": float(np.nanmean(a[metric])), "b": float(np.nanmean(b[metric]))}
        result[metric] = {**means, "difference": means["a"] - means["b"], "low": low, "high": high}
    return result


def prefix_rows(bench: Bench) -> list[dict[str, Any]]:
    """Exact search on prefixes of each nesting: what is lost by the dimensions left out, and nothing else."""
    d = bench.vectors.shape[1]
    dims = [d // 16, d // 8, d // 4, d // 2]
    learn = bench.queries(bench.learn).require_vectors()
    plain = np.eye(d, dtype=np.float32)
    nestings = {
        "prefix": Projection(query=plain, database=plain, mean=np.zeros(d, np.float32)),
        "random rotation": fit_random_rotation(bench.vectors, d, seed=SEED),
        "pca": fit_pca(bench.vectors, d, seed=SEED),
        "query_aware": fit_query_aware(bench.vectors, learn, d, seed=SEED),
        "adaptor": fit_adaptor(bench.vectors, dims=dims, queries=learn, seed=SEED),
    }
    if bench.data.qrels:
        nestings["adaptor, judged pairs"] = train_adaptor(bench.data, dims=dims, seed=SEED)
    values = {(name, w): _prefix_values(bench, p, w) for name, p in nestings.items() for w in dims}
    rows = []
    for (name, width), found in values.items():
        row = {"nesting": name, "dimensions": width, **compared(found, values["pca", width])}
        rows.append({**row, "interval": mean_interval(found["neighbor_recall@10"])})
    return rows


def _prefix_values(bench: Bench, projection: Projection, width: int) -> Values:
    documents = np.ascontiguousarray(projection.documents(bench.vectors)[:, :width])
    asked: FloatArray = np.ascontiguousarray(projection.queries(bench.queries("test").require_vectors())[:, :width])
    return bench.values(exact_neighbors(documents, asked, K, "ip"), "test")


def opq_rows(bench: Bench) -> list[dict[str, Any]]:
    """Codes alone: AdANNS-OPQ at half the bytes against OPQ of all dimensions, and at the same bytes."""
    d = bench.vectors.shape[1]
    full = 64 if d >= 64 else d // 2
    half = full // 2

    def rigid(code_bytes: int) -> Values:
        return bench.answered(
            bench.built("adanns_opq", nesting="prefix", d_s=d, code_bytes=code_bytes, refine="none"), "test"
        )

    widths = sorted({w for w in (half, 2 * half, 3 * half, 4 * half, 6 * half, d) if w <= d})
    tried = {w: bench.built("adanns_opq", nesting="pca", d_s=w, code_bytes=half, refine="none") for w in widths}
    tuned = {w: float(np.mean(bench.answered(i, bench.learn)["neighbor_recall@10"])) for w, i in tried.items()}
    chosen = max(tuned, key=tuned.__getitem__)
    adaptive = bench.answered(tried[chosen], "test")
    facts = {"d_s": chosen, "tuned": tuned}
    return [
        {"a": f"AdANNS-OPQ {half} B", "b": f"OPQ {full} B", **facts, **compared(adaptive, rigid(full))},
        {"a": f"AdANNS-OPQ {half} B", "b": f"OPQ {half} B", **facts, **compared(adaptive, rigid(half))},
    ]


def ivf_rows(bench: Bench) -> list[dict[str, Any]]:
    """Rigid IVF at some numbers of lists, and the AdANNS-IVF setting that finds most within the bytes it reads."""
    d = bench.vectors.shape[1]
    rigid = bench.built("adanns_ivf", nesting="prefix", d_c=d)
    adaptive = [bench.built("adanns_ivf", nesting="pca", d_c=w) for w in sorted({d, d // 2, d // 4, d // 8})]
    learn, lists = bench.queries(bench.learn), rigid.params.lists
    tried = []
    for index in adaptive:
        for row in index._settings():  # noqa: SLF001 - the grid that its own calibration uses, on more queries
            cost = index.cost(learn, index.SearchParams(**row)).bytes_read(K)
            found = float(np.mean(bench.answered(index, bench.learn, **row)["neighbor_recall@10"]))
            tried.append((found, cost, index, row))
    rows = []
    for nprobe in (1 << shift for shift in range(lists.bit_length() - 1)):
        whole = {"nprobe": nprobe, "d_s": d, "d_r": d, "refine_factor": 1}
        cost = rigid.cost(learn, rigid.SearchParams(**whole)).bytes_read(K)
        within = [entry for entry in tried if entry[1] <= cost]
        if not within:
            continue
        _, _, index, row = max(within, key=lambda entry: entry[0])
        test = bench.queries("test")
        rows.append(
            {
                "a": f"AdANNS-IVF d_c={index.params.d_c} " + " ".join(f"{k}={v}" for k, v in row.items()),
                "b": f"IVF nprobe={nprobe}",
                "bytes_a": index.cost(test, index.SearchParams(**row)).bytes_read(K),
                "bytes_b": rigid.cost(test, rigid.SearchParams(**whole)).bytes_read(K),
                **compared(bench.answered(index, "test", **row), bench.answered(rigid, "test", **whole)),
            }
        )
    return rows


def markdown(results: dict[str, Any]) -> str:
    """One table for each question and data set."""
    lines = []
    for name, tables in results.items():
        for question, rows in tables.items():
            lines += [
                "",
                f"## {name}: {question}",
                "",
                "| a | b | metric | a | b | a - b (95 %) |",
                "|---|---|---|--:|--:|--:|",
            ]
            for row in rows:
                label = row.get("a") or f"{row['nesting']}, {row['dimensions']} dimensions"
                for metric in ("neighbor_recall@10", "nDCG@10"):
                    if metric in row:
                        v = row[metric]
                        interval = f"{v['difference']:+.4f} ({v['low']:+.4f} to {v['high']:+.4f})"
                        peer = row.get("b", "pca")
                        lines.append(f"| {label} | {peer} | {metric} | {v['a']:.4f} | {v['b']:.4f} | {interval} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--rows", type=int, help="keep the first rows of a collection of vectors")
    parser.add_argument("--out", type=Path, default=Path("results/matryoshka"))
    given = parser.parse_args()
    results: dict[str, Any] = {}
    for name in given.datasets:
        try:
            bench = Bench(name, given.rows if name.startswith("glove") else None)
        except RetrievalBenchError as error:
            print(f"{name}: left out: {error}")
            continue
        results[name] = {
            "exact search on a prefix": prefix_rows(bench),
            "OPQ at half the bytes": opq_rows(bench),
            "IVF at equal bytes read": ivf_rows(bench),
        }
        write_text(given.out / "matryoshka.json", json.dumps(results, indent=1))
        write_text(given.out / "matryoshka.md", markdown(results))
        print(markdown({name: results[name]}), flush=True)


if __name__ == "__main__":
    main()
