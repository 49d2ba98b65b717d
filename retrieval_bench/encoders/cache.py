"""Vectors kept on disk by content, so that a text is encoded once and an interrupted run resumes where it stopped."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from retrieval_bench.encoders._bar import progress_bar
from retrieval_bench.errors import DataError
from retrieval_bench.files import atomic_file, home
from retrieval_bench.protocols import Encoder
from retrieval_bench.types import FloatArray

SHARD = 2048  # texts encoded between two saves: at most about a minute of work is lost on two CPU cores


def encode_queries(encoder: Encoder, texts: Sequence[str]) -> FloatArray:
    """(len(texts), d) float32 vectors of queries, with the model's prompt for queries where it has one."""
    encode: Callable[[Sequence[str]], FloatArray] = getattr(encoder, "encode_queries", encoder.encode)
    return encode(texts)


def cached_encode(
    encoder: Encoder, texts: Sequence[str], *, queries: bool = False, progress: bool = False
) -> FloatArray:
    """Vectors of texts, from the cache below ``$RETRIEVAL_BENCH_HOME`` where they are in it.

    The key is the encoder's revision and the content of all texts. Long collections are encoded and saved in shards
    of ``SHARD`` texts, which are removed once the whole is saved. A file that is not what it should be is made anew.
    Processes that do the same at once only repeat work: files appear whole or not at all.

    Args:
        encoder: called for what is not in the cache.
        texts: n texts.
        queries: encode as queries (see ``encode_queries``) and not as documents.
        progress: show a bar on standard error.

    Returns:
        (n, d) float32, read-only, memory-mapped.

    Raises:
        DataError: the cache folder cannot be written to; the encoder returned another shape.
    """
    folder = home() / "vectors" / encoder.revision / ("queries" if queries else "documents")
    shape = (len(texts), encoder.dim)
    if shape[0] == 0:
        return np.empty(shape, np.float32)
    whole = folder / f"{_digest(texts)}.npy"
    vectors = _read(whole, shape)
    if vectors is not None:
        return vectors

    def encode(part: Sequence[str]) -> FloatArray:
        alone = len(part) == len(texts)  # else the bar is that of all shards
        made = encode_queries(encoder, part) if queries else encoder.encode(part, progress=progress and alone)
        if made.shape != (len(part), encoder.dim):
            raise DataError(
                f"encoder {encoder.name!r}: gave {made.shape} for {len(part)} texts of {encoder.dim} values"
            )
        return np.ascontiguousarray(made, np.float32)

    blocks: list[FloatArray] = []
    shards: list[Path] = []
    if len(texts) <= SHARD:
        blocks.append(encode(texts))
    else:
        blocks, shards = _shards(encode, texts, folder, encoder.dim, progress=progress)
    _write(whole, shape, blocks)
    for shard in shards:
        shard.unlink(missing_ok=True)
    vectors = _read(whole, shape)
    if vectors is None:
        raise DataError(f"{whole}: was written and cannot be read back; check the disk")
    return vectors


def _shards(
    encode: Callable[[Sequence[str]], FloatArray], texts: Sequence[str], folder: Path, dim: int, *, progress: bool
) -> tuple[list[FloatArray], list[Path]]:
    # Blocks are mapped as soon as they are there: they stay readable when another process removes the files.
    blocks, paths = [], []
    with progress_bar(shown=progress) as bar:
        task = bar.add_task("encoding", total=len(texts))
        for start in range(0, len(texts), SHARD):
            part = texts[start : start + SHARD]
            path = folder / "shards" / f"{_digest(part)}.npy"
            block = _read(path, (len(part), dim))
            if block is None:
                made = encode(part)
                _write(path, made.shape, [made])
                block = _read(path, made.shape)
                block = made if block is None else block
            blocks.append(block)
            paths.append(path)
            bar.advance(task, len(part))
    return blocks, paths


def _digest(texts: Sequence[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))  # so that ["ab", "c"] and ["a", "bc"] differ
        digest.update(data)
    return digest.hexdigest()


def _header(shape: tuple[int, ...]) -> bytes:
    """The first bytes of a .npy file of float32 values: known beforehand, so that reading parses nothing."""
    buffer = BytesIO()
    descr = np.lib.format.dtype_to_descr(np.dtype(np.float32))
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def _read(path: Path, shape: tuple[int, ...]) -> FloatArray | None:
    header = _header(shape)
    with contextlib.suppress(OSError), path.open("rb") as file:
        whole = path.stat().st_size == len(header) + 4 * math.prod(shape)
        if whole and file.read(len(header)) == header:
            return np.memmap(file, np.float32, mode="r", offset=len(header), shape=shape)
    return None


def _write(path: Path, shape: tuple[int, ...], blocks: Sequence[FloatArray]) -> None:
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        file.write(_header(shape))
        for block in blocks:
            block.tofile(file)
