"""What an index holds of its own, apart from what its engine takes once for the whole process.

The first index of an engine brings its work space with it (threads, buffers, libraries), which says nothing of the
index and does not grow with it. So further copies are loaded into the same process, and what each adds is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import psutil

from retrieval_bench.measure.memory import private_bytes, settle, watched_bytes

NOISE = 512 << 10  # bytes: the allocator's pages, whatever is loaded
_ENOUGH, _MOST = 8 << 20, 16  # bytes that all copies should hold; copies


def copies_for(size: int) -> int:
    """Copies of so many bytes that are well above NOISE together."""
    return max(1, min(_MOST, math.ceil(_ENOUGH / max(size, 1))))


def bytes_of_a_copy(make: Callable[[], object], copies: int) -> float:
    """Private bytes that one more copy adds to a process in which there was one before; off by ``NOISE / copies``.

    Args:
        make: loads a copy and lets it answer, so that it holds what answering needs.
        copies: to make at most: none after they hold far more than they should, for then one tells. They are let go of.
    """
    make()  # the room that answering takes for a while is made once, and not given back: it is no copy's
    settle()
    before, process = private_bytes(), psutil.Process()
    watched, held = watched_bytes(process), list[object]()
    while len(held) < copies and (not held or watched_bytes(process) - watched < 4 * _ENOUGH):
        held.append(make())
    settle()
    grown = private_bytes() - before
    return max(0, grown) / len(held)
