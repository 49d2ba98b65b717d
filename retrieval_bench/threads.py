"""The threads of the linear algebra."""

from __future__ import annotations

from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def blas() -> ThreadpoolController:
    """Pools of the BLAS libraries loaded so far; found once, since looking takes longer than many a search."""
    return ThreadpoolController().select(user_api="blas")
