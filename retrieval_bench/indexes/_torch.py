"""What the torch backends share: tensors on a device, their files, and searches in blocks that fit."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field

from retrieval_bench.arrays import Shape, Sizes, load_array, save_array, unfit
from retrieval_bench.checks import check_k
from retrieval_bench.device.blocks import Blocks
from retrieval_bench.device.choose import Precision, choose_device, choose_precision
from retrieval_bench.device.exact import MORE_GROUPS, half_squares
from retrieval_bench.device.operand import Operand
from retrieval_bench.device.products import GROUP
from retrieval_bench.device.stream import to_device
from retrieval_bench.errors import DataError
from retrieval_bench.hits import make_hits
from retrieval_bench.indexes._reduced_plan import automatic_dim
from retrieval_bench.projections import Projection
from retrieval_bench.specs import read_params, write_params
from retrieval_bench.types import FloatArray, Hits, MemoryReport, Metric, Params, Queries

BYTES: dict[Precision, int] = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}
_ARRAYS: dict[str, type[np.generic]] = {
    "float32": np.float32, "bfloat16": np.int16, "float16": np.float16, "int8": np.int8, "uint8": np.uint8,
    "int32": np.int32, "int64": np.int64,
}  # fmt: skip
_MAXIMA = {"cpu": 1 << 23, "cuda": 1 << 28}  # kept scores of a block of queries


class TorchBuild(Params):
    """Where and in what arithmetic."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: a GPU where there is one")
    precision: Literal["auto", "float32", "bfloat16", "float16", "int8"] = Field(
        "auto", description="of the products that find candidates; auto: bfloat16 on a GPU that has it, else float32"
    )
    dim: int | Literal["all", "auto"] = Field(
        "all", description="dimensions that find candidates, after a projection; auto: a third; all: no projection"
    )
    projection: Literal["auto", "pca", "query_aware", "eigenvector_search", "frank_wolfe", "random_rotation"] = Field(
        "auto", description="auto: query_aware where training queries differ from the documents, else pca"
    )


class TorchSearch(Params):
    """How much is looked at."""

    groups: int | None = Field(
        None, ge=1, le=65_536,
        description=f"groups of {GROUP} documents re-ranked for each query, at least k; None: k + {MORE_GROUPS}",
    )  # fmt: skip


class Form(NamedTuple):
    """What a tensor must be.

    Attributes:
        precision: of its numbers.
        shape: see ``arrays.load_array``.
        rows: its numbers are documents.
    """

    precision: Precision | Literal["uint8", "int32", "int64"]
    shape: Shape
    rows: bool = False


class TorchIndex:
    """Base of the backends that are torch tensors on a device.

    A backend gives ``build``, which ends in ``take``, and ``_found``.

    Attributes:
        params: the build parameters as used.
        metric: that it was built for.
        tensors: all that answering a query needs, by name.
        device: where it searches.
        notes: what happened on the device that a user should know.
    """

    name: ClassVar[str]
    BuildParams: ClassVar[type[Params]]
    SearchParams: ClassVar[type[Params]]
    metrics: ClassVar[frozenset[str]] = frozenset({"ip", "l2"})
    params: Any
    device: torch.device

    def __init__(self) -> None:
        self.metric: Metric = "ip"
        self.tensors: dict[str, torch.Tensor] = {}
        self._n = self._d = 0

    def _chosen(self, params: TorchBuild, d: int) -> tuple[Precision, int | Literal["all"]]:
        """Settle on the device, and give the precision and the dimensions that find candidates."""
        self.device = choose_device(params.device)
        dim = automatic_dim(d) if params.dim == "auto" else params.dim
        return choose_precision(params.precision, self.device), dim

    def take(self, n: int, d: int, metric: Metric, tensors: dict[str, torch.Tensor]) -> None:
        """Make ready for searching."""
        self._n, self._d, self.metric, self.tensors = n, d, metric, tensors
        self._blocks = Blocks(max(1, _MAXIMA[self.device.type] * GROUP // max(n, 1)), f"{self.name}: queries")

    @abstractmethod
    def _found(self, queries: torch.Tensor, k: int, params: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows (m, k) int64, -1 padded, and scores (m, k) float32 of queries (m, d) on the device."""

    @property
    def notes(self) -> list[str]:
        """See TorchIndex."""
        return list(self._blocks.notes)

    def search(self, queries: Queries, k: int, params: Any) -> Hits:
        """See protocols.Index.

        Raises:
            DataError: the queries have another dimension than the index.
            UsageError: k or a search parameter is out of the index's range.
            DeviceMemoryError: one query alone does not fit on the device.
        """
        vectors = queries.require_vectors()
        check_k(k, self._n)
        if vectors.shape[1] != self._d:
            raise DataError(f"the queries have {vectors.shape[1]} dimensions, the index {self._d}")
        asked = to_device(vectors, self.device)
        found = self._blocks.run(len(asked), lambda part: self._found(asked[part], k, params))
        if not found:
            return make_hits(np.empty((0, k), np.int64), np.empty((0, k), np.float32))
        rows, scores = (torch.cat(parts).cpu().numpy() for parts in zip(*found, strict=True))
        return make_hits(rows, scores)

    def memory(self) -> MemoryReport:
        """See protocols.Index."""
        return MemoryReport(parts={name: t.numel() * t.element_size() for name, t in self.tensors.items()})

    def save(self, folder: Path) -> None:
        """Write one ``.npy`` file for each tensor, and ``params.json``; bfloat16 as the 16-bit integers it is."""
        for name, tensor in self.tensors.items():
            there = tensor.cpu()
            array = there.view(torch.int16).numpy() if there.dtype == torch.bfloat16 else there.numpy()
            save_array(folder / f"{name}.npy", array)
        write_params(folder / "params.json", self.params)
        write_params(folder / "shape.json", _Shape(n=self._n, d=self._d, metric=self.metric))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what save wrote, onto a GPU where there is one, wherever it was built.

        Raises:
            ArtifactError: a file is missing, cut short or not what it should be.
        """
        loaded = cls()
        loaded.params = read_params(folder / "params.json", cls.BuildParams)
        shape = read_params(folder / "shape.json", _Shape)
        loaded.device = choose_device("cpu" if loaded.params.device == "cpu" else None)
        if "auto" in (loaded.params.precision, loaded.params.dim):
            raise unfit(folder / "params.json", "does not say in what precision and dimensions it was built")
        sizes: Sizes = {"n": shape.n, "d": shape.d}
        forms = loaded._forms(shape.metric)
        tensors = {name: loaded._read(folder / f"{name}.npy", form, sizes) for name, form in forms.items()}
        try:
            loaded.take(shape.n, shape.d, shape.metric, tensors)
        except (ValueError, RuntimeError) as error:
            raise unfit(folder, str(error)) from error
        return loaded

    @abstractmethod
    def _forms(self, metric: Metric) -> dict[str, Form]:
        """The tensors of an index with these parameters: type and shape, with n documents of d dimensions."""

    def _read(self, path: Path, form: Form, sizes: Sizes) -> torch.Tensor:
        high = sizes["n"] if form.rows else None
        array = load_array(path, _ARRAYS[form.precision], form.shape, sizes, low=0 if form.rows else None, high=high)
        tensor = to_device(array, self.device)
        return tensor.view(torch.bfloat16) if form.precision == "bfloat16" else tensor


class _Shape(Params):
    """What the tensors are of."""

    n: int = Field(ge=1, description="documents")
    d: int = Field(ge=1, description="dimensions of a query")
    metric: Metric = Field(description="ip or l2")


class Reduction:
    """A projection on a device, with the tensors that queries need: ``query_matrix`` (D, d) and ``mean`` (D,)."""

    def __init__(self, projection: Projection, device: torch.device, metric: Metric) -> None:
        self._database, self._mean = to_device(projection.database, device), to_device(projection.mean, device)
        self.tensors = {"query_matrix": to_device(projection.query, device), "mean": self._mean}
        self._metric = metric

    def documents(self, vectors: FloatArray, rows: int = 1 << 16) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(n, d) float32 reduced on the device, and the (n,) bias of the metric, if it has one."""
        reduced, biases = [], []
        for start in range(0, len(vectors), rows):
            block = to_device(vectors[start : start + rows], self._mean.device) - self._mean
            reduced.append(block @ self._database)
            biases.append(half_squares(block))
        return torch.cat(reduced), torch.cat(biases) if self._metric == "l2" else None


def reduced_queries(tensors: dict[str, torch.Tensor], queries: torch.Tensor, metric: Metric) -> torch.Tensor:
    """Queries (m, D) as the documents were reduced (see Projection); as they are where nothing was."""
    if "query_matrix" not in tensors:
        return queries
    return (queries - tensors["mean"] if metric == "l2" else queries) @ tensors["query_matrix"]


def operand_forms(precision: Precision, rows: str, width: int | str, metric: Metric) -> dict[str, Form]:
    """The forms of what ``operand_parts`` gives of ``rows`` documents."""
    forms = {"values": Form(precision, (rows, width))}
    if precision == "int8":
        forms["scale"] = Form("float32", (rows,))
    return forms | bias_form(rows, metric)


def bias_form(rows: str, metric: Metric) -> dict[str, Form]:
    """The form of what distances have beside products."""
    return {"bias": Form("float32", (rows,))} if metric == "l2" else {}


def reduction_forms(dim: int | Literal["all"]) -> dict[str, Form]:
    """The forms of ``Reduction.tensors``; none where nothing is reduced."""
    return {} if dim == "all" else {"query_matrix": Form("float32", ("d", dim)), "mean": Form("float32", ("d",))}


def operand_parts(operand: Operand) -> dict[str, torch.Tensor]:
    """The tensors of an operand by name; ``operand_of`` is the way back."""
    parts = {"values": operand.values, "scale": operand.scale, "bias": operand.bias}
    return {name: part for name, part in parts.items() if part is not None}


def operand_of(tensors: dict[str, torch.Tensor]) -> Operand:
    """See operand_parts."""
    return Operand(values=tensors["values"], scale=tensors.get("scale"), bias=tensors.get("bias"))
