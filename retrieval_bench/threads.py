"""How many threads an engine may use for one call: one number for the process, the same for every engine.

Engines differ in what they take it from when nobody says it: the OpenMP they were linked with, the linear algebra that
happens to be loaded, the number of processors, or one. So whoever calls an engine that takes a number gives this one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController, threadpool_limits

from retrieval_bench.processors import usable_cores

_set: int | None = None


def threads() -> int:
    """Threads that an engine may use now: as ``limited`` says, else as OMP_NUM_THREADS does, else one per usable core.

    The runner sets that variable for the processes it starts, for it is what most engines follow by themselves.
    """
    if _set is not None:
        return _set
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(asked) if asked.isdecimal() and int(asked) > 0 else usable_cores()


@contextmanager
def limited(number: int | None) -> Iterator[None]:
    """Give every engine this many threads meanwhile, in the whole process; None leaves them as they are.

    OpenMP and torch keep a number for each thread that calls them, so a thread that is to keep to the limit enters this
    itself.
    """
    global _set
    if number is None:
        yield
        return
    before, _set = _set, number
    torch = sys.modules.get("torch")
    pool = torch.get_num_threads() if torch is not None else 0
    try:
        with threadpool_limits(limits=number):
            if torch is not None:
                torch.set_num_threads(number)
            yield
    finally:
        _set = before
        if torch is not None:
            torch.set_num_threads(pool)


@cache
def blas() -> ThreadpoolController:
    """Pools of the BLAS libraries loaded so far; found once, since looking takes longer than many a search."""
    return ThreadpoolController().select(user_api="blas")
