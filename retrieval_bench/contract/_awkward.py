"""Vectors as people have them, on which indexes go wrong, and what an index must make of them: find, or refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from retrieval_bench.contract._subject import IndexSubject
from retrieval_bench.errors import BudgetError, DataError, UsageError
from retrieval_bench.frame import Frame
from retrieval_bench.protocols import Index
from retrieval_bench.threads import limited
from retrieval_bench.types import Budget, Corpus, Metric, Params, Queries, RowIds

K = 10
RE_RANKED = 0.99  # recall of an index that keeps the originals
LEAST = 0.6  # on plain data, of one that keeps codes only
LOST = 0.05  # what one that keeps codes only may lose of its recall on plain data
_ALL: tuple[Metric, ...] = ("l2", "ip", "cos")
_L2: tuple[Metric, ...] = ("l2",)
_QUICK = (
    "far from the origin", "two far-apart groups", "one row 1000 times longer", "short rows", "huge values",
    "one wide dimension", "five vectors, repeated", "all rows equal", "one-hot rows", "seven rows",
)  # fmt: skip
Vectors = npt.NDArray[Any]


class Case(NamedTuple):
    """A corpus (n, d) and queries (m, d) of one kind, of any real dtype, and the metrics under which it makes sense."""

    name: str
    corpus: Vectors
    queries: Vectors
    metrics: tuple[Metric, ...]


class Finding(NamedTuple):
    """What an index made of a case: its recall@10 at full effort, NaN where it refused, and what is wrong with that."""

    recall: float
    refused: str = ""
    wrong: str = ""


def cases(n: int, d: int, m: int, seed: int = 0) -> Iterator[Case]:
    """Cases of about n rows, d dimensions and m queries; the first of them is plain.

    Args:
        n: rows, at least 50.
        d: dimensions, at least 8.
        m: queries.
        seed: of every random choice.
    """
    rng = np.random.default_rng(seed)
    centres = 2 * rng.normal(size=(max(4, n // 60), d))

    def drawn(rows: int) -> Vectors:
        return (centres[rng.integers(0, len(centres), rows)] + rng.normal(size=(rows, d))).astype(np.float32)

    x, q = drawn(n), drawn(m)
    yield Case("plain", x, q, _ALL)
    yield from _places(x, q, rng)
    yield from _lengths(x, q, rng)
    yield from _dimensions(x, q, rng)
    yield from _repeats(x, q)
    yield from _counts(n, d, m, rng)
    yield from _small(x, q)


def _places(x: Vectors, q: Vectors, rng: np.random.Generator) -> Iterator[Case]:
    """Far from the origin, or from each other."""
    n, m = len(x), len(q)
    yield Case("far from the origin", x + np.float32(3000), q + np.float32(3000), _L2)
    degrees = rng.normal(size=(n + m, 3)) * 0.01 + [48.1, 11.6, 0]
    yield Case("positions in degrees", degrees[:n].astype(np.float32), degrees[n:].astype(np.float32), _L2)
    metres = rng.normal(size=(n + m, 2)) * 1e-6 + [48.1, 11.6]
    yield Case("positions to a metre, float64", metres[:n], metres[n:], _L2)
    sides = np.where(np.arange(n + m) % 2, 500, -500).astype(np.float32)[:, None]
    yield Case("two far-apart groups", x + sides[:n], q + sides[n:], _L2)
    yield Case("negative values only", -np.abs(x), -np.abs(q), _ALL)


def _lengths(x: Vectors, q: Vectors, rng: np.random.Generator) -> Iterator[Case]:
    """Rows, queries or both longer or shorter than others."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    for times in (1e3, 1e6):
        long = x.copy()
        long[len(x) // 3] *= np.float32(times)
        yield Case(f"one row {times:g} times longer", long, q, ("l2", "ip"))
    yield Case("lognormal lengths", x * rng.lognormal(0, 1.5, (len(x), 1)).astype(np.float32), q, ("l2", "ip"))
    zero = x.copy()
    zero[len(x) // 2] = 0
    yield Case("one zero row", zero, q, ("l2", "ip"))
    yield Case("short rows", (unit * 0.1).astype(np.float32), q, ("ip",))
    yield Case("short queries", x, q * np.float32(1e-4), ("ip", "cos"))
    for name, times in (("tiny values", 1e-18), ("huge values", 1e15)):
        yield Case(name, x * np.float32(times), q * np.float32(times), _ALL)
    yield Case("values below the normal range", x * np.float32(1e-39), q, ("ip", "cos"))


def _dimensions(x: Vectors, q: Vectors, rng: np.random.Generator) -> Iterator[Case]:
    """Dimensions unlike each other."""
    d = x.shape[1]
    spreads = {"one wide dimension": np.where(np.arange(d) == 7, 100, 1), "unequal dimensions": rng.lognormal(0, 2, d)}
    for name, spread in spreads.items():
        yield Case(name, (x * spread).astype(np.float32), (q * spread).astype(np.float32), _ALL)
    for name, value in (("a constant dimension", 5), ("a large constant dimension", 2000)):
        flat, asked = x.copy(), q.copy()
        flat[:, 3] = asked[:, 3] = value
        yield Case(name, flat, asked, _ALL if value == 5 else _L2)


def _repeats(x: Vectors, q: Vectors) -> Iterator[Case]:
    """Rows that are there more than once."""
    n = len(x)
    yield Case("five vectors, repeated", np.repeat(x[:5], n // 5, axis=0), q, _ALL)
    yield Case("all rows equal", np.repeat(x[:1], n // 4, axis=0), q, _ALL)
    yield Case("every row twice", np.concatenate([x[: n // 2]] * 2), q, _ALL)


def _counts(n: int, d: int, m: int, rng: np.random.Generator) -> Iterator[Case]:
    """Whole numbers: bits, sparse counts, bytes."""
    bits = rng.integers(0, 2, (n + m, d)).astype(np.float32)
    yield Case("bits", bits[:n], bits[n:], ("l2", "ip"))
    hot = np.eye(d, dtype=np.float32)[rng.integers(0, d, n + m)]
    yield Case("one-hot rows", hot[:n], hot[n:], _ALL)
    sparse = np.where(rng.random((n + m, d)) < 0.1, rng.lognormal(0, 1, (n + m, d)), 0).astype(np.float32)
    sparse[:, 0] += 0.1
    yield Case("sparse rows", sparse[:n], sparse[n:], _ALL)
    grey = np.clip(rng.normal(110, 60, (n + m, d)), 0, 255).astype(np.uint8)
    yield Case("bytes", grey[:n], grey[n:], _ALL)


def _small(x: Vectors, q: Vectors) -> Iterator[Case]:
    """Few rows, few dimensions."""
    yield Case("seven rows", x[:7], q, _ALL)
    yield Case("one row", x[:1], q, _ALL)
    yield Case("one dimension", x[:, :1], q[:, :1], ("l2", "ip"))
    yield Case("three dimensions", x[:, :3], q[:, :3], _ALL)


def right_answers(case: Case, metric: Metric) -> npt.NDArray[np.bool_]:
    """(m, n): whether a row is among the K best of a query, in float64, a tie with the K-th counting."""
    x, q = case.corpus.astype(np.float64), case.queries.astype(np.float64)
    if metric == "l2":
        scores = np.stack([-((one - x) ** 2).sum(axis=1) for one in q])
    else:
        if metric == "cos":
            x, q = (v / np.abs(v).max(axis=1, keepdims=True) for v in (x, q))
            x, q = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, q))
        scores = q @ x.T
    last = np.sort(scores, axis=1)[:, -min(K, len(x))][:, None]
    best: npt.NDArray[np.bool_] = scores >= last - 1e-9 * np.abs(last)
    return best


def tried(subject: IndexSubject, case: Case, metric: Metric) -> tuple[float, Index]:
    """Recall@K of an index of the case, in its frame, at the best of its search settings and at full effort.

    Returns:
        the recall, -1 where full effort gave fewer hits than there are rows, and the index.

    Raises:
        RetrievalBenchError: it was refused.
    """
    factory = subject.factory
    frame = Frame.of(case.corpus, metric, source="corpus")
    if frame.served not in factory.metrics:
        raise UsageError(f"{metric} of these rows is served by {frame.served}, which the backend does not serve")
    asked, _ = frame.queries(case.queries)
    corpus = Corpus(ids=RowIds(len(case.corpus)), vectors=frame.rows(case.corpus))
    queries = Queries(ids=RowIds(len(asked)), vectors=asked)
    index = factory()
    with limited(1):
        index.build(corpus, factory.BuildParams(), Budget(), metric=frame.served, queries=queries, seed=3)
    right, k = right_answers(case, metric), min(K, len(corpus))
    best = 0.0
    for number, setting in enumerate([full_effort(factory.SearchParams), {}, *subject.settings]):
        try:
            rows = subject.search(index, queries, k, **setting).rows
        except UsageError:
            continue
        if number == 0 and (rows < 0).any():
            return -1.0, index
        found = np.take_along_axis(right, np.maximum(rows, 0), axis=1) & (rows >= 0)
        best = max(best, float(found.mean()))
        if best == 1.0:
            break
    return best, index


def full_effort(kind: type[Params]) -> dict[str, Any]:
    """Each search parameter that has a largest value, at that."""
    largest: dict[str, Any] = {}
    for name, described in kind.model_fields.items():
        most = [bound for rule in described.metadata if (bound := getattr(rule, "le", None)) is not None]
        largest |= {name: most[0]} if most else {}
    return largest


def judged(subject: IndexSubject, case: Case, metric: Metric, plain: float | None) -> Finding:
    """Whether an index meets a case; ``plain`` is its recall on plain data under that metric, None for that itself."""
    try:
        recall, index = tried(subject, case, metric)
    except (BudgetError, DataError, UsageError) as refusal:  # tables may take more than a few short vectors do
        return Finding(float("nan"), refused=str(refusal))
    except Exception as error:  # noqa: BLE001 - what an engine throws is a finding, and other cases are judged too
        return Finding(float("nan"), wrong=f"ends in {type(error).__name__}: {str(error)[:200]}")
    if recall < 0:
        return Finding(0.0, wrong="fewer hits than there are rows, with everything looked at")
    exact = index.memory().total >= case.corpus.size * 4
    least = RE_RANKED if exact else LEAST if plain is None else min(RE_RANKED, plain - LOST)
    return Finding(recall, wrong="" if recall >= least else f"recall {recall:.3f}, at least {least:.3f} is needed")


def findings(
    subject: IndexSubject, *, n: int, d: int, m: int, seed: int = 0, quick: bool = False
) -> Iterator[tuple[Case, Metric, Finding]]:
    """What an index makes of every case (see ``cases``) under every metric that it serves.

    Args:
        subject: the index.
        n: rows.
        d: dimensions.
        m: queries.
        seed: of the cases.
        quick: a few telling kinds only, each under one metric.
    """
    plain: dict[Metric, float] = {}
    for number, case in enumerate(cases(n, d, m, seed)):
        if quick and case.name not in (*_QUICK, "plain"):
            continue
        served = [metric for metric in case.metrics if Frame(asked=metric).served in subject.factory.metrics]
        for metric in served[number % len(served) :][:1] if quick and plain and served else served:
            found = judged(subject, case, metric, plain.get(metric))
            plain.setdefault(metric, found.recall)
            yield case, metric, found
