"""Damaged data files: a small form of ``scripts/attack.py data``."""

from __future__ import annotations

import io
import os
import signal
import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from retrieval_bench.datasets import load_dataset
from retrieval_bench.datasets._bounds import check_claim
from retrieval_bench.datasets._tried import tried
from retrieval_bench.errors import DataError, RetrievalBenchError

sys.path.append(str(Path(__file__).parents[2] / "scripts"))
from attack_data import mutants, read, samples

MUTANTS = 6  # of each sample


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return samples(tmp_path_factory.mktemp("samples"))


def test_damaged_files_are_read_or_refused_by_one_typed_line(written: dict[str, Path]) -> None:
    became: Counter[str] = Counter()
    for path in written.values():
        read(path)
        for which in mutants(path, MUTANTS, "test"):
            said = "read"
            try:
                read(path)
            except RetrievalBenchError as error:
                said = str(error)
            except Exception as error:  # noqa: BLE001 - which is what is looked for
                pytest.fail(f"{which}: {type(error).__name__}: {error}")
            assert "\n" not in said, which
            became["read" if said == "read" else "refused"] += 1
    assert min(became["read"], became["refused"]) > 30  # mutants are neither all harmless nor all hopeless


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("shape", [(1 << 34, 8), (0, 8)])
def test_arrays_that_claim_another_size_are_not_allocated(tmp_path: Path, packing: int, shape: tuple[int, int]) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(tmp_path / "a.npz", "w", packing) as archive:
        archive.writestr("corpus.npy", header.getvalue() + bytes(64))
    with pytest.raises(DataError, match=r"'corpus\.npy': is not as long as an array of float32"):
        load_dataset(str(tmp_path / "a.npz"))


def test_what_a_file_may_claim() -> None:
    check_claim(64 << 20, 0, source="x")
    check_claim(1001 << 20, 1 << 20, source="x")
    with pytest.raises(DataError, match="x: claims to hold 1,115,684,865 bytes, but only 1,048,576 are stored"):
        check_claim((1064 << 20) + 1, 1 << 20, source="x")


def _for_ever() -> None:
    while True:
        pass


def test_what_loops_or_crashes_does_so_in_a_process_of_its_own() -> None:
    assert tried(lambda: None) == tried(lambda: 1 // 0) == ""
    assert tried(_for_ever, cpu_seconds=1) == "reading it does not come to an end"
    assert tried(lambda: os.kill(os.getpid(), signal.SIGSEGV)) == "reading it crashes (SIGSEGV)"
