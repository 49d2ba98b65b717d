"""The commands of a run: make it, look at it, use what it built. Thin over the Python surface."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from retrieval_bench.cli._app import (
    AsMeasured,
    MeasureSeconds,
    MetricOption,
    Out,
    Retry,
    app,
    console,
    problems,
    run_folder,
    strict_json,
)
from retrieval_bench.cli.budget import BudgetFile, budget_from
from retrieval_bench.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from retrieval_bench.records import Store
    from retrieval_bench.records.summary import RunSummary
    from retrieval_bench.types import TrialRecord

_METRICS = (
    "nDCG@k, recall@k, MRR, MRR@k, MAP, MAP@k, P@k, success@k or judged@k for any k, or as trec_eval names them "
    "(ndcg_cut_10, recip_rank); repeat for more (default: the usual ones)."
)


@app.command(
    epilog="Examples: `retrieval-bench run pystdlib` · `retrieval-bench run glove-50 --index ivf_pq --index hnsw "
    "--bytes-per-vector 64` · `retrieval-bench run ./my-beir-folder --ranker bm25 --ranker dense`"
)
def run(
    dataset: Annotated[
        str,
        typer.Argument(
            help="A card's name, an ir_datasets name, or a path: a folder of BEIR, TREC, MS MARCO, CLEF TAR, "
            "LitSearch, CodeSearchNet or CoSQA, a review's CSV, or vectors as HDF5, fbin, fvecs, npy, parquet or CSV."
        ),
    ],
    index: Annotated[list[str] | None, typer.Option(help="Index card (name or path); repeat for more.")] = None,
    ranker: Annotated[list[str] | None, typer.Option(help="Ranker card (name or path); repeat for more.")] = None,
    encoder: Annotated[
        str | None, typer.Option(help="sentence-transformers model, by name or folder (default: the packaged MiniLM).")
    ] = None,
    bytes_per_vector: Annotated[float | None, typer.Option(help="Budget: analytic index bytes per vector.")] = None,
    index_bytes: Annotated[int | None, typer.Option(help="Budget: analytic index bytes in all.")] = None,
    peak_bytes: Annotated[int | None, typer.Option(help="Budget: private memory of a trial's process.")] = None,
    device_bytes: Annotated[int | None, typer.Option(help="Budget: memory on the GPU.")] = None,
    build_seconds: Annotated[float | None, typer.Option(help="Budget: wall seconds of a build.")] = None,
    latency_ms: Annotated[
        float | None, typer.Option(help="Budget: single-query latency at --latency-percentile.")
    ] = None,
    latency_percentile: Annotated[float | None, typer.Option(help="E.g. 99.9 (default: 95).")] = None,
    scorer_calls: Annotated[int | None, typer.Option(help="Budget: scorer calls per query.")] = None,
    build_scorer_calls: Annotated[int | None, typer.Option(help="Budget: scorer calls of a build.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of every engine (default: one per core).")] = None,
    budget: BudgetFile = None,
    k: Annotated[
        int | None, typer.Option("--k", help="Results per query (default: 100 with judgments, 10 without).")
    ] = None,
    recall_target: Annotated[
        float, typer.Option(help="Without judgments: neighbor recall the winner must reach.")
    ] = 0.95,
    metric: MetricOption = None,
    rows: Annotated[
        int | None, typer.Option(help="Use only the first so many vectors (sets without judgments).")
    ] = None,
    queries: Annotated[int | None, typer.Option(help="Use only the first so many queries of each split.")] = None,
    tune_share: Annotated[
        float | None,
        typer.Option(help="Share of the test queries to choose settings and learn on, where there are no others."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    timeout: Annotated[float, typer.Option(help="Most wall seconds of one process.")] = 1800.0,
    measure_seconds: MeasureSeconds = 3.0,
    retry: Retry = False,
    export_to: Annotated[
        Path | None, typer.Option("--export", help="Write the winner to this folder, as `export` does.")
    ] = None,
    as_measured: AsMeasured = False,
    out: Out = None,
) -> None:
    """Benchmark systems on DATASET under one budget; the same command continues an interrupted run."""
    from retrieval_bench.cli.progress import Progress
    from retrieval_bench.measure.clock import Effort
    from retrieval_bench.records import Store
    from retrieval_bench.report import table
    from retrieval_bench.runner.run import run as run_benchmark

    wanted = {
        "bytes_per_vector": bytes_per_vector, "index_bytes": index_bytes, "peak_bytes": peak_bytes,
        "device_bytes": device_bytes, "build_seconds": build_seconds, "latency_ms": latency_ms,
        "latency_percentile": latency_percentile, "scorer_calls": scorer_calls,
        "build_scorer_calls": build_scorer_calls, "threads": threads,
    }  # fmt: skip
    with Progress(problems) as progress:
        done = run_benchmark(
            dataset, indexes=index, rankers=ranker, encoder=encoder, budget=budget_from(budget, wanted),
            depth=k, recall_target=recall_target, metric=metric, rows=rows, queries=queries,  # type: ignore[arg-type]
            tune_share=tune_share, seed=seed, timeout=timeout, effort=Effort(seconds=measure_seconds), out=out,
            retry=retry, progress=problems.is_terminal, command=shlex.join(["retrieval-bench", *sys.argv[1:]]),
            on_event=progress,
        )  # fmt: skip
    console.print(table(done.records, done.summary))
    _write_page(Store(done.folder), done.records, done.summary)
    if not done.summary.winner:
        raise typer.Exit(1)
    if export_to is not None:
        _export(done.summary.winner, export_to, out=done.folder, as_measured=as_measured)
    else:
        console.print(f"Winner: retrieval-bench export {done.summary.winner} FOLDER --out {done.folder}",
                      highlight=False, soft_wrap=True)  # fmt: skip


@app.command(epilog="Example: `retrieval-bench report --out results/pystdlib`")
def report(
    dataset: Annotated[str | None, typer.Argument(help="Whose run, or a run's folder.")] = None, out: Out = None
) -> None:
    """Print the table of a finished run again and write its HTML report."""
    from retrieval_bench.records import Store
    from retrieval_bench.report import table

    folder = run_folder(dataset, out)
    store = Store(folder)
    summary = store.summary()
    records = store.records(summary.trials)
    console.print(table(records, summary))
    _write_page(store, records, summary)


def _write_page(store: Store, records: Sequence[TrialRecord], summary: RunSummary) -> None:
    """Write the HTML report; where what it needs is not installed, say so: the run itself is done."""
    from retrieval_bench.report import write_html

    page = store.folder / "report.html"
    try:
        write_html(records, summary, page, store.sections())
    except UnavailableError as error:
        problems.print(f"No page was written: {error}", highlight=False, markup=False, soft_wrap=True)
    else:
        console.print(f"Report: {page}", highlight=False, soft_wrap=True)


@app.command(
    epilog="Examples: `retrieval-bench results pystdlib --json` · "
    '`retrieval-bench results glove-50 --sql "select system, max(batch_qps) from trials group by 1"`'
)
def results(
    dataset: Annotated[str | None, typer.Argument(help="Whose run, or a run's folder.")] = None,
    sql: Annotated[
        str | None, typer.Option(help="A statement over the tables trials, measurements and queries.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One object per trial, measurements under their full names.")
    ] = False,
    winner: Annotated[bool, typer.Option("--winner", help="Only the trial id of the recommended system.")] = False,
    out: Out = None,
) -> None:
    """Show results as a table, as JSON, or by SQL."""
    from retrieval_bench.records import Store, trial_row
    from retrieval_bench.records import sql as ask

    folder = run_folder(dataset, out)
    if winner:
        recommended = Store(folder).summary().winner
        if recommended is None:
            raise UsageError(f"{folder}: no system of this run can be recommended")
        typer.echo(recommended)
        return
    if as_json and sql is None:
        typer.echo(strict_json([trial_row(r) for r in Store(folder).records()]))
        return
    statement = sql or (
        "select trial_id, system, outcome, search_params, "
        "columns('^(neighbor_recall@10|nDCG@10|batch_qps)$') from trials"
    )
    columns, rows = ask(folder, statement)
    if as_json:
        typer.echo(strict_json([dict(zip(columns, row, strict=True)) for row in rows]))
        return
    shown = Table(*columns)
    for row in rows:
        shown.add_row(*(escape(f"{v:.6g}" if isinstance(v, float) else str(v)) for v in row))
    console.print(shown)


@app.command(epilog="Example: `retrieval-bench export 3f2a ./my-index`")
def export(
    trial: Annotated[str, typer.Argument(help="Trial id or its beginning, as the table and the report show it.")],
    folder: Annotated[Path, typer.Argument(help="Where to write the index.")],
    texts: Annotated[bool, typer.Option(help="Include the documents' texts.")] = True,
    as_measured: AsMeasured = False,
    out: Out = None,
) -> None:
    """Write a trial's system as a folder that `retrieval_bench.load` reads, built anew where rows were held out."""
    _export(trial, folder, out=out, texts=texts, as_measured=as_measured)


def _export(trial: str, folder: Path, *, out: Path | None, texts: bool = True, as_measured: bool = False) -> None:
    from retrieval_bench.api import export as write
    from retrieval_bench.cli.progress import Progress

    with Progress(problems) as progress:
        done = write(trial, folder, out=out, texts=texts, as_measured=as_measured, on_event=progress)
    how = f"built {done.manifest.built}"
    if done.manifest.held_out:
        how += f", without {done.manifest.held_out:,} rows that were held out to ask with"
    console.print(f"{done.manifest.name}: {len(done):,} documents written to {folder} ({how})", highlight=False)
    asked = '["text"]' if done.manifest.kind == "ranker" or done.manifest.encoder else "vectors"
    console.print(
        f"Use it: retrieval_bench.load({str(folder)!r}).search({asked}, k={min(10, len(done))})",
        highlight=False,
        markup=False,
    )


@app.command(epilog='Example: `retrieval-bench search ./my-index "read a file line by line"`')
def search(
    folder: Annotated[Path, typer.Argument(help="An exported index.")],
    text: Annotated[str, typer.Argument(help="The query.")],
    k: Annotated[int | None, typer.Option("--k", help="Results (default: 5, or all where there are fewer).")] = None,
) -> None:
    """Ask an exported index a question on the terminal."""
    from retrieval_bench.artifact import load

    searcher = load(folder)
    answer = searcher.search(text, k=min(5, len(searcher)) if k is None else k)
    for rank, (name, row, score) in enumerate(zip(answer.ids[0], answer.rows[0], answer.scores[0], strict=False), 1):
        console.print(f"{rank:>3}  {score:8.4f}  {name}", highlight=False, markup=False)
        if searcher.texts is not None:
            snippet = " ".join(searcher.texts[int(row)].split())
            console.print(f"     {snippet[: max(20, console.width - 6)]}", style="dim", highlight=False, markup=False)
    if not answer.ids[0]:
        console.print("no document matches")


@app.command(epilog="Example: `retrieval-bench score my.run qrels.txt --metric nDCG@10 --metric MAP`")
def score(
    run_file: Annotated[Path, typer.Argument(metavar="RUN", help="A TREC run.")],
    qrels_file: Annotated[Path, typer.Argument(metavar="QRELS", help="TREC or BEIR judgments.")],
    metric: Annotated[list[str] | None, typer.Option(help=_METRICS)] = None,
    per_query: Annotated[bool, typer.Option("--per-query", help="Also each query's values.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Score any TREC run against judgments, as trec_eval does."""
    from retrieval_bench.cli.scoring import print_scores

    print_scores(console, run_file, qrels_file, metric, per_query=per_query, as_json=as_json)


@app.command()
def datasets() -> None:
    """List the data sets that can be named, and how to get each."""
    from retrieval_bench.cli.listing import dataset_table

    console.print(dataset_table())


@app.command()
def indexes() -> None:
    """List the index cards, what each needs, and whether it is installed."""
    from retrieval_bench.cli.listing import system_table

    console.print(system_table("index"))


@app.command()
def rankers() -> None:
    """List the ranker cards, what each needs, and whether it is installed."""
    from retrieval_bench.cli.listing import system_table

    console.print(system_table("ranker"))


@app.command()
def doctor() -> None:
    """Say what this machine has, and what each missing thing would enable."""
    from retrieval_bench.cli.doctor import findings

    for line in findings():
        console.print(line, highlight=False, markup=False, soft_wrap=True)
