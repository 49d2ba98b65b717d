"""All vectors on a device, compared in few bits and, where asked, few dimensions; the best re-ranked in float32."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import torch
from pydantic import Field

from retrieval_bench.arrays import Sizes
from retrieval_bench.budgets import require_bytes
from retrieval_bench.device.bound import reach_of
from retrieval_bench.device.choose import Precision
from retrieval_bench.device.exact import MORE_GROUPS, Part, Streamed, exact_search, half_squares
from retrieval_bench.device.operand import as_operand
from retrieval_bench.device.products import chosen_scores, group_max
from retrieval_bench.device.select import best_groups, members, top
from retrieval_bench.device.stream import to_device
from retrieval_bench.indexes._reduced_fit import fit
from retrieval_bench.indexes._torch import (
    BYTES,
    Form,
    Reduction,
    TorchBuild,
    TorchIndex,
    TorchSearch,
    operand_forms,
    operand_of,
    operand_parts,
    reduced_queries,
    reduction_forms,
)
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, Metric, Params, Queries

_SHARE = 0.8  # of the free memory of a device that vectors may take; the rest is for searching
_NOTED = 0.5  # share of a block's queries that are compared again
_STREAMED_VALUES = 1 << 28  # of a part: 1 GiB, two of them on the device


class TorchFlatBuild(TorchBuild):
    """How vectors are kept."""

    stream: bool | None = Field(
        None, description="keep vectors in host memory and read them at every batch; None: where they do not fit"
    )


@indexes.register("torch_flat")
class TorchFlat(TorchIndex):
    """Exhaustive search: exact over all dimensions, and LeanVec's reduction (arXiv 2312.16335) over fewer.

    Over all dimensions the answer is that of float64, on any data: a bound on the rounding of the products tells which
    queries are proven, and the others are compared in float64 with all documents that the bound leaves open.
    """

    name = "torch_flat"
    BuildParams: ClassVar[type[Params]] = TorchFlatBuild
    SearchParams: ClassVar[type[Params]] = TorchSearch
    _again = 0.0

    def build(
        self,
        corpus: Corpus,
        params: TorchFlatBuild,
        budget: Budget,
        *,
        metric: Metric,
        queries: Queries | None = None,
        seed: int = 0,
    ) -> None:
        """See protocols.Index.

        Raises:
            BudgetError: vectors and their rounded form do not fit.
            DataError: values overflow float16, or a projection that learns from queries has none.
            UsageError: dim is above the vectors' dimensions.
            UnavailableError: the device is not there.
        """
        vectors = corpus.require_vectors()
        n, d = vectors.shape
        precision, dim = self._chosen(params, d)
        stream = params.stream if params.stream is not None else self._too_large(n, d, precision, budget)
        stream = stream and dim == "all"
        require_bytes(f"{self.name} ({precision}, dim = {dim})", _bytes(n, d, dim, precision, metric), budget, n)
        self.params = params.model_copy(update={"precision": precision, "dim": dim, "stream": stream})
        if stream:
            self.take(n, d, metric, {"vectors": to_device(vectors, torch.device("cpu"))})
            return
        originals = to_device(vectors, self.device)
        tensors = {"vectors": originals}
        if dim != "all":
            learn = None if queries is None else queries.vectors
            projection, name = fit(params.projection, vectors, learn, dim, metric=metric, seed=seed)
            self.params = self.params.model_copy(update={"projection": name})
            reduction = Reduction(projection, self.device, metric)
            reduced, bias = reduction.documents(vectors)
            tensors |= reduction.tensors | operand_parts(as_operand(reduced, precision, bias))
        else:
            bias = half_squares(originals) if metric == "l2" else None
            tensors |= operand_parts(as_operand(originals, precision, bias))
            if precision == "float32":
                del tensors["values"]  # they are the vectors
        self.take(n, d, metric, tensors)

    @property
    def notes(self) -> list[str]:
        """See TorchIndex; also where exactness costs time."""
        if self._again < _NOTED:
            return super().notes
        said = (
            f"{self.name}: rounded products left {self._again:.0%} of a block's queries open, which were compared with "
            "more documents in float64: exact, but slower than on data of even lengths without copies."
        )
        return [*super().notes, said]

    def _too_large(self, n: int, d: int, precision: Precision, budget: Budget) -> bool:
        if self.device.type == "cpu":
            return False
        free, _ = torch.cuda.mem_get_info(self.device)
        return n * d * (4 + BYTES[precision]) > _SHARE * min(free, budget.device_bytes or free)

    def take(self, n: int, d: int, metric: Metric, tensors: dict[str, torch.Tensor]) -> None:
        """See TorchIndex."""
        super().take(n, d, metric, tensors)
        if self.params.stream:
            host = tensors["vectors"].cpu()
            self.tensors = {"vectors": host}
            rows = max(1, _STREAMED_VALUES // d)
            self._parts: list[Part] | Streamed = Streamed(
                vectors=host.numpy(), rows=rows, precision=self.params.precision, metric=metric, device=self.device
            )
            self._blocks.size = 1 << 14  # so many queries share one reading of the vectors
        elif self.params.dim == "all":
            rounded = operand_of({"values": tensors["vectors"], **tensors})
            reach = reach_of(tensors["vectors"], rounded)
            self._parts = [Part(start=0, vectors=tensors["vectors"], rounded=rounded, reach=reach)]

    def _forms(self, metric: Metric) -> dict[str, Form]:
        forms = {"vectors": Form("float32", ("n", "d"))}
        if self.params.stream:
            return forms
        dim, precision = self.params.dim, self.params.precision
        forms |= reduction_forms(dim) | operand_forms(precision, "n", "d" if dim == "all" else dim, metric)
        if dim == "all" and precision == "float32":
            del forms["values"]  # they are the vectors
        return forms

    def _read(self, path: Path, form: Form, sizes: Sizes) -> torch.Tensor:
        if not self.params.stream:
            return super()._read(path, form, sizes)
        here, self.device = self.device, torch.device("cpu")
        try:
            return super()._read(path, form, sizes)
        finally:
            self.device = here

    def _found(self, queries: torch.Tensor, k: int, params: TorchSearch) -> tuple[torch.Tensor, torch.Tensor]:
        if self.params.dim == "all":
            found = exact_search(queries, self._parts, k, self.metric)
            self._again = max(self._again, float(found.again.float().mean()))
            return found.rows, found.scores
        precision: Precision = self.params.precision
        asked = as_operand(reduced_queries(self.tensors, queries, self.metric), precision)
        groups, _ = best_groups(group_max(asked, operand_of(self.tensors)), max(k, params.groups or k + MORE_GROUPS))
        slots = members(groups, self._n)
        scores = chosen_scores(queries, self.tensors["vectors"], slots, self.metric)
        return top(scores, slots, k)


def _bytes(n: int, d: int, dim: int | Literal["all"], precision: Precision, metric: Metric) -> int:
    """Analytic bytes of an index."""
    width = d if dim == "all" else dim
    rounded = 0 if dim == "all" and precision == "float32" else width * BYTES[precision]
    beside = (4 if precision == "int8" else 0) + (4 if metric == "l2" else 0)
    matrix = 0 if dim == "all" else 4 * d * (width + 1)
    return n * (4 * d + rounded + beside) + matrix
