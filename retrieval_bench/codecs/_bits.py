"""Small integers packed into bytes, the first of a byte in its lowest bits, as faiss packs them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


def packed_bytes(count: int, bits: int) -> int:
    """Bytes of ``count`` values of ``bits`` bits."""
    return -(-count * bits // 8)


def pack(values: npt.NDArray[np.integer[Any]], bits: int) -> Bytes:
    """(n, m) values below 2^bits, bits in {1, 2, 4, 8}, to (n, packed_bytes(m, bits)) uint8."""
    small = values.astype(np.uint8)
    if bits == 8:
        return small
    if bits == 1:
        return np.packbits(small, axis=1, bitorder="little")
    each = 8 // bits
    padded = np.zeros((len(small), -(-small.shape[1] // each) * each), np.uint8)
    padded[:, : small.shape[1]] = small
    shifted = padded.reshape(len(small), -1, each) << (bits * np.arange(each, dtype=np.uint8))
    joined: Bytes = np.bitwise_or.reduce(shifted, axis=2)
    return joined


def unpack(code: Bytes, bits: int, count: int) -> Bytes:
    """What ``pack`` packed: (n, count) uint8."""
    if bits == 8:
        return code[:, :count]
    if bits == 1:
        return np.unpackbits(code, axis=1, count=count, bitorder="little")
    each = 8 // bits
    values = np.empty((*code.shape, each), np.uint8)
    for place in range(each):
        values[..., place] = (code >> (bits * place)) & ((1 << bits) - 1)
    return values.reshape(len(code), -1)[:, :count]
