"""The commands ``diagnose ...`` that ask about one trial: where it fails, and how far its figures can be believed."""

from __future__ import annotations

from typing import Annotated

import typer

from retrieval_bench.cli._app import Out, app, run_folder
from retrieval_bench.cli._diagnosed import Html, Json, Metric, diagnosed, give
from retrieval_bench.errors import UsageError

diagnose = typer.Typer(no_args_is_help=True, help="What a mean hides: each diagnostic is one command.")
app.add_typer(diagnose, name="diagnose")
Trial = Annotated[str, typer.Argument(help="A trial id (or its beginning), or a system of the run.")]


@diagnose.command(epilog="Example: `retrieval-bench diagnose tail hnsw --out results/glove-50`")
def tail(trial: Trial, metric: Metric = None, as_json: Json = False, html: Html = None, out: Out = None) -> None:
    """The worst queries: low percentiles, and robustness-delta, the share of queries that get at least delta."""
    from retrieval_bench.diagnostics.tail import robustness, worst
    from retrieval_bench.records.section import Section

    found = diagnosed(trial, run_folder(None, out), metric)
    deltas = [(f"share of queries with at least {d:g}", robustness(found.values, d), None, None) for d in (0.5, 0.9, 1)]
    low = [(f"percentile {p:g}", value, least, most) for p, value, least, most in worst(found.values)]
    share = robustness(found.values, 0.5)
    section = Section(
        title=f"Tail of {found.metric}: {found.trial.system}",
        says=(f"{1 - share:.1%} of the queries get less than half of what could be found for them.",),
        columns=("", found.metric, "low", "high"), rows=(*low, *deltas),
    )  # fmt: skip
    give(section, as_json=as_json, html=html, run=found.folder)


@diagnose.command(epilog="Example: `retrieval-bench diagnose slices dense --by rarity --out results/pystdlib`")
def slices(
    trial: Trial,
    by: Annotated[str, typer.Option(help="length, rarity, cluster, or distance (to the corpus).")] = "length",
    metric: Metric = None, as_json: Json = False, html: Html = None, out: Out = None,
) -> None:  # fmt: skip
    """A mean taken apart by kinds of queries."""
    from retrieval_bench.diagnostics import distribution, slices
    from retrieval_bench.records.section import Section

    found = diagnosed(trial, run_folder(None, out), metric)
    asked, corpus = found.data.queries["test"], found.data.corpus
    if by == "length":
        feature = slices.lengths(asked.require_texts())
    elif by == "rarity":
        feature = slices.rarity(asked.require_texts(), corpus.require_texts())
    elif by == "cluster":
        feature = slices.clusters(asked.require_vectors())
    elif by == "distance":
        feature = distribution.mahalanobis(asked.require_vectors(), corpus.require_vectors()[:20_000]).queries
    else:
        raise UsageError(f"--by {by!r}: slice by length, rarity, cluster or distance")
    parts = slices.by_feature(found.values, feature, bins=8 if by == "cluster" else 4)
    least, most = min(parts, key=lambda s: s.mean), max(parts, key=lambda s: s.mean)
    section = Section(
        title=f"{found.metric} by {by}: {found.trial.system}",
        says=(f"From {least.mean:.4f} ({by} {least.low:.3g} to {least.high:.3g}) to {most.mean:.4f} ({by} "
              f"{most.low:.3g} to {most.high:.3g}).",),
        columns=(f"{by} from", "to", "queries", found.metric, "low", "high"),
        rows=tuple((s.low, s.high, s.n, s.mean, s.mean_low, s.mean_high) for s in parts),
    )  # fmt: skip
    give(section, as_json=as_json, html=html, run=found.folder)


@diagnose.command(epilog="Example: `retrieval-bench diagnose judged bm25 --out results/scifact`")
def judged(trial: Trial, as_json: Json = False, html: Html = None, out: Out = None) -> None:
    """How many answers anyone judged, and how much the others may cost."""
    from retrieval_bench.diagnostics.judgments import reach
    from retrieval_bench.quality import ranked
    from retrieval_bench.records.section import Section

    found = diagnosed(trial, run_folder(None, out), "nDCG@10")
    hits = found.hits()
    deepest = hits.rows.shape[1]
    depths = [k for k in (5, 10, 20) if k <= deepest] or [deepest]
    answers = ranked(hits, found.data.corpus, own_rows=found.data.queries["test"].own_rows)
    cuts = [reach(answers, found.data.qrels["test"], k=k) for k in depths]
    section = Section(
        title=f"Reach of the judgments: {found.trial.system}",
        says=(f"{1 - cuts[0].judged:.1%} of the first {cuts[0].k} answers have no judgment and count as wrong; "
              f"were they left out, nDCG@{cuts[0].k} would be {cuts[0].bias:+.4f} higher at most.",),
        columns=("k", "judged@k", "nDCG@k", "nDCG@k without unjudged", "difference"),
        rows=tuple((c.k, c.judged, c.usual, c.condensed, c.bias) for c in cuts),
    )  # fmt: skip
    give(section, as_json=as_json, html=html, run=found.folder)


@diagnose.command(epilog="Example: `retrieval-bench diagnose energy hnsw --out results/glove-50`")
def energy(
    trial: Trial,
    seconds: Annotated[float, typer.Option(min=0.1, help="Seconds to measure, and as many of idling.")] = 5.0,
    as_json: Json = False, html: Html = None, out: Out = None,
) -> None:  # fmt: skip
    """Energy per query where the machine has counters that may be read; absent where it has none."""
    from retrieval_bench.diagnostics.energy import energy_per_query
    from retrieval_bench.measure.energy import meters
    from retrieval_bench.records import Store
    from retrieval_bench.records.section import Section
    from retrieval_bench.runner.race import contender, served

    folder, counters = run_folder(None, out), meters()
    found = diagnosed(trial, folder, None)
    title = f"Energy per query: {found.trial.system}"
    if not counters:
        give(Section(title=title, says=("Absent: no counter (RAPL, NVML) of this machine may be read.",)),
             as_json=as_json, html=html, run=found.folder)  # fmt: skip
        return
    served_trial = contender(Store(folder), found.trial, found.trial.system)
    if served_trial is None:
        raise UsageError(f"the built index of trial {found.trial.trial_id} was removed; run the benchmark again")
    with served([served_trial], sample_seconds=0.1) as running:

        def answer() -> int:
            return running[0].time().batches * running[0].ready.queries

        used = energy_per_query(answer, counters, seconds=seconds)
    section = Section(
        title=title,
        says=("Of the whole machine while it answers, and above what it takes when idle.",),
        columns=("counter", "joule per query", "above idle"),
        rows=tuple((u.counter, u.joules, u.above_idle) for u in used),
    )  # fmt: skip
    give(section, as_json=as_json, html=html, run=found.folder)
