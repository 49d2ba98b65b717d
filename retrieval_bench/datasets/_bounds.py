"""What a file may claim to hold: no more than what its bytes could unpack to."""

from __future__ import annotations

from retrieval_bench.errors import DataError

_ALWAYS = 64 << 20  # bytes that any file may unpack to
_RATIO = 1000  # times its own bytes: what deflate reaches at most


def check_claim(claimed: int, stored: int, *, source: str) -> None:
    """Refuse, before anything is allocated, what claims to be far larger than its file.

    Args:
        claimed: bytes in memory.
        stored: bytes in the file.
        source: to name in the error.

    Raises:
        DataError: the claim cannot be.
    """
    if claimed > _ALWAYS + _RATIO * stored:
        raise DataError(
            f"{source}: claims to hold {claimed:,} bytes, but only {stored:,} are stored; the file is damaged, get it "
            "again"
        )
