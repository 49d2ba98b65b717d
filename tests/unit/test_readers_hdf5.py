"""HDF5 files: bits as bits, metrics by the names they have, neighbors left out said, nothing read from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
from made_up_files import gaussian

from retrieval_bench.datasets import exact_neighbors, load_dataset, notes_of
from retrieval_bench.errors import DataError
from retrieval_bench.types import Metric

CORPUS, ASKED = gaussian(60, 8), gaussian(12, 8, seed=1)
BITS = np.random.default_rng(3).integers(0, 2, (80, 64)).astype(np.uint8)


def write(path: Path, attributes: dict[str, Any], **arrays: npt.NDArray[Any]) -> str:
    with h5py.File(path, "w") as file:
        file.attrs.update(attributes)
        for name, array in arrays.items():
            file[name] = array
    return str(path)


@pytest.mark.parametrize(
    ("distance", "metric"),
    [
        ("l2", "l2"), ("L2", "l2"), ("Euclidean", "l2"), ("sqeuclidean", "l2"), ("inner_product", "ip"), ("IP", "ip"),
        ("Inner Product", "ip"), ("dot", "ip"), ("mips", "ip"), ("cos", "cos"), ("COSINE", "cos"), ("angular", "cos"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["distance", "metric"])
def test_metrics_by_the_names_they_have(tmp_path: Path, distance: str, metric: Metric, key: str) -> None:
    near = exact_neighbors(CORPUS, ASKED, 5, metric).rows
    data = load_dataset(write(tmp_path / "a.hdf5", {key: distance}, train=CORPUS, test=ASKED, neighbors=near))
    assert (data.metric, notes_of(data)) == (metric, ())
    assert np.array_equal(data.neighbors["test"].rows, near)


@pytest.mark.parametrize("word", ["chebyshev", "jaccardian", "l1", "42"])
def test_other_metrics_are_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(DataError, match=rf"unknown distance '{word}'; known: ip .*, l2 .*, cos .*; hamming, on bits"):
        load_dataset(write(tmp_path / "a.hdf5", {"distance": word}, train=CORPUS, test=ASKED))


PACKED = np.packbits(BITS, axis=1)


@pytest.mark.parametrize("rows", [BITS, BITS.astype(bool), BITS.astype(np.float32), PACKED, PACKED.view(np.int8),
                                  PACKED.view("<u4"), PACKED.view("<i8")])  # fmt: skip
@pytest.mark.parametrize("key", ["dimension", "dims"])
def test_hamming_distance_counts_bits_however_they_lie(tmp_path: Path, rows: npt.NDArray[Any], key: str) -> None:
    differ = (BITS[70:, None, :] != BITS[None, :70]).sum(axis=2)
    near = np.argsort(differ, axis=1, kind="stable")[:, :5]
    path = write(tmp_path / "a.hdf5", {"distance": "Hamming", key: 64}, train=rows[:70], test=rows[70:], neighbors=near)
    data = load_dataset(path)
    assert (data.metric, data.corpus.dim) == ("l2", 64)
    assert np.array_equal(-data.neighbors["test"].scores, np.take_along_axis(differ, near, axis=1))


@pytest.mark.parametrize(
    ("rows", "stated", "said"),
    [
        (PACKED, {}, "holds other values than 0 and 1.*attribute 'dimension' = number of bits"),
        (PACKED.view("<u8"), {}, "holds other values than 0 and 1"),
        (PACKED.view("<u4"), {"dimension": 60}, "says 60 dimensions, but 'train' holds 64 bits"),
        (PACKED, {"dimension": 8}, "holds other values than 0 and 1"),
        (PACKED, {"dimension": 32}, "says 32 dimensions, but 'train' holds 64 bits"),
        (CORPUS, {"dimension": 256}, "holds float32, packed bits are integers"),
        (CORPUS, {}, "holds other values than 0 and 1"),
        (BITS, {"dimension": "many"}, "not a whole number"),
    ],
)
def test_what_may_be_packed_bits_is_never_taken_for_numbers(
    tmp_path: Path, rows: npt.NDArray[Any], stated: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        load_dataset(write(tmp_path / "a.hdf5", {"distance": "hamming", **stated}, train=rows[:40], test=rows[40:]))


def test_neighbors_that_are_left_out_are_said(tmp_path: Path) -> None:
    near = exact_neighbors(CORPUS, ASKED, 5, "ip").rows
    silent = load_dataset(write(tmp_path / "a.hdf5", {}, train=CORPUS, test=ASKED, neighbors=near))
    assert "computed anew: it does not say by which distance" in notes_of(silent)[0]
    other = write(tmp_path / "b.hdf5", {"distance": "dot"}, train=CORPUS, test=ASKED, neighbors=near)
    chosen = load_dataset(other, metric="cosine")
    assert (chosen.metric, dict(chosen.neighbors)) == ("cos", {})
    assert "computed anew: they were found by dot, and cos is asked for" in notes_of(chosen)[0]


def _external_link(file: h5py.File, _folder: Path) -> None:
    file["train"] = h5py.ExternalLink("other.hdf5", "train")


def _soft_link(file: h5py.File, _folder: Path) -> None:
    file["out"] = h5py.ExternalLink("other.hdf5", "/")
    file["train"] = h5py.SoftLink("/out/train")


def _external_storage(file: h5py.File, folder: Path) -> None:
    CORPUS.tofile(folder / "raw.bin")
    file.create_dataset("train", CORPUS.shape, "<f4", external=[(str(folder / "raw.bin"), 0, h5py.h5f.UNLIMITED)])


def _virtual(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout(CORPUS.shape, "<f4")
    layout[:] = h5py.VirtualSource(str(folder / "other.hdf5"), "train", CORPUS.shape)
    file.create_virtual_dataset("train", layout)


@pytest.mark.parametrize("lay", [_external_link, _soft_link, _external_storage, _virtual])
def test_nothing_is_read_from_another_file(tmp_path: Path, lay: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "other.hdf5", {"distance": "l2"}, train=CORPUS + 1)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["test"] = ASKED
        lay(file, tmp_path)
    with pytest.raises(DataError, match="'train' is a link, or leads to another file; copy the values"):
        load_dataset("a.hdf5")


def test_more_than_a_file_can_hold_is_not_allocated(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset("train", (1 << 32, 8), "<f4", chunks=(1024, 8))  # 128 GiB, none of them written
    with pytest.raises(DataError, match="claims to hold 137,438,953,472 bytes, but only 0 are stored"):
        load_dataset(str(tmp_path / "a.hdf5"))
