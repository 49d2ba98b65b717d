"""Whether the links of a faiss graph lead only to vectors that are there, on layers that they are on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]
_BLOCK = 1 << 20
_MOST_LAYERS = 64


class Graph(NamedTuple):
    """A graph as it stands in a file.

    Attributes:
        links: (layers + 1,) links that a vector has below each layer.
        levels: (n,) layers that each vector is on.
        offsets: (n + 1,) where the links of each vector begin.
        neighbors: the links: vectors, or -1.
        entry: the vector where a search begins.
        top: its highest layer.
    """

    links: Numbers
    levels: Numbers
    offsets: Numbers
    neighbors: Numbers
    entry: int
    top: int

    def fault(self, n: int) -> str:
        """What is wrong with it as a graph of n vectors; empty where nothing is."""
        if not 0 < len(self.links) - 1 <= _MOST_LAYERS or self.links[0] != 0 or (np.diff(self.links) < 0).any():
            return "layers cannot be"
        if len(self.levels) != n or len(self.offsets) != n + 1 or self.offsets[0] != 0:
            return "arrays do not fit together"
        if not self._fits_layers():
            return "links do not fit its layers"
        if not 0 <= self.entry < n or self.top != self.levels[self.entry] - 1:
            return "entry is not on its highest layer"
        return "" if self._leads_inside(n) else "links lead out of it"

    def _fits_layers(self) -> bool:
        """Whether each vector has the links of the layers that it is on, one after the other."""
        for start in range(0, len(self.levels), _BLOCK):
            on = self.levels[start : start + _BLOCK]
            own = self.offsets[start : start + len(on) + 1].astype(np.int64)
            if on.min() < 1 or on.max() >= len(self.links) or (np.diff(own) != self.links[on]).any():
                return False
        return int(self.offsets[-1]) == len(self.neighbors)

    def _leads_inside(self, n: int) -> bool:
        """Whether every link leads to a vector that is there, on the layer of the link."""
        for start in range(0, len(self.neighbors), _BLOCK):
            block = self.neighbors[start : start + _BLOCK]
            if block.min() < -1 or block.max() >= n:
                return False
        high = np.flatnonzero(self.levels > 1)  # only these have links above the lowest layer
        for layer in range(1, len(self.links) - 1):
            high = high[self.levels[high] > layer]
            width = int(self.links[layer + 1] - self.links[layer])
            step = max(1, _BLOCK // max(1, width))
            for start in range(0, len(high), step):
                first = self.offsets[high[start : start + step]].astype(np.int64) + self.links[layer]
                linked = self.neighbors[first[:, None] + np.arange(width)]
                if (self.levels[linked[linked >= 0]] <= layer).any():
                    return False
        return True
