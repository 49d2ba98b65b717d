"""The files of a ScaNN index, compared with what they must be before the library sees them.

Its loader unpickles a file of ids where there is one and opens any path that its list of assets names, so the list
is made here. Its settings, centroids and codebook are protocol buffers, of which all but the numbers follows from how
the index was built: they are written anew around the numbers found in them, and must come out the same.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from retrieval_bench.arrays import load_array, unfit
from retrieval_bench.files import open_regular
from retrieval_bench.types import Metric

_WORDS, _TRAINED = 16, 100_000
_SQUARED, _MEASURE = b"SquaredL2Distance", {"ip": b"DotProductDistance", "l2": b"SquaredL2Distance"}
_KEPT = {
    "float32": ["DATASET"],
    "bfloat16": ["BF16_DATASET"],
    "int8": ["INT8_DATASET", "INT8_MULTIPLIERS", "INT8_NORMS"],
}
_KINDS: dict[str, type[np.generic]] = {"float32": np.float32, "bfloat16": np.int16, "int8": np.int8}
_FILES = {
    "AH_CENTERS": "ah_codebook.pb", "PARTITIONER": "serialized_partitioner.pb",
    "TOKENIZATION_NPY": "datapoint_to_token.npy", "AH_DATASET_NPY": "hashed_dataset.npy",
    "AH_DATASET_SOAR_NPY": "hashed_dataset_soar.npy", "DATASET_NPY": "dataset.npy",
    "BF16_DATASET_NPY": "bfloat16_dataset.npy", "INT8_DATASET_NPY": "int8_dataset.npy",
    "INT8_MULTIPLIERS_NPY": "int8_multipliers.npy", "INT8_NORMS_NPY": "dp_norms.npy",
}  # fmt: skip


def checked_assets(folder: Path, n: int, d: int, params: Any, metric: Metric) -> str:
    """The list of assets of a folder whose files are those of such an index.

    Args:
        folder: what the library wrote.
        n: vectors.
        d: their dimensions.
        params: the build parameters as used (``ScannBuild``).
        metric: ``ip`` or ``l2``.

    Raises:
        ArtifactError: a file is missing, damaged, or of another index.
    """
    lists, width, kept = params.lists, params.width, params.refine
    copies, blocks = 1 + params.spill, -(-d // width)
    _compare(folder / "scann_config.pb", _config(d, params, metric), "<f8")
    _compare(folder / _FILES["PARTITIONER"], _partitioner(lists, d, spill=params.spill), "<f8")
    _compare(folder / _FILES["AH_CENTERS"], _codebook(d, width), "<f4")
    names = ["AH_CENTERS", "PARTITIONER", "TOKENIZATION_NPY", "AH_DATASET_NPY"]
    load_array(folder / _FILES["TOKENIZATION_NPY"], np.int32, (n * copies,), low=0 if copies == 1 else -1, high=lists)
    load_array(folder / _FILES["AH_DATASET_NPY"], np.uint8, (n, blocks), high=_WORDS)
    if params.spill:
        names.append("AH_DATASET_SOAR_NPY")
        load_array(folder / _FILES["AH_DATASET_SOAR_NPY"], np.uint8, (n, blocks), high=_WORDS)
    if kept != "none":
        names += [f"{name}_NPY" for name in _KEPT[kept]]
        dtype = _KINDS[kept]
        load_array(folder / _FILES[f"{_KEPT[kept][0]}_NPY"], dtype, (n, d))
    if kept == "int8":
        load_array(folder / _FILES["INT8_MULTIPLIERS_NPY"], np.float32, (d,))
        load_array(folder / _FILES["INT8_NORMS_NPY"], np.float32, (n if metric == "l2" else 0,))
    return "".join(f'assets {{\n  asset_type: {name}\n  asset_path: "{_FILES[name]}"\n}}\n' for name in names)


class Form(NamedTuple):
    """Bytes, and which of them are as they must be (1) or part of a number (0)."""

    wanted: bytes
    fixed: bytes


class _Float(NamedTuple):
    """A float as a field, not as the content of one."""

    form: Form


_Field = tuple[int, int | bytes | Form | _Float]


def _compare(path: Path, form: Form, kind: str) -> None:
    """Refuse a file that is not of this form, or has a number (``kind``) that is not finite."""
    with open_regular(path) as file:
        found = np.frombuffer(file.read(len(form.wanted) + 1), np.uint8)
    wanted, fixed = np.frombuffer(form.wanted, np.uint8), np.frombuffer(form.fixed, np.bool_)
    if len(found) != len(wanted) or (found != wanted)[fixed].any() or not np.isfinite(found[~fixed].view(kind)).all():
        raise unfit(path, "is not that of such an index")


def _hole(size: int) -> Form:
    return Form(bytes(size), bytes(size))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _message(*fields: _Field) -> Form:
    """Fields of a protocol buffer: a whole number, a text or message, or the four or eight bytes of a float."""
    pieces = []
    for number, value in fields:
        if isinstance(value, int):
            pieces.append(_same(_varint(number << 3) + _varint(value)))
        elif isinstance(value, _Float):
            pieces += [_same(_varint(number << 3 | (1 if len(value.form.wanted) == 8 else 5))), value.form]
        else:
            inner = _same(value) if isinstance(value, bytes) else value
            pieces += [_same(_varint(number << 3 | 2) + _varint(len(inner.wanted))), inner]
    return Form(b"".join(p.wanted for p in pieces), b"".join(p.fixed for p in pieces))


def _same(value: bytes) -> Form:
    return Form(value, b"\1" * len(value))


_NAN = _Float(_same(struct.pack("<d", math.nan)))


def _config(d: int, params: Any, metric: Metric) -> Form:
    """What ScaNN 1.4 writes of the settings that ``indexes.scann`` gives it; all numbers but the threshold known."""
    measure, squared = _message((1, _MEASURE[metric])), _message((1, _SQUARED))
    spill: list[_Field] = [(20, _message((1, 4), (4, _Float(_same(struct.pack("<f", 1.5))))))] if params.spill else []
    tree = _message(
        (3, params.lists), (6, 12), (9, _Float(_same(struct.pack("<f", 50)))), (10, squared), *spill,
        (21, _message((1, 4), (3, 1))), (23, 0), (25, measure), (28, 1), (45, _TRAINED), (49, 0),
    )  # fmt: skip
    blocks, rest = divmod(d, params.width)
    cut = _message((1, 1), (2, blocks), (3, params.width), (9, d))
    if rest:
        cut = _message((1, 2), (4, _message((1, blocks), (2, params.width))), (4, _message((1, 1), (2, rest))), (9, d))
    product = int(metric == "ip")
    codes = _message(
        (1, cut), (2, _WORDS), (4, 10), (18, squared), (20, 3), (22, product), (25, _message((1, 1))),
        (28, _Float(_hole(8)) if product else _NAN), (29, _TRAINED), (33, product),
    )  # fmt: skip
    again: list[_Field] = []
    if params.refine == "bfloat16":
        again = [(17, _message((1, 100), (7, _message((1, 1), (2, _NAN)))))]
    elif params.refine != "none":
        again = [(17, _message((1, 100), (5, _message((1, int(params.refine == "int8")), (8, _NAN)))))]
    return _message((3, 10), (5, measure), (8, tree), (13, _message((5, codes))), *again)


def _partitioner(lists: int, d: int, *, spill: bool) -> Form:
    centre = _message((1, _hole(8 * d)))
    leaves: list[_Field] = [(3, _message((4, _NAN), (5, i))) for i in range(lists)]
    root = _message(*[(1, centre)] * lists, *leaves, (4, _NAN), (5, (1 << 64) - 1))
    return _message((1, lists), (2, _message((1, _message((1, root), (3, 4 if spill else 0))))))


def _codebook(d: int, width: int) -> Form:
    widths = [width] * (d // width) + ([d % width] if d % width else [])
    blocks = [_message(*[(1, _message((1, 2), (4, _hole(4 * w))))] * _WORDS) for w in widths]
    return _message(*[(1, block) for block in blocks], (2, 0))
