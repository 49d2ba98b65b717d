"""The public surface in Python: load data, build one index, run a comparison, export and load the winner."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from retrieval_bench import registry
from retrieval_bench.artifact import CANARY_QUERIES, FORMAT_VERSION, Manifest, Searcher, check_place
from retrieval_bench.checks import check_ids, check_vectors
from retrieval_bench.encoders import cached_encode, load_encoder
from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.files import home
from retrieval_bench.frame import Frame
from retrieval_bench.given import given_ids, given_number, given_texts, given_vectors
from retrieval_bench.metric_words import metric_named
from retrieval_bench.records import Store
from retrieval_bench.runner.execute import OnEvent
from retrieval_bench.runner.prepared import frame_of, opened, prepared_folder
from retrieval_bench.runner.whole import over_all_rows
from retrieval_bench.specs import params, system_cards, validated
from retrieval_bench.threads import limited
from retrieval_bench.types import Budget, Corpus, EncoderInfo, Metric, Queries, RowIds, TrialRecord


def build(
    backend: str,
    vectors: npt.NDArray[Any] | None = None,
    *,
    texts: Sequence[str] | None = None,
    ids: Sequence[str | int] | npt.NDArray[Any] | None = None,
    metric: str = "cos",
    budget: Budget | None = None,
    encoder: str | None = None,
    train_queries: npt.NDArray[Any] | None = None,
    seed: int = 0,
    search: dict[str, Any] | None = None,
    **settings: Any,
) -> Searcher:
    """Build one index or ranker over an application's own data.

    Args:
        backend: name of a backend (``ivf_opq``) or ranker (``bm25``), or of a card, whose parameters then hold.
        vectors: (n, d) of any real dtype, for an index, as an array or what becomes one (lists, a data frame); or give
            ``texts`` and they are encoded.
        texts: n documents, for a ranker or to be encoded.
        ids: n unique ids, strings or whole numbers, which become strings; None numbers the rows.
        metric: how vectors compare: ``cos``, which normalises them, ``ip``, ``l2``, or another name of one of these.
        budget: limits; automatic parameters are chosen to fit.
        encoder: name of the encoder of texts; None is the packaged one.
        train_queries: (m, d) sample of queries for methods that learn from them.
        seed: of every random choice.
        search: search parameters to answer with unless a search names others.
        **settings: build parameters of the backend.

    Raises:
        UsageError: neither vectors nor texts, unknown backend, metric or setting.
        DataError: data that cannot be indexed (see ``checks``).
        BudgetError: nothing fits the budget; says what would.
    """
    if vectors is None and texts is None:
        raise UsageError("give vectors or texts to build from")
    metric = metric_named(metric)
    seed = given_number(seed, what="seed", low=0, high=2**31 - 1)
    texts = None if texts is None else given_texts(texts, source="texts")
    vectors = None if vectors is None else given_vectors(vectors, source="vectors")
    if vectors is not None and vectors.ndim != 2:
        raise DataError(f"vectors: must have the shape (n, d), not {vectors.shape}")
    card = system_cards().get(backend)
    name = card.backend if card else backend
    settings = {**(card.build if card else {}), **settings}
    n = len(vectors) if vectors is not None else len(texts or ())
    names = RowIds(n) if ids is None else given_ids(ids, source="ids")
    check_ids(names, source="build", what="document")
    if len(names) != n or (texts is not None and len(texts) != n):
        raise UsageError(f"{n} documents need as many ids and texts, not {len(names)} and {len(texts or ())}")
    is_ranker = (card.kind == "ranker") if card else name in registry.rankers.names()
    budget = budget if isinstance(budget, Budget) else validated(Budget, budget or {}, where="budget")
    if is_ranker:
        if texts is None:
            raise UsageError(f"{name} is a ranker: it needs texts")
        ranker = registry.rankers.get(name)()
        wanted = params(ranker.BuildParams, settings, where=f"build of {name}")
        with limited(budget.threads):
            ranker.build(Corpus(ids=names, texts=texts), wanted, budget, seed=seed)
        return Searcher(_manifest(backend, "ranker", name, ranker, "ip", n, 0, {}), ranker, names, texts)
    index = registry.indexes.get(name)()
    wanted = params(index.BuildParams, settings, where=f"build of {name}")
    answer_with = params(index.SearchParams, search or {}, where=f"search of {name}")
    info = None
    if vectors is None:
        model = load_encoder(encoder)
        vectors, info = cached_encode(model, texts or []), EncoderInfo(name=model.name, revision=model.revision)
    check_vectors(vectors, source="vectors", metric=metric)
    frame = Frame.of(vectors, metric, source="vectors")
    if frame.served not in index.metrics:
        raise UsageError(f"{name} does not serve the metric {metric!r}")
    learn = None
    if train_queries is not None:
        train_queries = given_vectors(train_queries, source="train_queries")
        check_vectors(train_queries, source="train_queries", metric=metric, dim=vectors.shape[1])
        sample, _ = frame.queries(train_queries, source="train_queries")
        learn = Queries(ids=RowIds(len(sample)), vectors=sample, split="train")
    framed = frame.rows(vectors)
    corpus = Corpus(ids=names, vectors=framed)
    with limited(budget.threads):
        index.build(corpus, wanted, frame.left(budget, n), metric=frame.served, queries=learn, seed=seed)
    manifest = _manifest(backend, "index", name, index, metric, n, framed.shape[1], answer_with.model_dump(mode="json"))
    searcher = Searcher(manifest.model_copy(update={"encoder": info}), index, names, texts, frame)
    few = framed[:CANARY_QUERIES].copy()
    searcher.canaries = Queries(ids=RowIds(len(few)), vectors=few)
    return searcher


def export(
    trial_id: str,
    folder: str | Path,
    *,
    out: str | Path | None = None,
    texts: bool = True,
    as_measured: bool = False,
    on_event: OnEvent | None = None,
) -> Searcher:
    """Write the system of a finished trial as an artifact that ``load`` reads.

    Where rows of the data were held out to ask with, the system is first built anew over all of them, with the same
    parameters, seed and budget, and measured again: the manifest holds these figures, and says how it was built.

    Args:
        trial_id: of the trial, or its unambiguous beginning.
        folder: where to write; must not exist, or be an artifact to replace.
        out: folder of the run; None looks through all runs in the home folder.
        texts: include the documents' texts, so that an application can show them.
        as_measured: write the build that was measured, without the rows held out.
        on_event: told of the new build, as by ``run``.

    Raises:
        UnknownNameError: no such trial.
        UsageError: the trial did not end in ``ok``, its build was removed, or it does not come out over all rows.
        DataError: the place cannot be written to.
    """
    store, record = _find(trial_id, Path(out) if out else None)
    if record.outcome != "ok":
        raise UsageError(
            f"trial {record.trial_id} ended {record.outcome} ({record.reason}): there is nothing to export"
        )
    check_place(Path(folder))  # before any work
    prepared = prepared_folder(record.dataset_fingerprint)
    for needed in (store.build_folder(record.build_id) / "index", prepared):
        if not needed.exists():
            raise UsageError(
                f"{needed}: was removed; run the benchmark again (the same command, after removing its folder)"
            )
    data, frame = opened(prepared), frame_of(prepared)
    anew = data.held_out is not None and not as_measured
    if anew:
        record, store, data = over_all_rows(record, store, data, frame, tell=on_event or (lambda _event: None))
    is_index = record.kind == "index"
    plugin = registry.indexes.get(record.backend) if is_index else registry.rankers.get(record.backend)
    manifest = Manifest(
        format_version=FORMAT_VERSION, name=record.system, kind=record.kind, backend=record.backend,
        plugin=plugin.__module__, metric=frame.asked, documents=len(data.corpus), held_out=record.held_out,
        built="anew over all rows" if anew else "as measured", dimensions=data.corpus.dim,
        build_params=record.build_params, search_params=record.search_params,
        encoder=data.corpus.encoder if is_index else None,
        dataset=record.dataset, dataset_fingerprint=record.dataset_fingerprint,
        measured={m.name: m.value for m in record.measurements},
    )  # fmt: skip
    built = plugin.load(store.build_folder(record.build_id) / "index")
    texts_kept = data.corpus.texts if texts else None
    searcher = Searcher(manifest, built, data.corpus.ids, texts_kept, frame if is_index else None)
    searcher.save(folder, canaries=data.queries["test"])
    return searcher


def _find(trial_id: str, out: Path | None) -> tuple[Store, TrialRecord]:
    if out is not None:
        store = Store(out)
        return store, store.record(trial_id)
    for folder in sorted((home() / "results").glob("*/")):
        store = Store(folder)
        if trial_id and any(p.stem.startswith(trial_id) for p in (folder / "records").glob("[!.]*.json")):
            return store, store.record(trial_id)
    raise UsageError(f"no run in {home() / 'results'} has a trial {trial_id!r}; name the run's folder with --out")


def _manifest(name: str, kind: Any, backend: str, system: Any, metric: Metric, n: int, dim: int, search: dict[str, Any]
              ) -> Manifest:  # fmt: skip
    return Manifest(
        format_version=FORMAT_VERSION, name=name, kind=kind, backend=backend, plugin=type(system).__module__,
        metric=metric, documents=n, dimensions=dim, build_params=system.params.model_dump(mode="json"),
        search_params=search,
    )  # fmt: skip
