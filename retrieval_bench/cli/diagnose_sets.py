"""The commands ``diagnose ...`` that ask about data, encoders, or whole runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from retrieval_bench.cli._app import Out, run_folder
from retrieval_bench.cli._diagnosed import Html, Into, Json, Metric, check_run, give
from retrieval_bench.cli.diagnose import diagnose
from retrieval_bench.errors import UsageError

if TYPE_CHECKING:
    from retrieval_bench.records import RunSummary
    from retrieval_bench.records.section import Cell
    from retrieval_bench.types import Dataset

_SAMPLE = 20_000  # rows of a corpus that stand for all of it
_MACHINE = ("cpu", "memory_bytes", "gpu")  # hosts' names are not recorded; memory tells some of one model apart
_AMONG = 5_000  # rows that ask one another for hubness


class Precision(StrEnum):
    """Of an encoder's weights."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


@diagnose.command(epilog="Example: `retrieval-bench diagnose difficulty glove-50`")
def difficulty(
    dataset: Annotated[str, typer.Argument(help="As for `run`.")],
    encoder: Annotated[str | None, typer.Option(help="Of texts (default: the packaged MiniLM).")] = None,
    rows: Annotated[int | None, typer.Option(help="Use only the first so many vectors.")] = None,
    as_json: Json = False, html: Html = None, out: Into = None,
) -> None:  # fmt: skip
    """What makes vectors hard to search: effective rank, labels' agreement, hubs, dimension, contrast, queries."""
    from retrieval_bench.datasets import exact_neighbors, load_dataset
    from retrieval_bench.diagnostics import difficulty, distribution
    from retrieval_bench.encoders import load_encoder
    from retrieval_bench.records.section import Section
    from retrieval_bench.runner.prepared import encoded, framed

    check_run(out)
    data = load_dataset(dataset, rows=rows)
    if data.corpus.vectors is None:
        data = encoded(data, load_encoder(encoder))
    data, _ = framed(data)
    corpus, queries = data.corpus.require_vectors(), data.queries["test"].require_vectors()[:1000]
    sample = corpus[np.random.default_rng(0).permutation(len(corpus))[:_SAMPLE]]
    k = min(20, len(corpus) - 1)
    near = exact_neighbors(corpus, queries, k, "l2").rows
    distances = difficulty.euclidean(queries, corpus, near)
    among = sample[:_AMONG]
    within = difficulty.others(exact_neighbors(among, among, min(11, len(among)), "l2").rows)
    dimension = difficulty.intrinsic_dimension(distances)
    away = distribution.mahalanobis(queries, sample)
    figures: tuple[tuple[str, float, str], ...] = (
        ("dimensions", float(corpus.shape[1]), ""),
        ("effective rank (RankMe)", difficulty.rank_me(sample), "directions that matter; low is easy to compress"),
        ("local intrinsic dimension", float(np.nanmedian(dimension)), "median over queries; high is hard"),
        ("relative contrast", difficulty.relative_contrast(distances[:, 0], difficulty.mean_distance(queries, sample)),
         "mean distance over nearest; near 1 is hard"),
        ("hubness", difficulty.hubness(within, len(among)), "skewness; above 1 a few rows are in many answers"),
        ("queries' distance to the corpus", float(np.median(away.queries)), "Mahalanobis; 1 is like its own rows"),
        ("Frechet distance of queries and corpus", distribution.frechet(queries, sample),
         "0 is the same distribution; few rows raise it"),
    )  # fmt: skip
    foreign = "unlike" if away.foreign else "like"
    section = Section(
        title=f"Difficulty: {data.name}",
        says=(f"{figures[1][1]:.0f} of {corpus.shape[1]} dimensions carry it; queries are {foreign} the corpus: "
              f"the median one is farther from it than {away.beyond:.0%} of its own rows.",),
        columns=("figure", "value", "low", "high", "how to read it"),
        rows=(*((name, value, None, None, reading) for name, value, reading in figures),
              *_labels(data, len(queries))),
    )  # fmt: skip
    give(section, as_json=as_json, html=html, run=out)


def _labels(data: Dataset, most: int) -> tuple[tuple[Cell, ...], ...]:
    """The rows of ``difficulty`` that need judgments of the first so many test queries, or why there are none."""
    from retrieval_bench.diagnostics.labels import label_agreement

    share, rank = "labels' agreement", "effective rank of what agrees with labels"
    qrels, first = data.qrels.get("test"), slice(most)
    if qrels is None:
        return tuple((name, None, None, None, "absent: the data set has no judgments") for name in (share, rank))
    queries, corpus = data.queries["test"].require_vectors()[first], data.corpus.require_vectors()
    found = label_agreement(queries, corpus, qrels.take(first), metric=data.metric)
    if found is None:
        few = "absent: fewer than two queries have a relevant document here"
        return tuple((name, None, None, None, few) for name in (share, rank))
    return (
        (share, found.share, *found.interval, "how often a relevant document beats a random one; 0.5 is chance"),
        (rank, found.rank, None, None, f"directions in which queries and relevant documents agree, of {found.most}"),
    )  # fmt: skip


@diagnose.command(epilog="Example: `retrieval-bench diagnose metrics --out results/pystdlib`")
def metrics(as_json: Json = False, html: Html = None, out: Out = None) -> None:
    """Whether metrics agree about the systems of a run, and how large a difference must be to be believed."""
    from retrieval_bench.diagnostics.metrics import agreement, believable_difference
    from retrieval_bench.records import Store
    from retrieval_bench.records.section import Section

    store = Store(run_folder(None, out))
    summary = store.summary()
    values = {system: store.per_query(t, "test") for system, t in summary.chosen.items()}
    names = sorted(set.intersection(*(set(v) for v in values.values())) if values else ())
    if len(values) < 2 or not names:
        raise UsageError(f"{store.folder}: fewer than two systems with figures: there is nothing to agree about")
    means = {name: [float(np.nanmean(v[name])) for v in values.values()] for name in names}
    stacked = np.stack([v[summary.primary] for v in values.values()])
    least = believable_difference(stacked[:, ~np.isnan(stacked).any(axis=0)])
    pairs = agreement(means)
    section = Section(
        title=f"Agreement of metrics: {summary.dataset}, {len(values)} systems",
        says=(f"A difference in {summary.primary} is to be believed from {least:.4f} on: smaller ones are turned "
              "round by other queries more often than 1 time in 20.",),
        columns=("metric", "metric", "Kendall's tau of their rankings"),
        rows=tuple((a, b, None if np.isnan(tau) else tau) for (a, b), tau in pairs.items()),
    )  # fmt: skip
    give(section, as_json=as_json, html=html, run=store.folder)


@diagnose.command(epilog="Example: `retrieval-bench diagnose tournament results/glove-50 results/pystdlib`")
def tournament(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs, one for each data set.")],
    metric: Metric = None, as_json: Json = False, html: Html = None, out: Into = None,
) -> None:  # fmt: skip
    """Rank systems by pairwise wins over data sets (Bradley-Terry), beside their plain mean."""
    from retrieval_bench.records import Store
    from retrieval_bench.records.section import Section
    from retrieval_bench.statistics import bradley_terry

    check_run(out)
    table: dict[str, list[float]] = {}
    seen: dict[tuple[str, int, int], Path] = {}
    for i, folder in enumerate(runs):
        store = Store(folder)
        summary = store.summary()
        data = (summary.dataset, summary.documents, summary.queries.get("test", 0))
        if data in seen:
            raise UsageError(f"{seen[data]} and {folder} are both of {summary.dataset}: name one run for each data set")
        seen[data] = folder
        for system, trial in summary.chosen.items():
            value = store.record(trial).value(metric or summary.primary)
            table.setdefault(system, [float("nan")] * len(runs))[i] = float("nan") if value is None else value
    ranked = bradley_terry(table)
    first = next(iter(ranked))
    best = max(ranked, key=lambda s: ranked[s].mean)
    said = f"{first} wins most against others" + ("" if best == first else f", while {best} has the highest plain mean")
    if ranked[first].low is None:
        width = "There are no intervals: fewer than two data sets compare systems, and one tells nothing about others."
    else:
        width = "Intervals are over data sets; with few of them they are wide, and rightly so."
    section = Section(
        title=f"Tournament of {len(ranked)} systems over {len(runs)} data set{'s' * (len(runs) > 1)}",
        says=(f"{said}.", width),
        columns=("system", "strength (log-odds)", "low", "high", "wins", "games", "plain mean"),
        rows=tuple((n, s.strength, s.low, s.high, s.wins, s.games, s.mean) for n, s in ranked.items()),
    )  # fmt: skip
    give(section, as_json=as_json, html=html, run=out)


@diagnose.command(epilog="Example: `retrieval-bench diagnose variance ivf_pq runs/seed-0 runs/seed-1 runs/seed-2`")
def variance(
    system: Annotated[str, typer.Argument(help="A system that all these runs chose a setting of.")],
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs that differ in seed, build, or machine.")],
    metric: Annotated[str, typer.Option(help="A measurement; of repeated ones, such as batch_qps, every repeat.")] = (
        "batch_qps"
    ),
    as_json: Json = False, html: Html = None, out: Into = None,
) -> None:  # fmt: skip
    """Where the spread of a figure comes from: machine, seed, run (its build), or repeats."""
    from retrieval_bench.comparison.question import Asked, same_work
    from retrieval_bench.diagnostics.factors import told_apart
    from retrieval_bench.records import Store
    from retrieval_bench.records.section import Section
    from retrieval_bench.statistics import variance_components

    check_run(out)
    first: tuple[Asked, RunSummary] | None = None
    values: list[float] = []
    labels: dict[str, list[str]] = {"machine": [], "seed": [], "run": []}
    for folder in runs:
        store = Store(folder)
        summary = store.summary()
        trial = summary.chosen.get(system)
        found = None if trial is None else store.record(trial).measurement(metric)
        if trial is None or found is None:
            raise UsageError(f"{folder}: has no {metric} of a chosen setting of {system!r}")
        record = store.record(trial)
        asked = Asked(name=str(folder), trial=record)
        first = first or (asked, summary)
        same_work(first[0], asked, metric, (first[1], summary))
        samples = found.samples or (found.value,)
        values += np.log(samples).tolist()
        machine = [record.machine.get(fact, "") for fact in _MACHINE]
        for name, label in (("machine", machine), ("seed", record.seed), ("run", folder)):
            labels[name] += [str(label)] * len(samples)
    factors = told_apart(labels)
    merged = [name for name, groups in labels.items() if name not in factors and len(set(groups)) > 1]
    parts = variance_components(values, factors)
    total = sum(parts.values()) or 1.0
    most = max(parts, key=lambda name: parts[name])
    section = Section(
        title=f"Variance of {metric}: {system}, {len(runs)} runs",
        says=(f"Most of it, {parts[most] / total:.0%}, is between one {most} and another.",
              *(f"These runs cannot tell {name} apart: it varies with the others or with every value."
                for name in merged)),
        columns=("source", "standard deviation, percent", "share of the variance"),
        rows=tuple((name, 100 * float(np.sqrt(v)), v / total) for name, v in parts.items()),
    )  # fmt: skip
    give(section, as_json=as_json, html=html, run=out)


@diagnose.command(
    epilog="Examples: `retrieval-bench diagnose throughput --sizes 1 --sizes 16 --sizes 64` · "
    "`retrieval-bench diagnose throughput --precision float32 --precision bfloat16`"
)
def throughput(
    encoder: Annotated[str | None, typer.Argument(help="sentence-transformers model (default: MiniLM).")] = None,
    sizes: Annotated[list[int] | None, typer.Option(help="Texts per batch; repeat.")] = None,
    words: Annotated[list[int] | None, typer.Option(help="Words per text; repeat.")] = None,
    precision: Annotated[
        list[Precision] | None, typer.Option(help="Of the encoder's weights; repeat to compare.")
    ] = None,
    as_json: Json = False, html: Html = None, out: Into = None,
) -> None:  # fmt: skip
    """How fast an encoder is at each batch size and length, with what energy, and which batch size to use."""
    from retrieval_bench.diagnostics.throughput import best_batch, landscape
    from retrieval_bench.encoders import load_encoder
    from retrieval_bench.measure.energy import meters
    from retrieval_bench.records.section import Section

    check_run(out)
    counters, says, rows, name = meters(), [], [], ""
    for asked in precision or [Precision.auto]:
        model = load_encoder(encoder, precision=asked.value)
        name = model.name
        points = landscape(model.encode, sizes=sizes or (1, 4, 16, 64), words=words or (8, 64, 200), counters=counters)
        advice = ", ".join(f"{batch} for texts of {length} words" for length, batch in best_batch(points).items())
        says.append(f"{model.precision}: the smallest batch that is as fast as any measured: {advice}.")
        rows += [(model.precision, p.words, p.batch, p.rate, p.low, p.high, p.joules) for p in points]
    says.append(
        f"Energy of the whole machine, by {', '.join(meter.name for meter in counters)}." if counters
        else "Energy absent: no counter (RAPL, NVML) of this machine may be read."
    )  # fmt: skip
    section = Section(
        title=f"Throughput of {name}", says=tuple(says), rows=tuple(rows),
        columns=("precision", "words", "batch", "texts per second", "low", "high", "joule per text"),
    )  # fmt: skip
    give(section, as_json=as_json, html=html, run=out)
