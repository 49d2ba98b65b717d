"""Queries as an index of reduced vectors asks them: in integers, once for each cell of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval_bench.indexes import _reduced_fit as make
from retrieval_bench.indexes._reduced_plan import Layout
from retrieval_bench.indexes._reduced_store import Stored
from retrieval_bench.kernels.scan import LARGEST_QUERY, Asking
from retrieval_bench.types import FloatArray, Metric

_TINY = float(np.finfo(np.float32).tiny)
_LEAST_UNIT = 1e-25  # of the largest bias: what a bias is divided by, so that the result is finite


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Queries as the kernels take them, and how their scores become products or halved distances.

    Attributes:
        forms: as ``scan`` takes them.
        unit, constant: (m,) float32 and float64; ``score * unit + constant`` is ``<q, x>``, or under l2
            ``-|q - x|^2 / 2``.
    """

    forms: Asking
    unit: FloatArray
    constant: npt.NDArray[np.float64]


def ask(vectors: FloatArray, stored: Stored, layout: Layout, step: np.float32, *, ranks_only: bool) -> Asked:
    """Each query once for each cell, without what is taken along the cell's centre (``_reduced_fit.along``).

    Args:
        vectors: (m, D).
        stored: the arrays of the index.
        layout: how it is laid out.
        step: of the codes.
        ranks_only: the scores serve to choose candidates alone, so that what all of them have in common is left out.
    """
    reduced = vectors @ stored.matrix
    share = make.along(vectors, stored.centres, layout) if layout.biased else None
    forms = reduced[:, None] if share is None else reduced[:, None] - share[:, :, None] * stored.reduced_centres
    scales = np.abs(forms).max(axis=2) / np.float32(LARGEST_QUERY)
    scales = np.maximum(scales, np.float32(max(stored.largest_bias * _LEAST_UNIT, _TINY)))
    codes = np.zeros((*scales.shape, 4 * stored.codes.shape[1]), np.int8)
    codes[:, :, : forms.shape[2]] = np.rint(forms / scales[:, :, None])
    unit, plain = scales * step, share is None and not layout.scaled
    if plain and ranks_only:
        return Asked(forms=Asking(codes=codes), unit=unit[:, 0], constant=np.zeros(len(vectors)))
    zero = make.MIDDLE * codes.sum(axis=2, dtype=np.int32)
    constant = _constants(vectors, stored.centres, layout.metric)
    if layout.cells > 1:
        most = constant.max(axis=1)
        offset = (constant - most[:, None]).astype(np.float32)
        asking = Asking(codes=codes, zero=zero, unit=unit, weight=share, offset=offset)
        return Asked(forms=asking, unit=np.ones(len(vectors), np.float32), constant=most)
    if plain:
        constant -= zero * unit.astype(np.float64)
        return Asked(forms=Asking(codes=codes), unit=unit[:, 0], constant=constant[:, 0])
    asking = Asking(codes=codes, zero=zero, weight=None if share is None else share / unit)
    return Asked(forms=asking, unit=unit[:, 0], constant=constant[:, 0])


def _constants(queries: FloatArray, centres: FloatArray, metric: Metric) -> npt.NDArray[np.float64]:
    """(m, cells) what all scores of a query and a cell have in common: ``<q, c>``, or ``-|q - c|^2 / 2``."""
    asked, middle = queries.astype(np.float64), centres.astype(np.float64)
    products: npt.NDArray[np.float64] = asked @ middle.T
    if metric == "l2":
        products -= np.square(middle).sum(axis=1) / 2
        products -= np.square(asked).sum(axis=1)[:, None] / 2
    return products
