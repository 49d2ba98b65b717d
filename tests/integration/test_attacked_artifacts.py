"""What an artifact's files say is not trusted: each lie is one typed line, whatever its hash."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

import retrieval_bench as rb
from retrieval_bench.arrays import Strings, load_array, load_strings, save_array, save_strings
from retrieval_bench.errors import ArtifactError
from retrieval_bench.manifest import facts_of

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def vectors(n: int = 300, d: int = 16) -> Any:
    return np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)


def rehash(folder: Path) -> None:
    """Make the manifest right for what the folder holds, as whoever changed it could."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    path.unlink()
    manifest["files"] = {name: facts.model_dump() for name, facts in facts_of(folder).items()}
    path.write_text(json.dumps(manifest))


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that gives a fresh copy of an artifact that is built once."""
    kept: dict[str, Path] = {}

    def copy(backend: str, to: Path, **settings: Any) -> Path:
        if backend not in kept:
            built = rb.build(backend, vectors(), metric="l2", **settings)
            kept[backend] = built.save(tmp_path_factory.mktemp("exported") / backend)
        return Path(shutil.copytree(kept[backend], to / backend))

    return copy


def test_lists_on_disk_elsewhere_are_neither_opened_nor_changed(
    exported: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = exported("ivf", tmp_path, lists=4)
    index = faiss.index_factory(16, "IVF4,Flat")
    index.train(vectors())
    index.add(vectors())
    lists = faiss.OnDiskInvertedLists(4, 64, str(tmp_path / "elsewhere"))
    lists.merge_from(index.invlists, 0)
    index.replace_invlists(lists)
    faiss.write_index(index, str(folder / "index" / "index.faiss"))
    os.truncate(tmp_path / "elsewhere", 100)
    rehash(folder)
    with pytest.raises(ArtifactError, match="inverted lists of another kind, or in another file"):
        rb.load(folder)
    assert (tmp_path / "elsewhere").stat().st_size == 100


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("LSH", "b'IxHe'"), ("IDMap,Flat", "b'IxM[pP2]"), ("HNSW8", "form hnsw, not flat"), ("NSG8,Flat", "b'INSf'")],
)
def test_a_faiss_index_of_another_kind_is_refused_before_faiss_reads_it(
    kind: str, expected: str, exported: Callable[..., Path], tmp_path: Path
) -> None:
    folder = exported("flat", tmp_path)
    index = faiss.index_factory(16, kind)
    index.train(vectors())
    index.add_with_ids(vectors(), np.arange(300)) if "IDMap" in kind else index.add(vectors())
    faiss.write_index(index, str(folder / "index" / "index.faiss"))
    rehash(folder)
    with pytest.raises(ArtifactError, match=expected):
        rb.load(folder)


@pytest.mark.parametrize("backend", ["hnsw", "hnswlib", "usearch"])
def test_a_link_that_leads_out_of_a_graph_is_refused(
    backend: str, exported: Callable[..., Path], tmp_path: Path
) -> None:
    """Every place of a word of the file is tried where a link may stand: none is followed to where nothing is."""
    pytest.importorskip({"hnsw": "faiss"}.get(backend, backend))
    folder = exported(backend, tmp_path, m=4)
    path = next(p for p in (folder / "index").iterdir() if p.suffix != ".json")
    whole = path.read_bytes()
    refused = 0
    places = np.random.default_rng(0).choice(len(whole) // 4, 24, replace=False) * 4
    for place in places:
        path.write_bytes(whole[:place] + (1_000_000).to_bytes(4, "little") + whole[place + 4 :])
        rehash(folder)
        try:
            rb.load(folder).search(vectors()[:2], k=3)
        except ArtifactError:
            refused += 1
    assert refused > 3  # the rest are vectors, in which such a word is a small number


def test_a_pipe_a_socket_and_a_link_are_refused_at_once(exported: Callable[..., Path], tmp_path: Path) -> None:
    for number, name in enumerate(("manifest.json", "index/params.json", "documents/ids.npy", "index")):
        folder = exported("flat", tmp_path / str(number))
        target = tmp_path / f"{number}" / "elsewhere"
        shutil.move(folder / name, target)
        if number % 2:
            os.mkfifo(folder / name)
        else:
            (folder / name).symlink_to(target)
        with pytest.raises(ArtifactError, match=r"regular file|symbolic link"):
            rb.load(folder)


def test_no_file_is_unpickled_that_an_engine_looks_for(tmp_path: Path) -> None:
    pytest.importorskip("scann")
    sys.path.insert(0, str(SCRIPTS))
    try:
        from attack_mutations import Payload
    finally:
        sys.path.remove(str(SCRIPTS))
    import pickle

    folder = rb.build("scann", vectors(), metric="l2", lists=4).save(tmp_path / "index")
    (folder / "index" / "scann_docids.pkl").write_bytes(pickle.dumps(Payload(tmp_path / "trace")))
    rehash(folder)
    assert len(rb.load(folder)) == 300
    assert not (tmp_path / "trace").exists()
    for name in ("scann_config.pb", "serialized_partitioner.pb", "ah_codebook.pb"):
        path, whole = folder / "index" / name, (folder / "index" / name).read_bytes()
        path.write_bytes(b"\x0b" + whole[1:])
        rehash(folder)
        with pytest.raises(ArtifactError, match=f"{name}: is not that of such an index"):
            rb.load(folder)
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros((3, 4), np.uint8), "holds uint8, not float32"),
        (np.zeros((4, 3), np.float32), r"has the shape \(4, 3\), not \(3, d\)"),
        (np.zeros(12, np.float32), r"has the shape \(12,\)"),
        (np.asfortranarray(np.zeros((3, 4), np.float32)), "is not an array of numbers, row by row"),
        (np.zeros((3, 4), ">f4"), "is not an array of numbers"),
        (np.array([{}], object), "is not an array of numbers"),
        (np.full((3, 4), np.nan, np.float32), "NaN"),
    ],
)
def test_an_array_of_another_form_is_refused(array: Any, expected: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(ArtifactError, match=expected):
        load_array(tmp_path / "a.npy", np.float32, (3, "d"))


def test_an_array_is_read_as_it_was_written(tmp_path: Path) -> None:
    for array in (
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.zeros((0, 3), np.float32),
        np.full((4, 1), 3, np.float32).T,
    ):
        save_array(tmp_path / "a.npy", array)
        for mapped in (False, True):
            found = load_array(tmp_path / "a.npy", None, None, mapped=mapped)
            assert np.array_equal(found, array)
            assert found.flags.c_contiguous
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes() + b"x")
    with pytest.raises(ArtifactError, match="is not as long"):
        load_array(tmp_path / "a.npy", None, None)
    save_array(tmp_path / "b.npy", np.arange(5))
    with pytest.raises(ArtifactError, match="holds 0 to 4, beyond 0 to 4"):
        load_array(tmp_path / "b.npy", np.int64, (5,), low=0, high=4)
    with pytest.raises(ArtifactError, match=r"not \(n = 4\)"):
        load_array(tmp_path / "b.npy", np.int64, ("n",), {"n": 4})


def test_texts_are_read_as_they_were_written(tmp_path: Path) -> None:
    texts = ["", "a", "é日本\U0001f600", "lone \ud800 half", ""]
    save_strings(tmp_path, "t", texts)
    found = load_strings(tmp_path, "t", 5)
    assert isinstance(found, Strings)
    assert (list(found), found[1:3], found[-1]) == (texts, texts[1:3], "")
    for joined, starts, expected in (
        (b"abc", [0, 2], "places where its texts begin"),
        (b"abc", [0, 2, 1, 3], "places where its texts begin"),
        ("é".encode(), [0, 1, 2], "begins within a character"),
        (b"\xff", [0, 1], "is not UTF-8"),
    ):
        save_array(tmp_path / "t.npy", np.frombuffer(joined, np.uint8))
        save_array(tmp_path / "t-starts.npy", np.array(starts, np.int64))
        with pytest.raises(ArtifactError, match=expected):
            load_strings(tmp_path, "t")


def test_changed_artifacts_are_refused_or_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short form of ``scripts/attack.py artifacts``."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    from attack_artifacts import WRONG, attacked

    counts = attacked(24, 1, ["hnsw", "leanvec"])
    assert {name: counts[name] for name in WRONG} == dict.fromkeys(WRONG, 0)
    assert counts["typed"] > 12


def test_trees_are_arrays_of_which_each_way_ends(tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    from retrieval_bench.rankers._trees import load_trees, plain, save_trees

    features = vectors(200, 4)
    data = lightgbm.Dataset(features, (features[:, 0] > 0).astype(int), group=[50] * 4)
    settings = {"objective": "lambdarank", "verbose": -1, "num_leaves": 7, "min_data_in_leaf": 5, "num_threads": 1}
    learned = lightgbm.train(settings, data, 5)
    booster, arrays = plain(learned, 4)
    save_trees(tmp_path, arrays)
    wanted: Any = learned.predict(features)
    for same in (booster, load_trees(tmp_path, 4)[0]):
        given: Any = same.predict(features)
        assert np.array_equal(given, wanted)
    for name, place, value, expected in (
        ("left_child", 1, 0, "each led to once|leads back"),
        ("right_child", 0, 1000, "each led to once"),
        ("split_feature", 0, 4, "beyond 0 to 4"),
        ("leaves", 0, 9, "has the shape"),
    ):
        damaged = arrays[name].copy()
        damaged[place] = value
        save_array(tmp_path / f"{name}.npy", damaged)
        with pytest.raises(ArtifactError, match=expected):
            load_trees(tmp_path, 4)
        save_array(tmp_path / f"{name}.npy", arrays[name])


def test_what_was_chosen_at_the_build_cannot_be_open_again(exported: Callable[..., Path], tmp_path: Path) -> None:
    folder = exported("ivf", tmp_path, lists=4)
    (folder / "index" / "params.json").write_text('{"lists": null}')
    rehash(folder)
    with pytest.raises(ArtifactError, match="has 4 lists, its parameters say None"):
        rb.load(folder)


def test_an_array_is_mapped_where_that_is_asked_for_and_read_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    save_array(path, np.arange(6, dtype=np.float32).reshape(2, 3))
    read, mapped = (load_array(path, np.float32, (2, None), mapped=flag) for flag in (False, True))
    assert isinstance(mapped, np.memmap)
    assert not isinstance(read, np.memmap)
    assert read.tolist() == mapped.tolist() == [[0, 1, 2], [3, 4, 5]]
    save_array(path, np.empty((0, 3), np.float32))
    assert load_array(path, np.float32, (None, 3), mapped=True).shape == (0, 3), "nothing can be mapped of it"
