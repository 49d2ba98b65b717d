"""The command ``tune``: every system tuned alike, its pick measured on held-out queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from retrieval_bench.cli._app import MeasureSeconds, MetricOption, Out, app, console, problems
from retrieval_bench.cli._notes import tell_notes
from retrieval_bench.cli.budget import BudgetFile, budget_from

if TYPE_CHECKING:
    from retrieval_bench.tuning import Tuned, Tuning
    from retrieval_bench.types import TrialRecord


@app.command(
    epilog="Examples: `retrieval-bench tune glove-50 --index ivf_pq --index hnsw --target qps@recall=0.95 --trials 24` "
    "· `retrieval-bench tune glove-50 --bytes-per-vector 64 --seconds 300 --sampler random --repeats 3` · "
    "`retrieval-bench tune pystdlib --ranker bm25 --target nDCG@10`"
)
def tune(
    dataset: Annotated[str, typer.Argument(help="As for `run`; it needs tuning queries.")],
    index: Annotated[list[str] | None, typer.Option(help="Index card (name or path); repeat for more.")] = None,
    ranker: Annotated[list[str] | None, typer.Option(help="Ranker card (name or path); repeat for more.")] = None,
    encoder: Annotated[str | None, typer.Option(help="sentence-transformers model, by name or folder.")] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="`qps@recall=0.95`, `bytes@loss=0.01`, or a metric (default: nDCG@10, or the first of these)."
        ),
    ] = None,
    trials: Annotated[int | None, typer.Option(help="Budget: settings tried per system (default 24).")] = None,
    seconds: Annotated[float | None, typer.Option(help="Budget: seconds of building and measuring per system.")] = None,
    sampler: Annotated[str, typer.Option(help="tpe, nsga2, or random (the control).")] = "tpe",
    repeats: Annotated[int, typer.Option(help="Tuning runs with other seeds: how much of the winner is luck?")] = 1,
    budget: BudgetFile = None,
    bytes_per_vector: Annotated[float | None, typer.Option(help="Budget: analytic index bytes per vector.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of every engine (default: one per core).")] = None,
    metric: MetricOption = None,
    rows: Annotated[int | None, typer.Option(help="Use only the first so many vectors.")] = None,
    queries: Annotated[int | None, typer.Option(help="Use only the first so many queries of each split.")] = None,
    tune_share: Annotated[
        float | None, typer.Option(help="Share of the test queries to tune on, where there are no tuning queries.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the builds, and of the first sampler.")] = 0,
    measure_seconds: MeasureSeconds = 3.0,
    out: Out = None,
) -> None:
    """Tune systems alike on DATASET's tuning queries; report each one's pick on held-out queries."""
    from retrieval_bench.measure.clock import Effort
    from retrieval_bench.tuning import tune as run_tuning

    limits: dict[str, Any] = {
        "tuning_trials": trials, "tuning_seconds": seconds, "bytes_per_vector": bytes_per_vector, "threads": threads,
    }  # fmt: skip

    def tell(record: TrialRecord) -> None:
        said = record.reason or " ".join(f"{k}={v}" for k, v in {**record.build_params, **record.search_params}.items())
        problems.print(f"{record.system}: {record.outcome}: {said}", highlight=False, markup=False)

    done = run_tuning(
        dataset, indexes=index, rankers=ranker, encoder=encoder, target=target, budget=budget_from(budget, limits),
        sampler=sampler, repeats=repeats, metric=metric, rows=rows, queries=queries,  # type: ignore[arg-type]
        tune_share=tune_share, seed=seed, effort=Effort(seconds=measure_seconds), out=out, on_trial=tell,
    )  # fmt: skip
    console.print(tuning_table(done))
    tell_notes([(done.dataset, done.notes)])
    if done.winner is None or done.winner.held_out is None:
        console.print(f"No setting of any system meets {done.target}.", highlight=False)
        raise typer.Exit(1)
    console.print(f"Pick for {done.target}: {done.winner.system} ({done.winner.held_out.trial})", highlight=False)
    if done.turns is not None:
        in_turns = {done.of(trial).system: qps for trial, qps in done.turns.qps.items()}
        speeds = ", ".join(f"{name} {qps:,.0f}" for name, qps in in_turns.items())
        said = done.turns.said(done.of(done.turns.rival).system)
        console.print(f"Queries per second: {speeds}; {said}", highlight=False, soft_wrap=True)
    if done.untold:
        console.print(f"Not told from the next in speed: not measured in turns ({done.untold}).", highlight=False)
    if done.lottery is not None:
        named = ", ".join(str(w) for w in done.winners())
        console.print(
            f"Winners by seed: {named}; two seeds name different winners in {done.lottery:.0%} of the pairs.",
            highlight=False,
        )


def tuning_table(done: Tuning) -> Table:
    """One line per system, best on tuning queries first."""
    table = Table(
        "system", "trials", "hopeless", "on tuning queries", "held out", done.quality, "optimism", "target first met",
        title=f"{done.dataset}: {done.target}, {done.sampler}", title_justify="left",
    )  # fmt: skip
    for system in done.systems:
        table.add_row(*_cells(system))
    table.caption = "Optimism: quality on tuning queries minus that on held-out ones, with its 95 % interval."
    return table


def _cells(system: Tuned) -> list[str]:
    first, held = system.searches[0], system.held_out
    scores = sorted(s.score for s in system.searches if s.score is not None)
    tuned = "not met" if first.score is None else f"{abs(first.score):,.4g}"
    if len(scores) > 1:
        tuned += f" ({abs(scores[0]):,.4g} to {abs(scores[-1]):,.4g})"
    cells = [system.system, str(len(first.trials)), str(first.hopeless), tuned]
    if held is None or held.score is None:
        return [*cells, "-", "-", "-", "-"]
    gap = "-" if held.optimism is None else f"{held.optimism:+.4f}"
    if held.optimism_low is not None and held.optimism_high is not None:
        gap += f" ({held.optimism_low:+.4f} to {held.optimism_high:+.4f})"
    quality = "-" if held.quality is None else f"{held.quality:.4f}" + ("" if held.met else ": misses the target")
    return [*cells, f"{abs(held.score):,.4g}", quality, gap, f"{first.first_met:.1f} s" if first.first_met else "-"]
