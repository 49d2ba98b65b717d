"""The commands ``train ...``: one recipe each, its held-out gain printed at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from retrieval_bench.cli._app import app, console, problems
from retrieval_bench.cli._notes import tell_notes

if TYPE_CHECKING:
    from retrieval_bench.training.heldout import Gain

train = typer.Typer(help="Train a model; the same command continues an interrupted run.", no_args_is_help=True)
app.add_typer(train, name="train")

DatasetName = Annotated[str, typer.Argument(help="Whose `train` split is learned from; its `test` split is reported.")]
Folder = Annotated[Path, typer.Option("--out", help="Folder of the model; name it with --encoder in `run`.")]
Start = Annotated[str, typer.Option("--from", help="Encoder to start from: packaged name, folder, or hub model.")]
Evaluate = Annotated[list[str] | None, typer.Option(help="Another data set to report; repeat for more.")]
Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]
Epochs = Annotated[int, typer.Option(help="Passes over the training queries.")]
BatchSize = Annotated[int, typer.Option("--batch", help="Queries in a step.")]
Rate = Annotated[float, typer.Option("--learning-rate", help="At its peak.")]
Tokens = Annotated[int, typer.Option("--tokens", help="Tokens kept of a document while training.")]
Frozen = Annotated[int, typer.Option("--frozen-layers", help="Lower transformer layers that stay as they are.")]
Negatives = Annotated[int, typer.Option(help="Hard negatives of each query, mined with BM25.")]
WebQueries = Annotated[float, typer.Option(help="Share of queries rewritten as people type them into a browser.")]
SplitName = Annotated[
    str,
    typer.Option("--split", help="Queries learned from: train, or all of tune; nothing can be chosen on it then."),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or cuda:1 (default: a GPU where there is one).")]


@train.command(
    epilog="Example: `retrieval-bench train contrastive pystdlib --out ./code-encoder --evaluate cosqa`, then "
    "`retrieval-bench run cosqa --ranker dense --encoder ./code-encoder`"
)
def contrastive(
    dataset: DatasetName,
    out: Folder,
    start: Start = "minilm",
    evaluate: Evaluate = None,
    seed: Seed = 0,
    epochs: Epochs = 1,
    batch: BatchSize = 32,
    learning_rate: Rate = 2e-5,
    tokens: Tokens = 64,
    frozen_layers: Frozen = 2,
    negatives: Negatives = 1,
    web_queries: WebQueries = 0.0,
    split: SplitName = "train",
    device: Device = None,
) -> None:
    """A dual encoder: in-batch negatives and hard ones from BM25."""
    from retrieval_bench.training.recipes import train_contrastive
    from retrieval_bench.training.settings import Settings

    wanted = _settings(
        Settings, seed=seed, epochs=epochs, batch=batch, learning_rate=learning_rate, document_tokens=tokens,
        frozen_layers=frozen_layers, negatives=negatives, web_queries=web_queries, split=split,
    )  # fmt: skip
    done = train_contrastive(
        dataset, out, settings=wanted, start=start, evaluate=evaluate or (), device=device, progress=_shown()
    )
    _print(done.gains, out)


@train.command(
    epilog="Example: `retrieval-bench train matryoshka pystdlib --dim 64 --dim 128 --dim 384 --out ./nested-encoder`"
)
def matryoshka(
    dataset: DatasetName,
    out: Folder,
    dim: Annotated[list[int] | None, typer.Option(help="Prefix that must serve alone; repeat for more.")] = None,
    start: Start = "minilm",
    evaluate: Evaluate = None,
    seed: Seed = 0,
    epochs: Epochs = 1,
    batch: BatchSize = 32,
    learning_rate: Rate = 2e-5,
    tokens: Tokens = 64,
    frozen_layers: Frozen = 2,
    negatives: Negatives = 1,
    web_queries: WebQueries = 0.0,
    device: Device = None,
) -> None:
    """A dual encoder whose vectors can be cut short; the gain of each length is over the start's cut as short."""
    from retrieval_bench.training.recipes import train_matryoshka
    from retrieval_bench.training.settings import Settings

    wanted = _settings(
        Settings, seed=seed, epochs=epochs, batch=batch, learning_rate=learning_rate, document_tokens=tokens,
        frozen_layers=frozen_layers, negatives=negatives, web_queries=web_queries,
    )  # fmt: skip
    done = train_matryoshka(
        dataset, out, dims=dim or (32, 64, 128, 256, 384), settings=wanted, start=start, evaluate=evaluate or (),
        device=device, progress=_shown(),
    )  # fmt: skip
    _print(done.gains, out)


@train.command(epilog="Example: `retrieval-bench train cocosoda pystdlib --out ./code-encoder --evaluate cosqa`")
def cocosoda(
    dataset: DatasetName,
    out: Folder,
    start: Start = "minilm",
    evaluate: Evaluate = None,
    seed: Seed = 0,
    epochs: Epochs = 1,
    batch: BatchSize = 32,
    learning_rate: Rate = 2e-5,
    tokens: Tokens = 64,
    frozen_layers: Frozen = 2,
    momentum: Annotated[float, typer.Option(help="Share of its weights that the momentum encoder keeps.")] = 0.99,
    queue: Annotated[int, typer.Option(help="Vectors in each queue of negatives.")] = 1024,
    web_queries: WebQueries = 0.0,
    device: Device = None,
) -> None:
    """Code search: soft data augmentation, momentum encoder with queues, multimodal contrast."""
    from retrieval_bench.training.cocosoda import CoCoSoDaSettings
    from retrieval_bench.training.recipes import train_cocosoda

    wanted = _settings(
        CoCoSoDaSettings, seed=seed, epochs=epochs, batch=batch, learning_rate=learning_rate, document_tokens=tokens,
        frozen_layers=frozen_layers, momentum=momentum, queue=queue, web_queries=web_queries,
    )  # fmt: skip
    done = train_cocosoda(
        dataset, out, settings=wanted, start=start, evaluate=evaluate or (), device=device, progress=_shown()
    )
    _print(done.gains, out)


@train.command(
    "cross-encoder",
    epilog="Example: `retrieval-bench train cross-encoder pystdlib --out ./code-reranker`; its folder is then the "
    "`model` in the `scorer_settings` of a card of the rankers `rerank` and `cur`",
)
def cross_encoder(
    dataset: DatasetName,
    out: Folder,
    start: Start = "minilm",
    evaluate: Evaluate = None,
    seed: Seed = 0,
    epochs: Epochs = 1,
    batch: BatchSize = 8,
    learning_rate: Rate = 5e-5,
    tokens: Tokens = 64,
    frozen_layers: Frozen = 3,
    negatives: Annotated[int, typer.Option(help="Hard negatives of each query, from BM25 and the encoder.")] = 3,
    depth: Annotated[int, typer.Option(help="Hits of the encoder that are re-ranked for the report.")] = 50,
    queries: Annotated[int | None, typer.Option(help="Report the first so many test queries only.")] = None,
    device: Device = None,
) -> None:
    """A cross-encoder, which reads query and document together; the gain is over its dual encoder's ranking."""
    from retrieval_bench.training.cross_encoder import CrossEncoderSettings, train_cross_encoder

    wanted = _settings(
        CrossEncoderSettings, seed=seed, epochs=epochs, batch=batch, learning_rate=learning_rate,
        document_tokens=tokens, frozen_layers=frozen_layers, negatives=negatives,
    )  # fmt: skip
    done = train_cross_encoder(
        dataset, out, settings=wanted, start=start, depth=depth, queries=queries, evaluate=evaluate or (),
        device=device, progress=_shown(),
    )  # fmt: skip
    _print(done.gains, out)


@train.command(epilog="Example: `retrieval-bench train moe pystdlib beir/scifact --out ./experts`")
def moe(
    datasets: Annotated[list[str], typer.Argument(help="Two or more data sets with a `train` split: the domains.")],
    out: Folder,
    layers: Annotated[int, typer.Option(help="Layers with experts, from the top.")] = 1,
    start: Start = "minilm",
    seed: Seed = 0,
    epochs: Epochs = 1,
    batch: BatchSize = 32,
    learning_rate: Rate = 2e-5,
    tokens: Tokens = 64,
    frozen_layers: Frozen = 2,
    negatives: Negatives = 1,
    device: Device = None,
) -> None:
    """Experts per domain with enforced routing, against one model for all and one model per domain."""
    from retrieval_bench.training.moe import train_moe
    from retrieval_bench.training.settings import Settings

    wanted = _settings(
        Settings, seed=seed, epochs=epochs, batch=batch, learning_rate=learning_rate, document_tokens=tokens,
        frozen_layers=frozen_layers, negatives=negatives,
    )  # fmt: skip
    done = train_moe(datasets, out, settings=wanted, layers=layers, start=start, device=device, progress=_shown())
    alone = tuple(gain for model in done.alone for gain in model.gains)
    for title, gains in (
        ("Mixture of experts over the start", done.experts.gains),
        ("One model for all over the start", done.joint.gains),
        ("One model per domain over the start", alone),
        ("Mixture of experts over one model for all", done.over_joint),
        ("Mixture of experts over one model per domain", done.over_alone),
    ):
        console.print(_table(gains, title))
    tell_notes((gain.dataset, gain.notes) for gain in done.over_joint)  # all domains
    console.print(f"Models: {out}/experts/DOMAIN, {out}/joint, {out}/alone/DOMAIN", highlight=False, soft_wrap=True)


@train.command(epilog="Example: `retrieval-bench train soup ./run-0 ./run-1 ./run-2 --out ./soup --choose-on cosqa`")
def soup(
    runs: Annotated[list[Path], typer.Argument(help="Folders of models trained from the same encoder.")],
    out: Folder,
    choose_on: Annotated[str, typer.Option(help="Data set whose `tune` queries choose the parts.")] = "pystdlib",
    kind: Annotated[str, typer.Option(help="greedy or uniform.")] = "greedy",
    share: Annotated[
        list[float] | None,
        typer.Option(help="Share of the trained weights, the rest being the start's; repeat to let `tune` choose."),
    ] = None,
    start: Start = "minilm",
    evaluate: Evaluate = None,
) -> None:
    """Average the weights of several runs, and interpolate with the encoder that they started from."""
    from retrieval_bench.errors import UsageError
    from retrieval_bench.training.soup import SHARES, make_soup

    kinds: dict[str, Literal["greedy", "uniform"]] = {"greedy": "greedy", "uniform": "uniform"}
    if kind not in kinds:
        raise UsageError(f"--kind {kind!r}: use greedy or uniform")
    done = make_soup(
        runs, out, choose_on=choose_on, kind=kinds[kind], shares=share or SHARES, start=start, evaluate=evaluate or ()
    )
    console.print(f"Kept {', '.join(done.facts['kept'])}, share {done.facts['share']}", highlight=False, soft_wrap=True)
    _print(done.gains, out)


def _settings(model: Any, **wanted: Any) -> Any:
    from retrieval_bench.specs import validated

    return validated(model, wanted, where="train")


def _shown() -> bool:
    return problems.is_terminal


def _print(gains: Sequence[Gain], folder: Path) -> None:
    console.print(_table(gains, "Held-out gain"))
    tell_notes((gain.dataset, gain.notes) for gain in gains)
    console.print(f"Model: {folder}", highlight=False, soft_wrap=True)


def _table(gains: Sequence[Gain], title: str) -> Table:
    table = Table(
        "data set", "metric", "dims", "queries", "over", "before", "after", "gain", "95 % interval", title=title
    )
    for g in gains:
        table.add_row(
            g.dataset, g.metric, str(g.dimensions), str(g.queries), g.over, f"{g.before:.4f}", f"{g.after:.4f}",
            f"{g.gain:+.4f}", f"{g.low:+.4f} to {g.high:+.4f}",
        )  # fmt: skip
    return table
