"""Codecs: vectors to short codes by one common knob, bytes per vector. One method per file, found by its name."""

from __future__ import annotations

from retrieval_bench.codecs._base import Arrays, Codec, Rows, nbytes, registered
from retrieval_bench.codecs._traffic import read_traffic

__all__ = ["Arrays", "Codec", "Rows", "nbytes", "read_traffic", "registered"]
