"""Integers of 4 bits."""

from __future__ import annotations

from retrieval_bench.codecs._base import registered
from retrieval_bench.codecs._scalar import ScalarCodec


@registered.register("int4")
class Int4(ScalarCodec):
    """16 levels for each dimension; learned steps as in Esser et al. 2020, here in closed form by turns."""

    name = "int4"
    bits = 4
