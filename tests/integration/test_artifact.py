"""Exported systems: what is saved comes back, and what was changed is refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import retrieval_bench as rb
from retrieval_bench.errors import ArtifactError, BudgetError, DataError, RetrievalBenchError, UsageError
from retrieval_bench.manifest import Manifest, facts_of, write_manifest
from retrieval_bench.types import Queries, RowIds

TEXTS = [f"{verb} {noun}" for verb in ("open", "read", "parse", "sort") for noun in ("file", "date", "list", "socket")]


def vectors(n: int = 500, d: int = 16) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    searcher = rb.build("ivf", vectors(), metric="cos", lists=8, search={"nprobe": 4})
    asked = vectors()[:20] / np.linalg.norm(vectors()[:20], axis=1, keepdims=True)
    searcher.save(tmp_path / "index", canaries=Queries(ids=RowIds(20), vectors=asked))
    return tmp_path / "index"


def rehash(folder: Path) -> None:
    """Make the manifest right for what the folder holds, as whoever changed it could."""
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").unlink()
    write_manifest(folder, manifest.model_copy(update={"files": facts_of(folder)}))


def test_a_loaded_index_answers_as_the_built_one(saved: Path) -> None:
    built = rb.build("ivf", vectors(), metric="cos", lists=8, search={"nprobe": 4})
    loaded = rb.load(saved)
    ours, theirs = built.search(vectors()[:5] * 3, k=7), loaded.search(vectors()[:5], k=7)
    assert np.array_equal(ours.rows, theirs.rows)
    assert loaded.search(vectors()[0], k=1).ids == (("0",),)
    assert loaded.manifest.search_params["nprobe"] == 4
    assert loaded.memory().total == built.memory().total


def test_ids_that_are_whole_numbers_are_saved_as_text(tmp_path: Path) -> None:
    built = rb.build("flat", vectors(), ids=np.arange(1000, 1500))
    loaded = rb.load(built.save(tmp_path / "index"))
    assert built.search(vectors()[7], k=1).ids == loaded.search(vectors()[7], k=1).ids == (("1007",),)


def test_vectors_may_be_lists_of_numbers() -> None:
    searcher = rb.build("flat", vectors())
    asked = vectors()[:3]
    expected = searcher.search(asked, k=5).rows
    assert np.array_equal(searcher.search(asked.tolist(), k=5).rows, expected)
    assert np.array_equal(searcher.search(asked[0].tolist(), k=5).rows, expected[:1])
    assert np.array_equal(searcher.search(list(asked), k=5).rows, expected)


def test_no_pickle_and_nothing_unlisted_is_in_an_artifact(saved: Path) -> None:
    files = {p.relative_to(saved).as_posix() for p in saved.rglob("*") if p.is_file()}
    manifest = json.loads((saved / "manifest.json").read_text())
    assert files == set(manifest["files"]) | {"manifest.json"}
    assert not any(b"\x80\x04\x95" in (saved / f).read_bytes()[:64] for f in files)
    assert not any(f.endswith((".pkl", ".pickle")) for f in files)


def damage_flip(folder: Path) -> str:
    path = next(p for p in (folder / "index").rglob("*") if p.stat().st_size > 1000)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    return "differs from its SHA-256"


def damage_truncate(folder: Path) -> str:
    path = next(p for p in (folder / "index").rglob("*") if p.stat().st_size > 1000)
    path.write_bytes(path.read_bytes()[:100])
    return "bytes in the manifest"


def damage_remove(folder: Path) -> str:
    (folder / "documents" / "ids.npy").unlink()
    return "documents/ids.npy is missing"


def damage_add(folder: Path) -> str:
    (folder / "index" / "extra.pkl").write_bytes(b"\x80\x04.")
    return "extra.pkl is not listed"


def damage_version(folder: Path) -> str:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format_version": 99}))
    return "format version 99"


def damage_manifest(folder: Path) -> str:
    (folder / "manifest.json").write_text('{"half')
    return "not a valid manifest"


def damage_no_manifest(folder: Path) -> str:
    (folder / "manifest.json").unlink()
    return "holds no manifest.json"


def damage_escape(folder: Path) -> str:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["../outside"] = {"bytes": 0, "sha256": "0" * 64}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return "leaves the folder"


def damage_symlink(folder: Path) -> str:
    target = folder.parent / "elsewhere.npy"
    shutil.move(folder / "documents" / "ids.npy", target)
    (folder / "documents" / "ids.npy").symlink_to(target)
    return "regular files only"


@pytest.mark.parametrize(
    "damage",
    [damage_flip, damage_truncate, damage_remove, damage_add, damage_version, damage_manifest, damage_no_manifest,
     damage_escape, damage_symlink],
)  # fmt: skip
def test_a_damaged_artifact_is_refused(saved: Path, damage: object) -> None:
    expected = damage(saved)  # type: ignore[operator]
    with pytest.raises(ArtifactError, match=expected.replace(".", r"\.")):
        rb.load(saved)


def test_what_was_built_without_a_benchmark_has_canaries_too(tmp_path: Path) -> None:
    folder = rb.build("flat", vectors(), metric="cos").save(tmp_path / "built")
    assert rb.load(folder).replay_canaries(folder) == 8


def test_a_canary_with_another_answer_is_refused(saved: Path) -> None:
    """An index swapped for another of the same shape, its hashes made right, is still found out."""
    other = rb.build("ivf", vectors()[::-1].copy(), metric="cos", lists=8)
    other.save(saved.parent / "other")
    shutil.rmtree(saved / "index")
    shutil.copytree(saved.parent / "other" / "index", saved / "index")
    rehash(saved)
    with pytest.raises(ArtifactError, match="canary query"):
        rb.load(saved)


def test_a_damaged_canary_file_is_refused_and_not_a_traceback(saved: Path) -> None:
    np.save(saved / "canaries" / "rows.npy", np.zeros((3, 10), np.int64))
    rehash(saved)
    with pytest.raises(ArtifactError, match="canaries"):
        rb.load(saved)


def test_saving_over_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("work")
    searcher = rb.build("flat", vectors())
    with pytest.raises(UsageError, match="is not an exported index"):
        searcher.save(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "work"
    searcher.save(tmp_path / "index")
    searcher.save(tmp_path / "index")
    assert len(rb.load(tmp_path / "index")) == 500


def test_five_lines_in_an_application_search_text(tmp_path: Path) -> None:
    rb.build("bm25", texts=TEXTS, ids=[f"d{i}" for i in range(len(TEXTS))]).save(tmp_path / "index")
    program = "import retrieval_bench as rb; print(rb.load('index').search(['parse date'], k=3).ids[0][0])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == f"d{TEXTS.index('parse date')}"


@pytest.mark.parametrize(
    ("call", "error", "expected"),
    [
        (lambda: rb.build("ivf_oqp", vectors()), UsageError, "did you mean 'ivf_opq'"),
        (lambda: rb.build("ivf", vectors(), listz=3), UsageError, "unknown key 'listz', did you mean 'lists'"),
        (lambda: rb.build("flat"), UsageError, "give vectors or texts"),
        (lambda: rb.build("bm25", vectors()), UsageError, "needs texts"),
        (lambda: rb.build("flat", vectors()[0]), DataError, "shape"),
        (lambda: rb.build("flat", np.zeros((4, 3), np.float32)), DataError, "zero vector"),
        (lambda: rb.build("flat", np.full((4, 3), np.nan, np.float32)), DataError, "NaN"),
        (lambda: rb.build("flat", vectors(), ids=["a"] * 500), DataError, "more than once"),
        (lambda: rb.build("flat", vectors(), ids=np.arange(500.0)), DataError, "place 0 is of the type float64"),
        (lambda: rb.build("flat", vectors(), budget=rb.Budget(bytes_per_vector=8)), BudgetError, "at least"),
        (lambda: rb.build("flat", vectors()).search(vectors()[:1], k=0), UsageError, "k = 0"),
        (lambda: rb.build("flat", vectors()).search(vectors()[:1], k=501), UsageError, "1 to 500"),
        (lambda: rb.build("flat", vectors()).search(vectors()[:1, :5]), DataError, "5 dimensions, 16 are needed"),
        (lambda: rb.build("flat", vectors()).search(["text"]), UsageError, "has no encoder"),
        (lambda: rb.build("flat", vectors()).search([[1.0], [1.0, 2.0]]), DataError, "different lengths"),
        (lambda: rb.build("flat", vectors()).search(np.array([["text"] * 16])), DataError, "not real numbers"),
        (lambda: rb.build("bm25", texts=TEXTS).search(vectors()[:1]), UsageError, "ranks texts"),
        (lambda: rb.build("bm25", texts=TEXTS).search([1.0, 2.0]), UsageError, "ranks texts"),
        (lambda: rb.build("bm25", texts=TEXTS).search([]), DataError, "no query"),
        (lambda: rb.build("ivf", vectors()).search(vectors()[:1], k=1, nprobes=2), UsageError, "did you mean 'nprobe'"),
        (lambda: rb.load("/nowhere/at/all"), ArtifactError, "holds no manifest"),
    ],
)  # fmt: skip
def test_bad_calls_say_what_is_wrong(call: object, error: type[RetrievalBenchError], expected: str) -> None:
    with pytest.raises(error, match=expected):
        call()  # type: ignore[operator]
