"""What an application hands over, as arrays and lists of one kind: each thing that is neither is one clear line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.types import RowIds

_NO_SEQUENCES = (str, bytes, bytearray, Mapping, set, frozenset)  # what iterates, and not over things in an order


def given_number(value: object, *, what: str, low: int, high: int, mend: str = "") -> int:
    """A whole number of any integer type, as Python's.

    Raises:
        UsageError: it is none, or not in ``low`` to ``high``; ``mend`` is said instead of the range.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise UsageError(f"{what} = {value!r:.60} is of the type {type(value).__name__}, not a whole number")
    if not low <= value <= high:  # type: ignore[operator]
        raise UsageError(f"{what} = {value}" + (f" {mend}" if mend else f": {low} to {high} is needed"))
    return int(value)


def given_vectors(vectors: Any, *, source: str) -> npt.NDArray[Any]:
    """Vectors of an application as an array of real numbers, in whatever shape they come.

    Arrays stay as they are. Lists of numbers or arrays, data frames, tensors in host memory and arrays of such objects
    become arrays.

    Raises:
        DataError: they are no rectangle of real numbers, or some are masked; says what they are.
    """
    if isinstance(vectors, _NO_SEQUENCES) or vectors is None:
        raise DataError(f"{source}: are of the type {type(vectors).__name__}, not vectors; give an array (n, d)")
    if isinstance(vectors, np.ma.MaskedArray) and np.ma.is_masked(vectors):
        raise DataError(f"{source}: some values are masked, so they are not known; fill or remove those rows")
    try:
        array = np.asarray(vectors)
        if array.dtype == object and array.ndim:  # rows that are lists, or numbers of several types
            array = np.array(array.tolist())
            array = array.astype(np.float64) if array.dtype == object and array.ndim == 2 else array
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(
            f"{source}: the vectors have different lengths, or hold what is no number ({error!s:.100}); give lists of "
            "the same length, or an array (n, d)"
        ) from error
    except Exception as error:  # such as a tensor's on a device
        raise DataError(f"{source}: cannot become an array ({error!s:.150})") from error
    if array.dtype.kind not in "fiub":
        kind = array.dtype if array.ndim else type(vectors).__name__
        raise DataError(f"{source}: hold values of type {kind}, not real numbers; give an array (n, d) of these")
    return array


def given_texts(texts: Any, *, source: str) -> list[str]:
    """Texts of an application, from any iterable that has an order.

    Raises:
        UsageError: a single text where several are needed, or nothing with an order.
        DataError: one of them is not a text; names its place.
    """
    if isinstance(texts, _NO_SEQUENCES) or not isinstance(texts, Iterable):
        raise UsageError(f"{source}: a list of texts is needed, not one {type(texts).__name__}")
    listed = list(texts)
    for place, text in enumerate(listed):
        if not isinstance(text, str):
            raise DataError(
                f"{source}: number {place} is of the type {type(text).__name__} ({text!r:.60}), not a text; "
                "give an empty one where there is none"
            )
        if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
            raise DataError(f"{source}: number {place} holds half of a surrogate pair, which is not text; mend it")
    return [str(text) for text in listed]


def given_ids(ids: Any, *, source: str) -> Sequence[str]:
    """Ids of an application as data sets hold them: whole numbers become their digits.

    Raises:
        UsageError: nothing with an order.
        DataError: an id is neither text nor a whole number, or is empty; names the first and its type.
    """
    if isinstance(ids, RowIds):
        return ids
    if isinstance(ids, _NO_SEQUENCES) or not isinstance(ids, Iterable) or np.ndim(ids) == 0:  # type: ignore[arg-type]
        raise UsageError(f"{source}: a list of ids is needed, not one {type(ids).__name__}")
    listed = list(ids)
    for place, each in enumerate(listed):
        if not isinstance(each, str | Integral) or isinstance(each, bool):
            raise DataError(
                f"{source}: the id at place {place} is of the type {type(each).__name__} ({each!r:.60}); "
                "ids must be strings or whole numbers"
            )
    named = [str(each) for each in listed]
    if "" in named:
        raise DataError(f"{source}: the id at place {named.index('')} is empty; give each document one")
    return named
