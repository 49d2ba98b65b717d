"""The C sources of this package as a loaded library: compiled at first use, kept in the home folder.

No compiler, a folder from which nothing may be executed, or ``RETRIEVAL_BENCH_NATIVE=0``: numpy does the work instead.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import DataError
from retrieval_bench.files import atomic_file, home

_SOURCES, _HEADERS = ("scan.c", "rerank.c"), ("select.h", "forms.h")
# No contraction of a product and a sum into one rounding: numpy, which must agree, has two.
_FLAGS = ("-std=gnu11", "-O3", "-shared", "-fPIC", "-ffp-contract=off", "-fno-math-errno")
_VARIANTS = ("portable C", "AVX2", "AVX-512 VNNI")


@cache
def library() -> ctypes.CDLL | None:
    """The compiled sources, or None where numpy must do."""
    return None if os.environ.get("RETRIEVAL_BENCH_NATIVE") == "0" else _opened(compiler())


def compiler() -> str | None:
    """Path of the C compiler: ``$CC``, cc, gcc or clang."""
    names = filter(None, (os.environ.get("CC"), "cc", "gcc", "clang"))
    return next((found for found in map(shutil.which, names) if found), None)


@cache
def best_variant() -> int:
    """The fastest variant that this processor runs: an index into what ``description`` names."""
    native = library()
    return 0 if native is None else int(native.best_variant())


def kernel() -> str:
    """What does the work here, as far as speeds depend on it: numpy, or the variant of which compiled library."""
    native = library()
    return "numpy" if native is None else f"{_VARIANTS[best_variant()]}, {Path(native._name).stem}"  # noqa: SLF001 - the file opened


def description() -> str:
    """One line on what runs here, and what would make it faster."""
    if library() is not None:
        return f"{_VARIANTS[best_variant()]}, compiled by {compiler()}"
    if os.environ.get("RETRIEVAL_BENCH_NATIVE") == "0":
        return "numpy, as RETRIEVAL_BENCH_NATIVE=0 asks for"
    if compiler() is None:
        return "numpy; a C compiler (cc, gcc or clang on PATH) makes leanvec several times faster"
    return f"numpy; {compiler()} could not make a library that loads from {home() / 'native'}"


def _opened(program: str | None) -> ctypes.CDLL | None:
    if program is None:
        return None
    try:
        path = _path(program)
        if not path.exists():
            with atomic_file(path) as temporary:  # two processes may both compile: either file will do
                command = [program, *_FLAGS, *map(str, _files(_SOURCES)), "-o", str(temporary), "-lm"]
                subprocess.run(command, check=True, capture_output=True, timeout=120)
        return ctypes.CDLL(str(path))
    except (DataError, OSError, subprocess.SubprocessError):
        return None


def _path(program: str) -> Path:
    """Where the library of these sources, this compiler and this kind of processor stands."""
    said = subprocess.run([program, "--version"], capture_output=True, check=True, timeout=20).stdout
    contents = [file.read_bytes() for file in _files(_SOURCES + _HEADERS)]
    digest = hashlib.blake2b(digest_size=12)
    for part in (said, platform.machine().encode(), " ".join(_FLAGS).encode(), *contents):
        digest.update(part)
    return home() / "native" / f"{digest.hexdigest()}.so"


def _files(names: tuple[str, ...]) -> list[Path]:
    return [Path(__file__).with_name(name) for name in names]


def pointer(array: npt.NDArray[np.generic] | None) -> ctypes.c_void_p | None:
    """Address of a contiguous array for a C function; None is NULL."""
    if array is None:
        return None
    if not array.flags.c_contiguous:
        raise ValueError("an array for a C function must be contiguous")
    return ctypes.c_void_p(array.ctypes.data)
