"""Data files, damaged at random: each must be read, or refused by one typed line, in bounded time and memory.

A small valid sample of every format is written, and mutants of its files are made: cut short, bits flipped, numbers of
the header replaced or swapped, pieces removed, repeated or put in. Each mutant is read in a process of its own, which
is ended when it takes too long, and whose memory is looked at.
"""

import gzip
import json
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from retrieval_bench.datasets import load_dataset, read_queries
from retrieval_bench.datasets.trec import read_qrels, read_run
from retrieval_bench.errors import RetrievalBenchError

SECONDS = 20  # most for one mutant
MEMORY = 192 << 20  # bytes that reading a mutant may add to the process: see datasets/_bounds
EXTREMES = (0, 1, -1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1)
READ, REFUSED, UNTYPED = 0, 1, 2  # exit codes of a reading process


def samples(folder: Path) -> dict[str, Path]:
    """Write a small data set in every format; the path to read by name."""
    rng = np.random.default_rng(0)
    corpus, asked = rng.normal(size=(40, 4)).astype(np.float32), rng.normal(size=(6, 4)).astype(np.float32)
    near = np.argsort(((asked[:, None] - corpus[None]) ** 2).sum(axis=2), axis=1, kind="stable")[:, :3]
    paths: dict[str, Path] = {}

    def place(name: str) -> Path:
        paths[name] = folder / name
        (folder / name if "." not in name else folder).mkdir(parents=True, exist_ok=True)
        return folder / name

    np.save(place("a.npy"), corpus)
    np.savez(place("plain.npz"), corpus=corpus, queries=asked, neighbors=near)
    np.savez_compressed(place("packed.npz"), corpus=corpus, queries=asked)
    for suffix, kind in (("fbin", "<f4"), ("f16bin", "<f2"), ("u8bin", "u1"), ("i8bin", "i1")):
        values = corpus if kind.startswith("<f") else np.abs(corpus) * 20
        place(f"a.{suffix}").write_bytes(np.array(corpus.shape, "<u4").tobytes() + values.astype(kind).tobytes())
    for suffix, kind in (("fvecs", "<f4"), ("bvecs", "u1")):
        place(f"a.{suffix}").write_bytes(_vecs(np.abs(corpus) * 20, kind))
    texmex = place("texmex")
    for role, rows, suffix in (("base", corpus, "fvecs"), ("query", asked, "fvecs"), ("groundtruth", near, "ivecs")):
        (texmex / f"x_{role}.{suffix}").write_bytes(_vecs(rows, "<i4" if suffix == "ivecs" else "<f4"))
    bigann = place("bigann")
    for name, rows, kind in (("base.fbin", corpus, "<f4"), ("query.fbin", asked, "<f4"), ("gt.ibin", near, "<i4")):
        (bigann / name).write_bytes(np.array(rows.shape, "<u4").tobytes() + rows.astype(kind).tobytes())
    for name, packing in (("plain.hdf5", {}), ("packed.hdf5", {"chunks": True, "compression": "gzip"})):
        with h5py.File(place(name), "w") as file:
            file.attrs.update({"distance": "euclidean", "dimension": 4})
            for key, rows in (("train", corpus), ("test", asked), ("neighbors", near)):
                file.create_dataset(key, data=rows, **packing)
    with h5py.File(place("bits.h5"), "w") as file:
        file.attrs.update({"distance": "hamming", "dimension": 32})
        file["train"] = rng.integers(0, 256, (40, 4)).astype(np.uint8)
    names = [f"d{i}" for i in range(40)]
    for name, codec in (("a.parquet", "snappy"), ("z.parquet", "zstd")):
        table = pa.table({"id": names, "vector": list(corpus), "text": names})
        pq.write_table(table, place(name), compression=codec)
    pq.write_table(pa.table({f"x{j}": corpus[:, j] for j in range(4)}), place("numbers.parquet"))
    benchmark = place("vectordb")
    pq.write_table(pa.table({"id": range(40), "emb": list(corpus)}), benchmark / "train-00-of-01.parquet")
    pq.write_table(pa.table({"id": range(6), "emb": list(asked)}), benchmark / "test.parquet")
    pq.write_table(pa.table({"id": range(6), "neighbors_id": list(near)}), benchmark / "neighbors.parquet")
    lines = "".join(",".join([name, *map(str, row)]) + "\n" for name, row in zip(names, corpus, strict=True))
    place("vectors.csv").write_text("id,x,y,z,w\n" + lines)
    review = "".join(f'{i},title {i},"an abstract, of {i}",{i % 2}\n' for i in range(20))
    paths["review"] = place("review") / "one.csv"
    paths["review"].write_text("id,title,abstract,included\n" + review)
    (paths["review"].parent / "topics.jsonl").write_text('{"name": "one", "topic": "cranes"}\n')
    _texts(place)
    return paths


def _vecs(rows: np.ndarray, kind: str) -> bytes:
    return b"".join(np.int32(rows.shape[1]).tobytes() + row.astype(kind).tobytes() for row in rows)


def _texts(place) -> None:  # type: ignore[no-untyped-def]
    """Formats of texts and judgments."""
    documents = "".join(json.dumps({"_id": f"d{i}", "title": "", "text": f"text {i}"}) + "\n" for i in range(20))
    queries = "".join(json.dumps({"_id": f"q{i}", "text": f"query {i}"}) + "\n" for i in range(4))
    judged = [(f"q{i}", f"d{i}", 1) for i in range(4)]
    for name, packed in (("beir", False), ("beir-packed", True)):
        folder = place(name)
        (folder / "qrels").mkdir(exist_ok=True)
        rows = "query-id\tcorpus-id\tscore\n" + "".join("\t".join(map(str, row)) + "\n" for row in judged)
        for file, text in (("corpus.jsonl", documents), ("queries.jsonl", queries), ("qrels/test.tsv", rows)):
            at = folder / (f"{file}.gz" if packed else file)
            at.write_bytes(gzip.compress(text.encode(), mtime=0) if packed else text.encode())
    trec = place("trec")
    (trec / "documents.trec").write_text(
        "".join(f"<DOC>\n<DOCNO> d{i} </DOCNO>\n<TEXT>\ntext {i}\n</TEXT>\n</DOC>\n" for i in range(20))
    )
    (trec / "topics.txt").write_text(
        "".join(f"<top>\n<num> Number: {i}\n<title> topic {i}\n</top>\n\n" for i in range(1, 5))
    )
    (trec / "qrels.txt").write_text("".join(f"{i} 0 d{i} 1\n" for i in range(1, 5)))
    marco = place("marco")
    (marco / "collection.tsv").write_text("".join(f"{i}\ttext {i}\n" for i in range(20)))
    (marco / "queries.dev.tsv").write_text("".join(f"{i}\tquery {i}\n" for i in range(4)))
    (marco / "qrels.dev.tsv").write_text("".join(f"{i}\t0\t{i}\t1\n" for i in range(4)))
    place("a.run").write_text("".join(f"q{i} Q0 d{j} {j} {9 - j}.5 tag\n" for i in range(4) for j in range(5)))
    place("a.qrels").write_text("".join(f"q{i} 0 d{i} 1\n" for i in range(4)))
    place("queries.jsonl").write_text(queries)


def mutated(content: bytes, rng: random.Random) -> bytes:
    """A damaged copy."""
    data = bytearray(content)
    rng.choice((_cut, _flip, _flip, _number, _number, _swap, _blank, _insert))(data, rng)
    return bytes(data)


def _cut(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    del data[at : rng.choice((len(data), at + 64))]


def _flip(data: bytearray, rng: random.Random) -> None:
    near = min(len(data), 256)  # of an end, where most formats say what they hold
    for _ in range(rng.choice((1, 1, 8))):
        place = rng.choice((rng.randrange(len(data)), rng.randrange(near), len(data) - 1 - rng.randrange(near)))
        data[place] ^= 1 << rng.randrange(8)


def _head(data: bytearray, rng: random.Random) -> int:
    return rng.randrange(max(1, min(len(data), 256) - 8))


def _number(data: bytearray, rng: random.Random) -> None:
    width, at = rng.choice((2, 4, 8)), _head(data, rng)
    data[at : at + width] = (rng.choice(EXTREMES) % (1 << 8 * width)).to_bytes(width, "little")


def _swap(data: bytearray, rng: random.Random) -> None:
    width, at, other = rng.choice((2, 4, 8)), _head(data, rng), _head(data, rng)
    one, two = data[at : at + width], data[other : other + width]
    data[at : at + width], data[other : other + width] = two, one


def _blank(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    count = min(len(data) - at, rng.choice((16, len(data))))
    data[at : at + count] = rng.choice((bytes(count), rng.randbytes(count)))


def _insert(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    data[at:at] = rng.choice((data[at:], b"\0", b"\xff", b"\n", b'"', b"\t", b"\xc2\xa0", b"NaN", b"-1", b"{" * 64))


def mutants(path: Path, count: int, seed: str) -> Iterator[str]:
    """Damage one file of a sample after the other, in its place; what is yielded says which mutant it is."""
    rng = random.Random(f"{seed} {path.name}")  # noqa: S311 - no secret
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    for number in range(count):
        file = files[number % len(files)]
        before = file.read_bytes()
        file.write_bytes(mutated(before, rng))
        try:
            yield f"{path.name} {file.name} mutant {number}"
        finally:
            file.write_bytes(before)


def read(path: Path) -> None:
    """Read a sample by what reads its kind."""
    if path.suffix == ".run":
        read_run(path)
    elif path.suffix == ".qrels":
        read_qrels(path)
    elif path.name == "queries.jsonl":
        read_queries(path)
    else:
        load_dataset(str(path))


def _apart(path: Path) -> tuple[str, str]:
    """Read in a process of its own: what became of it, and what it said."""
    readable, writable = os.pipe()
    before = _resident()
    if (child := os.fork()) == 0:
        os.close(readable)
        signal.alarm(SECONDS)
        code, said = READ, ""
        try:
            read(path)
        except RetrievalBenchError as error:
            code, said = REFUSED, str(error)
        except BaseException as error:  # noqa: BLE001 - which is what is looked for
            code, said = UNTYPED, f"{type(error).__name__}: {error}"
        os.write(writable, said.encode(errors="replace")[:400])
        os._exit(code)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    _, status, use = os.wait4(child, 0)
    if os.WIFSIGNALED(status):
        ended = signal.Signals(os.WTERMSIG(status))
        return ("hung" if ended == signal.SIGALRM else "killed by a signal"), ended.name
    if use.ru_maxrss * 1024 > before + MEMORY:
        return "too much memory", f"{use.ru_maxrss >> 10} MiB"
    return {READ: "read", REFUSED: "refused"}.get(os.WEXITSTATUS(status), "untyped"), said


def _resident() -> int:
    """Resident bytes of this process, with which a child of it begins."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def data(
    times: Annotated[int, typer.Option(help="Mutants of each sample.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the mutants.")] = 0,
) -> None:
    """Read mutated data files of every format; anything but an answer or a typed line is wrong."""
    count: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RETRIEVAL_BENCH_HOME"] = str(Path(folder) / "home")
        for path in samples(Path(folder)).values():
            read(path)  # in this process, so that every reader is imported
            for which in mutants(path, times, str(seed)):
                became, said = _apart(path)
                count[became] += 1
                if became not in ("read", "refused"):
                    print(f"{became}: {which}: {said}")
    print(f"{count.total()} mutants: " + ", ".join(f"{number} {name}" for name, number in count.most_common()))
    sys.exit(bool(count.keys() - {"read", "refused"}))
