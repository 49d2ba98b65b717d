"""Inverted lists of RaBitQ codes, scanned in registers, the best re-ranked by vectors kept more exactly."""

from __future__ import annotations

from typing import ClassVar

import faiss
from pydantic import Field

from retrieval_bench.budgets import allowed_bytes, require_bytes
from retrieval_bench.indexes._faiss import METRICS, check_enough, filled, seed_clustering, training_rows
from retrieval_bench.indexes._faiss_memory import LIST_BYTES, fast_scan_rows
from retrieval_bench.indexes._pq_plan import REFINE_WIDTH, REFINES, Refine
from retrieval_bench.indexes.ivf import MOST_LISTS, automatic_lists
from retrieval_bench.indexes.ivf_pq import IvfPq, kept, refinable
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, Metric, Params, Queries

_FACTOR_BYTES = 8  # two numbers beside each code


class RaBitQBuild(Params):
    """How vectors are divided, and what is kept beside their bits."""

    lists: int | None = Field(None, ge=1, le=MOST_LISTS, description="inverted lists; None: about 2 * sqrt(n)")
    refine: Refine | None = Field(None, description="vectors kept to re-rank with; None: the most exact that fits")


@indexes.register("rabitq")
class RaBitQ(IvfPq):
    """Gao and Long 2024: a bit for each dimension of the rotated residual, by faiss' fast scan."""

    name = "rabitq"
    forms = refinable(r"turn\(rabitq\)")
    BuildParams: ClassVar[type[Params]] = RaBitQBuild

    def build(  # type: ignore[override]  # the parameters are its own
        self,
        corpus: Corpus,
        params: RaBitQBuild,
        budget: Budget,
        *,
        metric: Metric,
        queries: Queries | None = None,  # noqa: ARG002 - learns from the corpus alone
        seed: int = 0,
    ) -> None:
        """See protocols.Index.

        Raises:
            BudgetError: nothing fits.
            DataError: fewer vectors than lists.
        """
        vectors = corpus.require_vectors()
        n, d = vectors.shape
        allowed = allowed_bytes(budget, n)
        most = params.lists or automatic_lists(n)
        counts = [params.lists] if params.lists else [most >> shift for shift in range(most.bit_length())]
        choices = [(r, lists) for r in ([params.refine] if params.refine else REFINES) for lists in counts]
        fitting = (c for c in choices if allowed is None or needed_bytes(n, d, c[1], c[0]) <= allowed)
        refine, lists = next(fitting, choices[-1])
        what = f"rabitq ({d} dimensions, lists = {lists}, refine = {refine})"
        require_bytes(what, needed_bytes(n, d, lists, refine), budget, n)
        check_enough(n, lists)
        coded = faiss.IndexIVFRaBitQFastScan(faiss.IndexFlat(d, METRICS[metric]), d, lists, METRICS[metric])
        seed_clustering(coded.cp, seed)
        turn = faiss.RandomRotationMatrix(d, d)
        turn.init(seed % (1 << 31))
        index = faiss.IndexPreTransform(turn, coded)
        whole = index if refine == "none" else faiss.IndexRefine(index, kept(d, refine, METRICS[metric]))
        self._fill(whole, vectors, training_rows(vectors, lists, seed))
        self.params = filled(params, lists=lists, refine=refine)


def needed_bytes(n: int, d: int, lists: int, refine: Refine) -> int:
    """The most analytic bytes of an index; exact but for the padding of the lists."""
    code = -(-d // 8) + _FACTOR_BYTES
    originals = n * d * REFINE_WIDTH[refine] + (8 * d if refine == "int8" else 0)
    return fast_scan_rows(n, lists) * code + 8 * n + lists * (4 * d + LIST_BYTES) + 4 * d * d + originals
