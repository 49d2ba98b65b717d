"""Ways to change an exported index, as an accident or an attacker would: each changes one thing in a copy of it."""

import copy
import io
import json
import os
import pickle
import random
import shutil
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from retrieval_bench.errors import ArtifactError
from retrieval_bench.manifest import FileFacts, Manifest, facts_of

Mutation = Callable[[Path, Path, random.Random], None]
ODD: list[Any] = [
    -1, 0, 1, 2, 255, 65_536, 2**31 - 1, 2**31, -(2**31), 2**63, 2**64, 1e308, -0.5, float("nan"), float("inf"), None,
    True, "", "ip", "x" * 5000, "../../x", [], {}, [[]], [1, 2], {"a": 1},
]  # fmt: skip


def chosen(folder: Path, rng: random.Random, suffix: str = "") -> Path:
    """One of the files, the index's more often than others."""
    files = sorted(p for p in folder.rglob(f"*{suffix}") if p.is_file() and p.name != "manifest.json")
    own = [p for p in files if "index" in p.relative_to(folder).parts]
    return rng.choice(own if own and rng.random() < 0.8 else files or [folder / "manifest.json"])


def flipped(folder: Path, outside: Path, rng: random.Random) -> None:  # noqa: ARG001
    """A few bytes become others, in the first ones or anywhere."""
    path = chosen(folder, rng)
    data = bytearray(path.read_bytes())
    most = len(data) if rng.random() < 0.5 else min(len(data), 320)
    for _ in range(rng.choice([1, 2, 8])):
        if data:
            data[rng.randrange(most)] = rng.randrange(256)
    path.write_bytes(data)


def filled(folder: Path, outside: Path, rng: random.Random) -> None:  # noqa: ARG001
    """Four or eight bytes become a number that a length or a link may not be."""
    path = chosen(folder, rng)
    data = bytearray(path.read_bytes())
    width = rng.choice([4, 8])
    if len(data) > width:
        at = rng.randrange(min(len(data), rng.choice([200, len(data)])) - width + 1) // 4 * 4
        value = rng.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 10**6, 2**62, 2**64 - 1, 2**40])
        data[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "little")
    path.write_bytes(data)


def cut(folder: Path, outside: Path, rng: random.Random) -> None:  # noqa: ARG001
    """The end is missing."""
    path = chosen(folder, rng)
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size + 1)])


def longer(folder: Path, outside: Path, rng: random.Random) -> None:  # noqa: ARG001
    """There is more than there should be."""
    path = chosen(folder, rng)
    path.write_bytes(path.read_bytes() + rng.randbytes(rng.choice([1, 4, 64, 5000])))


def other_array(folder: Path, outside: Path, rng: random.Random) -> None:
    """An array of another type, shape, order or range."""
    path = chosen(folder, rng, ".npy")
    if path.suffix == ".npy":
        array = np.load(path)
        with np.errstate(all="ignore"):
            changed = rng.choice(ARRAYS)(array, rng)
        if isinstance(changed, bytes):
            path.write_bytes(changed)
        else:
            np.save(path, changed, allow_pickle=True)
    else:
        flipped(folder, outside, rng)


def _dtype(array: Any, rng: random.Random) -> Any:
    kinds = ["u1", "i1", "i4", "i8", "f2", "f4", "f8", "c16", "U3", ">f4", ">i8", "?", "M8[s]"]
    return array.astype(rng.choice(kinds))


def _shape(array: Any, rng: random.Random) -> Any:
    return rng.choice([array.reshape(-1), array[: len(array) // 2], array[:0], array[..., None], array.T, array[:-1]])


def _order(array: Any, rng: random.Random) -> Any:
    return rng.choice([np.asfortranarray(array), array[::-1]])


def _range(array: Any, rng: random.Random) -> Any:
    array = array.copy()
    whole = array.dtype.kind in "iu"
    ends = [np.iinfo(array.dtype).min, np.iinfo(array.dtype).max] if whole else [-np.inf, np.nan, 3e38]
    for _ in range(3):
        if array.size:
            array.reshape(-1)[rng.randrange(array.size)] = rng.choice(ends)
    return array


def _objects(array: Any, rng: random.Random) -> Any:  # noqa: ARG001
    return np.array([{"a": 1}], object)


def _claims(array: Any, rng: random.Random) -> bytes:
    shape = rng.choice(["(1000000000000,)", "(4294967296, 4294967296)", "(-1,)", "()", "(2, 3", "(0, 9999999999)"])
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00v\x00" + header.encode() + bytes(array.tobytes())


def _bomb(array: Any, rng: random.Random) -> bytes:  # noqa: ARG001
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("values.npy", bytes(50_000_000))
    return packed.getvalue()


ARRAYS: list[Callable[[Any, random.Random], Any]] = [_dtype, _shape, _order, _range, _objects, _claims, _bomb]


def other_json(folder: Path, outside: Path, rng: random.Random) -> None:  # noqa: ARG001
    """A value in a JSON file, or in the manifest, is of another type, sign or size, missing, or one more."""
    paths = sorted(folder.rglob("*.json"))
    path = rng.choice(paths)
    if rng.random() < 0.1:
        path.write_text(rng.choice(["", "{", "[" * 100_000, '{"a":' * 20_000, "null", "[]", "1" * 5000, "\ud800".encode(
            "utf-8", "surrogatepass").decode("latin-1")]))  # fmt: skip
        return
    data = json.loads(path.read_text())
    holder, key = rng.choice(list(leaves(data)) or [([None], 0)])
    what = rng.random()
    if what < 0.15 and isinstance(holder, dict):
        del holder[key]
    elif what < 0.25 and isinstance(holder, dict):
        holder[f"{key}_more"] = rng.choice(ODD)
    else:
        holder[key] = copy.deepcopy(rng.choice(ODD))
    path.write_text(json.dumps(data))


def leaves(data: Any) -> Any:
    """Where each value below stands."""
    for key in data if isinstance(data, dict) else range(len(data)):
        yield data, key
        if isinstance(data[key], dict | list):
            yield from leaves(data[key])


def linked(folder: Path, outside: Path, rng: random.Random) -> None:
    """A file or folder is a symbolic link to the same thing elsewhere."""
    parts = [folder / "index", folder / "documents", folder / "canaries", chosen(folder, rng), folder / "manifest.json"]
    path = rng.choice([p for p in parts if p.exists()])
    target = outside / path.name
    shutil.move(path, target)
    path.symlink_to(target if rng.random() < 0.7 else os.path.relpath(target, path.parent))


def not_a_file(folder: Path, outside: Path, rng: random.Random) -> None:  # noqa: ARG001
    """A pipe, a socket, a folder or a device stands for a file."""
    path = rng.choice([chosen(folder, rng), folder / "manifest.json"])
    path.unlink()
    kind = rng.choice(["pipe", "socket", "folder", "device"])
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        here = Path.cwd()
        os.chdir(path.parent)
        try:
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(path.name)
        finally:
            os.chdir(here)
    else:
        path.symlink_to(rng.choice(["/dev/zero", "/dev/full", "/dev/stdin"]))


class Payload:
    """A pickle that leaves a trace where it is opened."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


def one_more(folder: Path, outside: Path, rng: random.Random) -> None:
    """A file more, that some engine may look for."""
    names = ["index/scann_docids.pkl", "index/corpus.jsonl", "index/arrays.npz", "documents.parquet", "index/x.npy"]
    (folder / rng.choice(names)).write_bytes(pickle.dumps(Payload(outside / "unpickled")))


def names(folder: Path, outside: Path, rng: random.Random) -> None:
    """The manifest lists what leaves the folder, or the same file twice, or no end of files."""
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    facts = next(iter(data["files"].values()))
    odd = rng.choice([
        "../x", "/etc/passwd", "index\\x", "index/../manifest.json", "INDEX/PARAMS.JSON", "index/./params.json",
        "C:x", "index//params.json", "a\u0301", "", ".", "many", "long",
    ])  # fmt: skip
    if odd == "many":
        data["files"] |= {f"f{i}": facts for i in range(200_000)}
    elif odd == "long":
        data["files"]["x" * 3_000_000] = facts
    else:
        data["files"][odd] = facts
    if rng.random() < 0.3:
        data["files"] = dict.fromkeys(data["files"], rng.choice([1, "0" * 64, {"bytes": -1, "sha256": "0" * 64}]))
    path.write_text(json.dumps(data))
    (outside / "x").write_text("not to be read")


def other_faiss(folder: Path, outside: Path, rng: random.Random) -> None:
    """A faiss file of another kind, one whose lists are in a file elsewhere among them."""
    path = folder / "index" / "index.faiss"
    kinds = ["Flat", "HNSW8", "LSH", "PQ4np", "IVF4,Flat", "PCA8,Flat", "NSG8,Flat", "IVF4,SQ8"]
    kind = rng.choice([*["disk"] * len(kinds), *kinds])
    vectors = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)
    index = faiss.index_factory(16, "IVF4,Flat" if kind == "disk" else kind)
    index.train(vectors)
    index.add(vectors)
    if kind == "disk":
        lists = faiss.OnDiskInvertedLists(4, 64, str(outside / "lists.bin"))
        lists.merge_from(index.invlists, 0)
        index.replace_invlists(lists)
    faiss.write_index(index, str(path))
    if kind == "disk":
        os.truncate(outside / "lists.bin", rng.choice([0, 100, 100_000]))


NO_CANARIES = 0.5
MUTATIONS: dict[Mutation, int] = {
    flipped: 24, filled: 24, cut: 6, longer: 4, other_array: 18, other_json: 16, linked: 5, not_a_file: 5, one_more: 2,
    names: 3, other_faiss: 5,
}  # fmt: skip


def rehashed(folder: Path) -> None:
    """Make the manifest right for what the folder holds now, where it can be."""
    path = folder / "manifest.json"
    try:
        data = json.loads(path.read_text()) if path.is_file() and not path.is_symlink() else None
        path.unlink() if data is not None else None
        if data is None:
            return
        facts: dict[str, FileFacts] = facts_of(folder)
        data["files"] = {name: fact.model_dump() for name, fact in facts.items()}
    except (ArtifactError, ValueError, TypeError):
        pass
    path.write_text(json.dumps(data))


def mutated(source: Path, folder: Path, outside: Path, rng: random.Random) -> str:
    """Copy an artifact and change it; returns in which way."""
    shutil.copytree(source, folder)
    outside.mkdir()
    if rng.random() < NO_CANARIES:  # whoever changes an index can leave out what would tell
        shutil.rmtree(folder / "canaries", ignore_errors=True)
        rehashed(folder)
    way = rng.choices(list(MUTATIONS), list(MUTATIONS.values()))[0]
    before = (folder / "manifest.json").read_bytes()
    way(folder, outside, rng)
    manifest = folder / "manifest.json"
    if manifest.is_file() and not manifest.is_symlink() and manifest.read_bytes() == before:
        rehashed(folder)
    return way.__name__


__all__ = ["MUTATIONS", "Manifest", "mutated"]
