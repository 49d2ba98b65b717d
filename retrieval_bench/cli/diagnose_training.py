"""The commands ``diagnose ...`` that set a trial against training data: was the test near to it, or even in it?"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import numpy.typing as npt
import typer

from retrieval_bench.cli._app import Out, run_folder
from retrieval_bench.cli._diagnosed import Diagnosed, Html, Json, Metric, diagnosed, give
from retrieval_bench.cli.diagnose import Trial, diagnose
from retrieval_bench.errors import UsageError

if TYPE_CHECKING:
    from retrieval_bench.diagnostics.contamination import Overlap
    from retrieval_bench.records.section import Cell
    from retrieval_bench.types import Dataset, FloatArray

    Said = tuple[tuple[str, ...], tuple[tuple[Cell, ...], ...]]
    Bools = npt.NDArray[np.bool_]

_SAMPLE = 20_000  # documents that stand for all of a corpus
_MEANING = "share {n} words in a row with the training data (or are shorter and wholly found in it)"


class Of(StrEnum):
    """Texts of a test that training data may hold."""

    queries = "queries"
    documents = "documents"
    both = "both"


@diagnose.command(
    epilog="Examples: `retrieval-bench diagnose generalisation dense --out results/scifact` · "
    "`retrieval-bench diagnose generalisation my-ranker --training trained-on.txt`"
)
def generalisation(
    trial: Trial,
    training: Annotated[
        Path | None,
        typer.Option(help="Queries that it was trained on, one a line or queries.jsonl (default: the split `train`)."),
    ] = None,
    metric: Metric = None, as_json: Json = False, html: Html = None, out: Out = None,
) -> None:  # fmt: skip
    """Interpolation and extrapolation: quality on the test queries nearest to training queries, and on the farthest."""
    from retrieval_bench.diagnostics.interpolation import generalisation as resampled
    from retrieval_bench.diagnostics.interpolation import similarity_to_training
    from retrieval_bench.records.section import Section

    found = diagnosed(trial, run_folder(None, out), metric)
    asked, learnt, by = _query_vectors(found.data, training)
    both = resampled(found.values, similarity_to_training(asked, learnt))
    low, high = both.drop_interval
    section = Section(
        title=f"Interpolation and extrapolation of {found.metric}: {found.trial.system}",
        says=(f"The drop from near to far queries is {both.interpolation - both.extrapolation:+.4f} "
              f"({low:+.4f} to {high:+.4f}).",
              f"Near is by the cosine of {by}, to the nearest of {len(learnt):,} training queries."),
        columns=("queries", found.metric, "low", "high", "n"),
        rows=(("nearest to training queries", both.interpolation, *both.interpolation_interval, both.n),
              ("farthest from them", both.extrapolation, *both.extrapolation_interval, both.n)),
    )  # fmt: skip
    give(section, as_json=as_json, html=html, run=found.folder)


def _query_vectors(data: Dataset, training: Path | None) -> tuple[FloatArray, FloatArray, str]:
    """Test and training queries in one space: the data's own where it has both, else the packaged encoder's."""
    from retrieval_bench.datasets import read_queries
    from retrieval_bench.encoders import cached_encode, load_encoder

    asked, split = data.queries["test"], data.queries.get("train")
    if training is not None:
        learnt: Sequence[str] = read_queries(training)
        if set(asked.require_texts()) <= set(learnt):
            raise UsageError(f"{training}: holds every test query; leave in it what the ranker was trained on")
    elif split is None:
        raise UsageError(f"{data.name} has no training queries to be near to; name a file of them with --training")
    elif split.vectors is not None and asked.vectors is not None:
        return asked.vectors, split.vectors, "the vectors of the data"
    else:
        learnt = split.require_texts()
    encoder = load_encoder()
    test, train = (cached_encode(encoder, texts, queries=True) for texts in (asked.require_texts(), learnt))
    return test, train, f"the vectors of {encoder.name}"


@diagnose.command(
    epilog="Examples: `retrieval-bench diagnose contamination dense training.txt --out results/pystdlib` · "
    "`retrieval-bench diagnose contamination dense training.txt --of documents`"
)
def contamination(
    trial: Trial,
    training: Annotated[Path, typer.Argument(help="Training data, one text a line.")],
    of: Annotated[Of, typer.Option("--of", help="The test's texts to look for.")] = Of.both,
    n: Annotated[int, typer.Option("--n", help="Words of a shared n-gram.")] = 8,
    metric: Metric = None, as_json: Json = False, html: Html = None, out: Out = None,
) -> None:  # fmt: skip
    """What test queries and documents share with training data, and whether scores are higher where they do."""
    from retrieval_bench.records.section import Section

    found = diagnosed(trial, run_folder(None, out), metric)
    if not training.is_file():
        raise UsageError(f"{training}: there is no such file; give training data with one text a line")
    queries = _contaminated_queries(found, training, n) if of is not Of.documents else ((), ())
    documents = _contaminated_documents(found, training, n) if of is not Of.queries else ((), ())
    section = Section(
        title=f"Contamination: {found.data.name}, {found.trial.system}", says=(*queries[0], *documents[0]),
        columns=("text", "id", "longest shared span, words", "share of its words"), rows=(*queries[1], *documents[1]),
    )  # fmt: skip
    give(section, as_json=as_json, html=html, run=found.folder)


def _contaminated_queries(found: Diagnosed, training: Path, n: int) -> Said:
    asked = found.data.queries["test"]
    shared = _shared(asked.require_texts(), training, n)
    dirty = shared.share > 0
    says = (
        f"{dirty.mean():.1%} of the queries {_MEANING.format(n=n)}; the longest span has {shared.longest.max()} words.",
        _gain(found, dirty, np.ones(len(dirty), bool), "these"),
    )
    return says, _worst("query", asked.ids, shared)


def _contaminated_documents(found: Diagnosed, training: Path, n: int) -> Said:
    """Of a large corpus a sample tells the share; relevant documents are all looked for, since scores hang on them."""
    from retrieval_bench.diagnostics.contamination import relevant_among

    corpus, qrels = found.data.corpus, found.data.qrels.get("test")
    texts, drawn = corpus.require_texts(), np.random.default_rng(0).permutation(len(corpus))[:_SAMPLE]
    relevant = drawn[:0] if qrels is None else qrels.rows[(qrels.grades > 0) & (qrels.rows < len(corpus))]
    chosen = np.union1d(drawn, relevant)
    shared = _shared([texts[i] for i in chosen], training, n)
    dirty = np.zeros(len(corpus), bool)
    dirty[chosen] = shared.share > 0
    whole = "the documents" if len(drawn) == len(corpus) else f"{len(drawn):,} documents drawn at random"
    longest = f"the longest span has {shared.longest.max()} words."
    share = f"{dirty[drawn].mean():.1%} of {whole} {_MEANING.format(n=n)}; {longest}"
    if qrels is None:
        gain = "Whether scores gain by contaminated documents is absent: the data set has no judgments."
    else:
        some, among = relevant_among(qrels, dirty)
        gain = _gain(found, among, some, "queries with such a relevant document")
    return (share, gain), _worst("document", [corpus.ids[i] for i in chosen], shared)


def _shared(texts: Sequence[str], training: Path, n: int) -> Overlap:
    from retrieval_bench.diagnostics.contamination import overlap

    with training.open(encoding="utf-8", errors="replace") as lines:
        return overlap(texts, lines, n=n)


def _worst(kind: str, ids: Sequence[str], shared: Overlap) -> tuple[tuple[Cell, ...], ...]:
    first = np.argsort(-shared.longest, kind="stable")[:10]
    return tuple((kind, ids[i], int(shared.longest[i]), float(shared.share[i])) for i in first if shared.share[i] > 0)


def _gain(found: Diagnosed, dirty: Bools, counted: Bools, these: str) -> str:
    """What contaminated queries score above the others, of those that count."""
    from retrieval_bench.diagnostics.contamination import benefit

    gain, low, high = benefit(np.where(counted, found.values, np.nan), dirty)
    said = f"{found.metric} of {these} minus that of the others"
    if np.isnan(gain):
        return f"{said} is absent: all queries are of one kind."
    return f"{said}: {gain:+.4f} ({low:+.4f} to {high:+.4f})."
