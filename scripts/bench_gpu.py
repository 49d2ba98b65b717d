"""The device's kernels against the card's own roofs and against faiss-gpu, each checked against float64.

    python scripts/bench_gpu.py [--only knn --only growth ...] [--run FOLDER] [--out FOLDER]
    python scripts/bench_gpu.py --quick                 # small sizes, on the CPU too: checks, not figures

Roofs are measured first: a copy, counting bytes read and written, and a large matrix product. Every line then says how
much of the nearer roof was reached, and what else it waits for. Writes gpu.json and gpu.md; with --run the table is
kept with that run, whose report shows it. Exit code 1 where a result is wrong; a target that is missed is only said.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from bench_gpu_data import K, asked, documents, judged
from bench_gpu_models import cross_encoding, encoding
from bench_gpu_peers import RECALL, against_faiss
from bench_gpu_roofs import Bench, Line, roofs
from one_setting import markdown

from retrieval_bench.device.bound import reach_of
from retrieval_bench.device.choose import choose_device, choose_precision
from retrieval_bench.device.exact import Part, exact_search, half_squares, part_of
from retrieval_bench.device.kmeans import kmeans
from retrieval_bench.device.operand import Operand, as_operand
from retrieval_bench.device.products import chosen_scores, group_max, nearest
from retrieval_bench.device.select import best_groups, members, top
from retrieval_bench.files import write_text
from retrieval_bench.measure.machine import code, machine
from retrieval_bench.records import Store
from retrieval_bench.records.section import Section, shown


def knn(bench: Bench) -> Iterator[Line]:
    """Exact search in batches and of one query, and over reduced vectors with re-ranking."""
    n, d, m = bench.size(1_000_000, 20_000), bench.size(768, 64), bench.size(4096, 64)
    vectors = documents(n, d, bench.device)
    part = part_of(0, vectors, bench.precision, "ip")
    each = part.rounded.values.element_size()
    for queries, target in ((m, 250_000.0), (1, 2_000.0)):
        wanted = asked(vectors, queries)
        rounded = as_operand(wanted, bench.precision)
        kernel = bench.seconds(lambda r=rounded: group_max(r, part.rounded))  # type: ignore[misc]
        whole = bench.seconds(lambda w=wanted: exact_search(w, [part], K, "ip"))  # type: ignore[misc]
        found = exact_search(wanted, [part], K, "ip")
        share, off = judged(found.rows[:32], found.scores[:32], wanted[:32], vectors)
        yield bench.line(
            f"exact k-NN, {n:,} x {d} {bench.precision}, {queries} at once", whole, f"{queries / whole:,.0f} QPS",
            target=f"{target:,.0f} QPS", met=None if bench.quick else queries / whole >= target,
            moved=n * d * each, operations=2 * n * d * queries, error=off, right=share == 1.0,
            note=f"kernel alone {kernel * 1e3:.3g} ms; again {found.again.float().mean():.1%}; recall {share:.4f}",
        )  # fmt: skip
    yield from reduced(bench, vectors, m)


def reduced(bench: Bench, vectors: torch.Tensor, m: int) -> Iterator[Line]:
    """LeanVec's reduction by PCA, int8, as few groups re-ranked as reach a recall of 0.99."""
    n, d = vectors.shape
    dim = d // 4
    basis = torch.linalg.eigh(vectors[: 1 << 16].T @ vectors[: 1 << 16]).eigenvectors[:, -dim:]
    turn = torch.linalg.qr(torch.randn((dim, dim), device=bench.device)).Q
    matrix = basis @ turn
    rounded, wanted = as_operand(vectors @ matrix, "int8"), asked(vectors, m)

    def search(groups: int) -> tuple[torch.Tensor, torch.Tensor]:
        best, _ = best_groups(group_max(as_operand(wanted @ matrix, "int8"), rounded), groups)
        slots = members(best, n)
        return top(chosen_scores(wanted, vectors, slots, "ip"), slots, K)

    for groups in (12, 16, 24, 32, 48, 64, 96, 128):
        rows, scores = search(groups)
        share, off = judged(rows[:256], scores[:256], wanted[:256], vectors)
        if share >= 0.99:
            break
    seconds = bench.seconds(lambda: search(groups))
    yield bench.line(
        f"reduced to {dim} in int8 + re-rank, {n:,} x {d}, {m} at once", seconds, f"{m / seconds:,.0f} QPS",
        target="600,000 QPS at recall 0.99", met=None if bench.quick else m / seconds >= 600_000 and share >= 0.99,
        moved=n * dim, operations=2 * n * dim * m, error=off, right=share >= 0.99,
        note=f"{groups} groups re-ranked; recall {share:.4f}; the roof is that of {bench.precision} products",
    )  # fmt: skip


def clustering(bench: Bench) -> Iterator[Line]:
    """One round of k-means: assignment and averages."""
    n, d, count = bench.size(1_000_000, 20_000), bench.size(768, 64), bench.size(4096, 64)
    points = documents(n, d, bench.device)
    centres = kmeans(points[: 40 * count], count, rounds=1, seed=0)
    rounded = as_operand(points, bench.precision)

    def round_once() -> torch.Tensor:
        which, _ = nearest(rounded, as_operand(centres, bench.precision, half_squares(centres)))
        return torch.zeros_like(centres).index_add_(0, which, points)

    seconds = bench.seconds(round_once)
    which, _ = nearest(rounded, as_operand(centres, bench.precision, half_squares(centres)))
    some = points[:512].double()
    distances = torch.cdist(some, centres.double())
    over = (distances.gather(1, which[:512, None])[:, 0] / distances.amin(dim=1)).max().item() - 1
    yield bench.line(
        f"k-means round, {n:,} x {d}, {count:,} clusters", seconds, f"{seconds * 1e3:.3g} ms",
        target="16 ms", met=None if bench.quick else seconds <= 0.016, error=over, right=over < 0.02,
        moved=n * d * (4 + rounded.values.element_size()), operations=2 * n * d * count,
        note="error: how much further than the nearest an assigned centre can be",
    )  # fmt: skip


def growth(bench: Bench) -> Iterator[Line]:
    """Exact search at growing n: the exponent of the time."""
    d, m = bench.size(384, 32), bench.size(1024, 64)
    sizes = (10_000, 20_000, 40_000) if bench.quick else (1_000_000, 10_000_000, 50_000_000)
    times, done = [], []
    for n in sizes:
        if bench.device.type == "cuda" and 1.2 * n * d * 2 > torch.cuda.mem_get_info(bench.device)[0]:
            break
        vectors = torch.empty((n, d), dtype=getattr(torch, bench.precision), device=bench.device)
        for start in range(0, n, 1 << 22):
            vectors[start : start + (1 << 22)] = documents(min(1 << 22, n - start), d, bench.device, start)
        stored = Operand(values=vectors)
        part = Part(start=0, vectors=vectors, rounded=stored, reach=reach_of(vectors, stored))
        wanted = asked(vectors, m)
        times.append(bench.seconds(lambda p=part, w=wanted: exact_search(w, [p], K, "ip"), 5))  # type: ignore[misc]
        done.append(n)
        del vectors, stored, part
    exponent = float(np.polyfit(np.log(done), np.log(times), 1)[0]) if len(done) > 1 else float("nan")
    left_out = "" if len(done) == len(sizes) else "; larger ones do not fit"
    yield bench.line(
        f"growth of exact k-NN, {d} dimensions, n = {' / '.join(f'{n:,}' for n in done)}", times[-1],
        f"exponent {exponent:.3f}", target="1.0 +- 0.05", met=None if bench.quick else abs(exponent - 1) <= 0.05,
        moved=done[-1] * d * 2, operations=2 * done[-1] * d * m,
        note=" / ".join(f"{t * 1e3:.4g} ms" for t in times) + left_out,
    )  # fmt: skip


def models(bench: Bench) -> Iterator[Line]:
    """Encoding and scoring of pairs at length 128."""
    for work, run, target in (
        ("MiniLM, length 128", encoding, 30_000),
        ("cross-encoder, 6 layers, length 128", cross_encoding, 60_000),
    ):
        rate, operations, off = run(bench.device, bench.size(16_384, 64))
        yield bench.line(
            work, 1 / rate, f"{rate:,.0f} / s", target=f"{target:,} / s", met=None if bench.quick else rate >= target,
            moved=0, operations=operations, error=off, right=off < 0.05, note="error: against float32",
        )  # fmt: skip


def peers(bench: Bench) -> Iterator[Line]:
    """faiss-gpu on the same vectors in turns: flat against the reduced search, lists against lists."""
    n, d = bench.size(1_000_000, 20_000), bench.size(768, 64)
    vectors = documents(n, d, bench.device)
    for work, ours, theirs, share, least in against_faiss(vectors, asked(vectors, bench.size(4096, 64)), bench.device):
        ratio = theirs / ours
        yield Line(
            work=work, seconds=ours, rate=f"{ratio:.2f} x faiss", target=f"{least:g} x", right=share >= RECALL,
            met=None if bench.quick else ratio >= least, note=f"faiss {theirs * 1e3:.4g} ms; recall {share:.4f}",
        )  # fmt: skip


PARTS = {"knn": knn, "kmeans": clustering, "models": models, "peers": peers, "growth": growth}


def row(line: Line) -> dict[str, str]:
    met = {None: "", True: " (met)", False: " (missed)"}[line.met]
    return {
        "work": line.work,
        "ms": shown(line.seconds * 1e3),
        "rate": line.rate,
        "wanted": line.target + met,
        "GB": shown(line.bytes / 1e9),
        "Gop": shown(line.operations / 1e9),
        "of the roof": "-" if line.roof_share is None else f"{line.roof_share:.1%}",
        "waits for": line.waits_for,
        "error": shown(line.error) if line.error is not None else "-",
        "note": line.note if line.right else f"WRONG. {line.note}",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--quick", action="store_true", help="small sizes: checks, not figures")
    parser.add_argument("--only", action="append", choices=list(PARTS), help="this part alone; repeat for more")
    parser.add_argument("--run", type=Path, help="folder of a run whose report shall show the table")
    parser.add_argument("--out", type=Path, default=Path("bench-gpu"), help="folder of gpu.json and gpu.md")
    given = parser.parse_args()
    device = choose_device(given.device)
    precision = choose_precision("auto", device)
    bandwidth, rate = roofs(device, precision, given.quick)
    bench = Bench(device=device, precision=precision, quick=given.quick, bandwidth=bandwidth, rate=rate)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else machine()["cpu"]
    head = f"{name}: copy {bandwidth / 1e9:,.0f} GB/s, {precision} products {rate / 1e12:,.3g} Top/s"
    if given.quick:
        head += "; small sizes, which no target is meant for"
    print(head, flush=True)
    lines: list[Line] = []
    for part in given.only or PARTS:
        for line in PARTS[part](bench):
            lines.append(line)
            print(json.dumps(row(line)), flush=True)
            facts = {
                "device": name,
                "bandwidth": bandwidth,
                "rate": rate,
                "machine": machine(),
                "code": code(),
            }
            write_text(
                given.out / "gpu.json",
                json.dumps({**facts, "lines": [asdict(done) for done in lines]}, indent=1) + "\n",
            )
    rows = [row(line) for line in lines]
    write_text(given.out / "gpu.md", f"{head}\n\n{markdown(rows)}")
    if given.run:
        section = Section(
            title="Kernels on the device",
            says=(head,),
            columns=tuple(rows[0]),
            rows=tuple(tuple(r.values()) for r in rows),
        )
        Store(given.run).write_section(section)
    print(f"\n{head}\n\n{markdown(rows)}")
    return 0 if all(line.right for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
