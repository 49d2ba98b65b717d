"""Integers of 8 bits."""

from __future__ import annotations

from retrieval_bench.codecs._base import registered
from retrieval_bench.codecs._scalar import ScalarCodec


@registered.register("int8")
class Int8(ScalarCodec):
    """256 levels for each dimension; learned steps as in Esser et al. 2020, here in closed form by turns."""

    name = "int8"
    bits = 8
