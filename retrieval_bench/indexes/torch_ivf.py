"""Inverted lists on a device: of vectors, of reduced vectors or of product codes, re-ranked by what is kept besides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from retrieval_bench.budgets import require_bytes
from retrieval_bench.device.choose import Precision
from retrieval_bench.device.exact import MORE_GROUPS, half_squares
from retrieval_bench.device.kmeans import assign, check_enough, kmeans, without_empty
from retrieval_bench.device.lists import Lists, list_group_max, lists_of
from retrieval_bench.device.operand import Operand, as_operand
from retrieval_bench.device.product_code import CODEWORDS, ProductCode, train_product_code
from retrieval_bench.device.products import chosen_scores, products
from retrieval_bench.device.select import best_groups, top
from retrieval_bench.device.stream import to_device
from retrieval_bench.indexes._reduced_fit import fit
from retrieval_bench.indexes._torch import (
    BYTES,
    Form,
    Reduction,
    TorchBuild,
    TorchIndex,
    TorchSearch,
    bias_form,
    operand_forms,
    operand_of,
    operand_parts,
    reduced_queries,
    reduction_forms,
)
from retrieval_bench.indexes.ivf import MOST_LISTS, PROBED, automatic_lists
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, Metric, Params, Queries

_ROUNDS, _POINTS_EACH, _CODED_ROWS = 10, 256, 1 << 16  # of k-means; training rows of a list, and of codewords
_DECODED_VALUES = 1 << 26  # of lists that are decoded together


class TorchIvfBuild(TorchBuild):
    """How vectors are divided and kept."""

    lists: int | None = Field(None, ge=1, le=MOST_LISTS, description="inverted lists; None: about 2 * sqrt(n)")
    code_bytes: int | None = Field(
        None, ge=1, le=4096, description="product codes of residuals in so many bytes; None: the vectors themselves"
    )
    rotate: bool = Field(True, description="learn a rotation before product codes (OPQ)")
    keep: Literal["float32", "float16", "none"] = Field("float32", description="vectors kept to re-rank with")


class TorchIvfSearch(TorchSearch):
    """How much is looked at."""

    nprobe: int = Field(16, ge=1, le=MOST_LISTS, description=PROBED)


@indexes.register("torch_ivf")
class TorchIvf(TorchIndex):
    """The inverted file of Jegou, Douze and Schmid 2011; codes as in Ge et al. 2013, reduction as in arXiv 2312.16335.

    A batch is sorted by list, so that a list is read, and decoded, once for all queries that probe it.
    """

    name = "torch_ivf"
    BuildParams: ClassVar[type[Params]] = TorchIvfBuild
    SearchParams: ClassVar[type[Params]] = TorchIvfSearch

    def build(
        self,
        corpus: Corpus,
        params: TorchIvfBuild,
        budget: Budget,
        *,
        metric: Metric,
        queries: Queries | None = None,
        seed: int = 0,
    ) -> None:
        """See protocols.Index.

        Raises:
            BudgetError: the layout does not fit.
            DataError: fewer vectors than lists or codewords, or values that overflow float16.
            UsageError: dim is above the vectors' dimensions, or code_bytes does not divide them.
            UnavailableError: the device is not there.
        """
        vectors = corpus.require_vectors()
        n, d = vectors.shape
        precision, dim = self._chosen(params, d)
        lists = params.lists or automatic_lists(n)
        changes = {"precision": precision, "dim": dim, "lists": lists}
        self.params = params.model_copy(update=changes)
        require_bytes(f"{self.name} (lists = {lists})", _bytes(n, d, self.params, metric), budget, n)
        check_enough(n, max(lists, CODEWORDS if params.code_bytes else 1))

        tensors: dict[str, torch.Tensor] = {}
        if dim == "all":
            rows = to_device(vectors, self.device)
            bias = half_squares(rows) if metric == "l2" else None
        else:
            learn = None if queries is None else queries.vectors
            projection, name = fit(params.projection, vectors, learn, dim, metric=metric, seed=seed)
            self.params = self.params.model_copy(update={"projection": name})
            reduction = Reduction(projection, self.device, metric)
            tensors |= reduction.tensors
            rows, bias = reduction.documents(vectors)
        some = _sample(rows, max(1 << 16, _POINTS_EACH * lists), seed)
        centres = kmeans(some, lists, rounds=_ROUNDS, seed=seed)
        centres, of_row = without_empty(centres, assign(rows, centres))
        self.params = self.params.model_copy(update={"lists": len(centres)})
        layout, order = lists_of(of_row, len(centres))
        tensors |= {"centres": centres, "sizes": layout.sizes, "rows": order.to(torch.int32)}
        bias = None if bias is None else bias[order]
        if params.code_bytes is None:
            tensors |= operand_parts(as_operand(rows[order], precision, bias))
        else:
            rest = rows - centres[of_row]
            code = train_product_code(
                _sample(rest, _CODED_ROWS, seed), params.code_bytes, seed=seed, rotate=params.rotate
            )
            codes = code.encode(rest)
            tensors |= {"codes": codes[order], "codewords": code.codewords}
            tensors |= {"rotation": code.rotation} if code.rotation is not None else {}
            if bias is not None:  # a distance errs least with the lengths that the codes stand for
                coded = torch.cat(
                    [half_squares(code.decode(c) + code.turned(centres)[o]) for c, o in _blocks(codes, of_row)]
                )
                tensors["bias"] = bias + (coded - half_squares(rows))[order]
        if _kept_apart(self.params) and params.keep != "none":
            tensors["vectors"] = as_operand(to_device(vectors, self.device), params.keep).values[order]
        self.take(n, d, metric, tensors)

    def _forms(self, metric: Metric) -> dict[str, Form]:
        p = self.params
        width = "d" if p.dim == "all" else p.dim
        forms = {
            "centres": Form("float32", ("lists", width)),
            "sizes": Form("int64", ("lists",)),
            "rows": Form("int32", ("n",), rows=True),
            **reduction_forms(p.dim),
        }
        if p.code_bytes is None:
            forms |= operand_forms(p.precision, "n", width, metric)
        else:
            forms["codes"] = Form("uint8", ("n", p.code_bytes))
            forms["codewords"] = Form("float32", (p.code_bytes, CODEWORDS, None))
            forms |= {"rotation": Form("float32", (width, width))} if p.rotate else {}
            forms |= bias_form("n", metric)
        if _kept_apart(p):
            forms["vectors"] = Form(p.keep, ("n", "d"))
        return forms

    def take(self, n: int, d: int, metric: Metric, tensors: dict[str, torch.Tensor]) -> None:
        """See TorchIndex."""
        super().take(n, d, metric, tensors)
        self._lists = Lists(sizes=tensors["sizes"])
        if int(self._lists.sizes.sum()) != n or len(tensors["rows"]) != n or int(self._lists.sizes.min()) < 0:
            raise ValueError(f"the lists hold {int(self._lists.sizes.sum())} rows of {n}")
        if "codes" in tensors and tensors["codewords"].shape[0] * tensors["codewords"].shape[2] != len(
            tensors["centres"][0]
        ):
            raise ValueError("the codewords are not of as many dimensions as the lists")
        self._code = (
            ProductCode(codewords=tensors["codewords"], rotation=tensors.get("rotation"))
            if "codes" in tensors
            else None
        )
        centres = tensors["centres"]
        self._centres = Operand(values=centres, bias=half_squares(centres) if metric == "l2" else None)
        self._turned_centres = centres if self._code is None else self._code.turned(centres)

    def _found(self, queries: torch.Tensor, k: int, params: TorchIvfSearch) -> tuple[torch.Tensor, torch.Tensor]:
        nprobe = min(params.nprobe, len(self._lists.sizes))
        asked = reduced_queries(self.tensors, queries, self.metric)
        probes = products(Operand(values=asked), self._centres).topk(nprobe, dim=1).indices
        turned = asked if self._code is None else self._code.turned(asked)
        precision: Precision = self.params.precision
        most = _DECODED_VALUES // turned.shape[1] if self._code is not None else self._n
        maxima = list_group_max(as_operand(turned, precision), self._read_slots, self._lists, probes, most)
        columns, _ = best_groups(maxima.best, max(k, params.groups or k + MORE_GROUPS))
        slots = maxima.slots(columns, self._lists)
        if "vectors" in self.tensors or self._scans_originals:
            vectors = self.tensors["vectors" if "vectors" in self.tensors else "values"]
            scores = chosen_scores(queries, vectors, slots, self.metric)
        else:
            scores = self._decoded_scores(queries, turned, slots)
        rows = torch.where(slots < 0, slots, self.tensors["rows"][slots.clamp_min(0)].long())
        return top(scores, rows, k)

    @property
    def _scans_originals(self) -> bool:
        return self._code is None and self.params.dim == "all" and self.params.precision != "int8"

    def _read_slots(self, start: int, end: int) -> Operand:
        """The documents of some slots as they are multiplied."""
        if self._code is None:
            return operand_of(self.tensors)[start:end]
        bias = self.tensors.get("bias")
        return as_operand(
            self._decoded(slice(start, end)), self.params.precision, None if bias is None else bias[start:end]
        )

    def _decoded(self, slots: slice | torch.Tensor) -> torch.Tensor:
        """(c, d) float32 of slots, in the space that ``turned`` queries are in."""
        if self._code is None:
            scale = self.tensors.get("scale")
            return Operand(values=self.tensors["values"][slots], scale=None if scale is None else scale[slots]).wide()
        ends = self._lists.sizes.cumsum(0)
        numbers = torch.arange(slots.start, slots.stop, device=ends.device) if isinstance(slots, slice) else slots
        centres = self._turned_centres[torch.searchsorted(ends, numbers, right=True)]
        return self._code.decode(self.tensors["codes"][slots]) + centres

    def _decoded_scores(self, queries: torch.Tensor, turned: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        """(m, c) float32 scores by what is scanned."""
        scores = torch.empty(slots.shape, device=slots.device)
        step = max(1, _DECODED_VALUES // max(1, slots.shape[1] * turned.shape[1]))
        for start in range(0, len(slots), step):
            part = slice(start, start + step)
            flat = slots[part].clamp_min(0).flatten()
            documents = self._decoded(flat).view(*slots[part].shape, -1)
            scores[part] = torch.bmm(documents, turned[part, :, None])[:, :, 0]
        mean = self.tensors.get("mean", torch.zeros_like(queries[0]))  # of documents, taken off before a reduction
        if self.metric == "ip":
            scores += (queries @ mean)[:, None]
        else:
            lengths = (queries - mean).square().sum(dim=1)
            scores = 2 * (scores + self.tensors["bias"][slots.clamp_min(0)]) - lengths[:, None]
        return scores.masked_fill_(slots < 0, -torch.inf)


def _blocks(*columns: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """The same rows of each, some at a time."""
    return zip(*(torch.split(column, _CODED_ROWS) for column in columns), strict=True)


def _kept_apart(params: TorchIvfBuild) -> bool:
    """Whether the vectors to re-rank with are others than those that are scanned."""
    scanned = params.precision if params.dim == "all" and params.code_bytes is None else "nothing of the kind"
    return params.keep not in ("none", scanned)


def _sample(rows: torch.Tensor, most: int, seed: int) -> torch.Tensor:
    """The rows, or so many of them drawn with the seed, in order."""
    if len(rows) <= most:
        return rows
    chosen = np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))
    return rows[torch.from_numpy(chosen).to(rows.device)]


def _bytes(n: int, d: int, params: Any, metric: Metric) -> int:
    """Analytic bytes of an index."""
    width = d if params.dim == "all" else params.dim
    each = 4 + (4 if metric == "l2" else 0)  # the row of a slot, its bias
    fixed = params.lists * (4 * width + 8)
    if params.dim != "all":
        fixed += 4 * d * (width + 1)
    if params.code_bytes is None:
        each += width * BYTES[params.precision] + (4 if params.precision == "int8" else 0)
    else:
        each += params.code_bytes
        fixed += 4 * CODEWORDS * width + (4 * width * width if params.rotate else 0)
    if _kept_apart(params):
        each += d * BYTES[params.keep]
    return int(n * each + fixed)
