"""The checks of a vector index."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from retrieval_bench.contract._awkward import findings
from retrieval_bench.contract._held import grown
from retrieval_bench.contract._hits import ContractError, check_hits
from retrieval_bench.contract._subject import IndexSubject
from retrieval_bench.contract._toy import DIMENSIONS, DOCUMENTS, QUERIES, clustered
from retrieval_bench.errors import BudgetError, RetrievalBenchError, UsageError
from retrieval_bench.threads import limited
from retrieval_bench.types import Budget, FloatArray, Hits, Metric, Queries

_K = 10
_GROWN_ROWS = 4_000  # and four times as many: at 64 bytes a vector a page of memory is then half a per cent


def _require(kept: bool, text: str) -> None:
    if not kept:
        raise ContractError(text)


def _equal(a: Hits, b: Hits, what: str) -> None:
    same = np.array_equal(a.rows, b.rows) and np.array_equal(a.scores, b.scores)
    _require(same, f"{what} gives other hits")


def _true_scores(metric: Metric) -> FloatArray:
    corpus, queries = clustered()
    x, q = corpus.require_vectors(), queries.require_vectors()
    products = q @ x.T
    if metric == "ip":
        return products
    scores: FloatArray = 2 * products - (q**2).sum(1)[:, None] - (x**2).sum(1)[None, :]
    return scores


def hits_keep_their_promises(subject: IndexSubject) -> None:
    """Shape, types, order, ties, padding and rows of the hits, for k = 1, 10 and, where it is served, n."""
    _, queries = clustered()
    for metric in subject.metrics:
        for k in (1, _K):
            check_hits(subject.search(subject.built(metric), queries, k), QUERIES, k, DOCUMENTS)
        try:
            every = subject.search(subject.built(metric), queries, DOCUMENTS)
        except UsageError:
            continue
        check_hits(every, QUERIES, DOCUMENTS, DOCUMENTS)


def bad_questions_are_refused(subject: IndexSubject) -> None:
    """K > n and queries of another dimension raise a typed error."""
    _, queries = clustered()
    narrow = Queries(ids=queries.ids, texts=None, vectors=queries.require_vectors()[:, : DIMENSIONS // 2])
    for what, asked, k in (("k > n", queries, DOCUMENTS + 1), ("a query of half the dimensions", narrow, _K)):
        try:
            subject.search(subject.built(subject.metrics[0]), asked, k)
        except RetrievalBenchError:
            continue
        raise ContractError(f"{what} was answered; raise UsageError or DataError")


def one_seed_one_index(subject: IndexSubject) -> None:
    """Two builds with one seed and one thread answer alike."""
    _, queries = clustered()
    for metric in subject.metrics:
        first, second = (subject.search(index, queries) for index in (subject.built(metric), subject.build(metric)))
        _equal(first, second, f"a second {metric} build with the same seed")


def saving_keeps_everything(subject: IndexSubject) -> None:
    """A loaded index answers as the saved one did, and has its parameters and its memory."""
    _, queries = clustered()
    for metric in subject.metrics:
        index = subject.build(metric)
        before = subject.search(index, queries)
        with tempfile.TemporaryDirectory() as folder:
            index.save(Path(folder))
            _equal(before, subject.search(index, queries), f"the {metric} index after saving")
            loaded = subject.factory.load(Path(folder))
            _equal(before, subject.search(loaded, queries), f"the loaded {metric} index")
        _require(loaded.params == index.params, f"loaded params {loaded.params!r} differ from {index.params!r}")
        _require(loaded.memory() == index.memory(), f"loaded memory {loaded.memory()} differs from {index.memory()}")


def memory_is_what_is_held(subject: IndexSubject) -> None:
    """The analytic bytes are there, and grow with the corpus as a process's private bytes do, within 5 %."""
    parts = subject.built(subject.metrics[0]).memory().parts
    _require(bool(parts) and min(parts.values()) >= 0, f"memory parts {parts} must be there and not negative")
    growth = grown(subject.factory, _GROWN_ROWS, metric=subject.metrics[0])
    _require(growth.told > 0, "memory must grow with the corpus")
    told, held = growth.told / growth.rows, growth.held / growth.rows
    _require(
        growth.agrees,
        f"memory() grows by {told:.1f} bytes a vector, the process that answers by {held:.1f}: "
        "a part is missing, or counted twice",
    )


def inputs_stay_as_they_were(subject: IndexSubject) -> None:
    """Neither building nor searching writes to the vectors it was given."""
    corpus, queries = clustered()
    before = corpus.require_vectors().tobytes(), queries.require_vectors().tobytes()
    for metric in subject.metrics:
        subject.search(subject.build(metric), queries)
    after = corpus.require_vectors().tobytes(), queries.require_vectors().tobytes()
    if before != after:
        clustered.cache_clear()  # whatever is checked next gets the collection as it was
        raise ContractError("the corpus or the queries were written to")


def scores_follow_the_metric(subject: IndexSubject) -> None:
    """Scores estimate the inner product (ip) or minus the squared distance (l2) of the hit."""
    _, queries = clustered()
    for metric in subject.metrics:
        hits = subject.search(subject.built(metric), queries)
        true = _true_scores(metric)
        found = hits.rows >= 0
        _require(bool(found.any()), f"no hits at all under {metric} at the default settings")
        error = np.abs(hits.scores - np.take_along_axis(true, np.maximum(hits.rows, 0), axis=1))[found]
        typical, allowed = float(np.median(error)), 0.25 * float(true.std())
        _require(typical <= allowed, f"{metric} scores are off by {typical:.3g} (median), more than {allowed:.3g}")


def one_query_is_a_batch_of_one(subject: IndexSubject) -> None:
    """A query asked alone gets the scores that it gets in a batch: 99 % of them at the best of the settings.

    An engine may choose lists less exactly for a batch, and little effort shows it: 90 % must agree at any setting.
    """
    _, queries = clustered()
    index = subject.built(subject.metrics[0])
    agreement = []
    for setting in [{}, *(setting for setting in subject.settings if _answers(subject, setting))]:
        batch = subject.search(index, queries, **setting).scores
        each = (subject.search(index, queries.take(slice(i, i + 1)), **setting).scores for i in range(QUERIES))
        agreement.append(float(np.isclose(batch, np.concatenate(list(each)), rtol=1e-4, atol=1e-4).mean()))
    kept = max(agreement) >= 0.99 and min(agreement) >= 0.9
    _require(
        kept,
        f"{1 - max(agreement):.1%} of the scores differ between a batch and single queries at the best setting, "
        f"{1 - min(agreement):.1%} at the worst",
    )


def searches_run_side_by_side(subject: IndexSubject) -> None:
    """Four threads that search one index at once, with several settings, get what one thread gets."""
    _, queries = clustered()
    index = subject.built(subject.metrics[0])
    usable = [{}, *(setting for setting in subject.settings if _answers(subject, setting))]
    alone = [subject.search(index, queries, **setting) for setting in usable]
    jobs = [number % len(usable) for number in range(max(16, 2 * len(usable)))]
    with limited(1), ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda job: subject.search(index, queries, **usable[job]), jobs))
    for job, hits in zip(jobs, together, strict=True):
        _equal(alone[job], hits, f"searching from four threads at once with {usable[job] or 'the default settings'}")


def budgets_are_kept(subject: IndexSubject) -> None:
    """One byte per vector is refused; what is built within any other budget is no larger than that."""
    metric = subject.metrics[0]
    try:
        subject.build(metric, Budget(bytes_per_vector=1))
    except BudgetError:
        pass
    else:
        raise ContractError("an index of one byte per vector was built; raise BudgetError")
    total = subject.built(metric).memory().total
    for share in (0.9, 0.5, 0.2):
        try:
            used = subject.build(metric, Budget(index_bytes=int(total * share))).memory().total
        except BudgetError:
            continue
        _require(used <= total * share, f"an index of {used} bytes was built within index_bytes = {int(total * share)}")


def parameters_travel_as_json(subject: IndexSubject) -> None:
    """Build parameters as used and search parameters come back from JSON unchanged, and describe each field."""
    used = subject.built(subject.metrics[0]).params
    for params in (used, subject.factory.SearchParams()):
        again = type(params).model_validate_json(params.model_dump_json())
        _require(again == params, f"{params!r} comes back from JSON as {again!r}")
        bare = [name for name, described in type(params).model_fields.items() if not described.description]
        _require(not bare, f"fields of {type(params).__name__} without a description: {', '.join(bare)}")
    _require(isinstance(used, subject.factory.BuildParams), f"params is a {type(used).__name__}, not BuildParams")


def easy_neighbors_are_found(subject: IndexSubject) -> None:
    """Neighbor recall at 10 on clustered data is at least 0.9 at the best of the settings."""
    _, queries = clustered()
    for metric in subject.metrics:
        exact = np.argsort(-_true_scores(metric), axis=1, kind="stable")[:, :_K]
        recalls = []
        for setting in [{}, *subject.settings]:
            if _answers(subject, setting):
                rows = subject.search(subject.built(metric), queries, **setting).rows
                recalls.append(np.mean([np.isin(a, b).mean() for a, b in zip(exact, rows, strict=True)]))
        _require(max(recalls, default=0) >= 0.9, f"the best recall under {metric} is {max(recalls, default=0):.3f}")


def awkward_data_is_met_or_refused(subject: IndexSubject) -> None:
    """At full effort the neighbors are found on data of awkward kinds too, or the data is refused in a typed line."""
    for case, metric, found in findings(subject, n=300, d=12, m=8, quick=True):
        _require(not found.wrong, f"{case.name} under {metric}: {found.wrong}")


def _answers(subject: IndexSubject, setting: dict[str, Any]) -> bool:
    """Whether a setting can be used on a collection as small as this one."""
    try:
        subject.search(subject.built(subject.metrics[0]), clustered()[1], **setting)
    except UsageError:
        return False
    return True


CHECKS: tuple[Callable[[IndexSubject], None], ...] = (
    hits_keep_their_promises,
    bad_questions_are_refused,
    one_seed_one_index,
    saving_keeps_everything,
    memory_is_what_is_held,
    inputs_stay_as_they_were,
    scores_follow_the_metric,
    one_query_is_a_batch_of_one,
    searches_run_side_by_side,
    budgets_are_kept,
    parameters_travel_as_json,
    easy_neighbors_are_found,
    awkward_data_is_met_or_refused,
)
