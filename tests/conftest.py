"""Fixtures for all tests: nothing is written outside the test's own folder, and no model hub is asked."""

import os
import shutil
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.pop("COLUMNS", None)  # xdist gives its workers the width of a terminal; tables then break their lines
if shutil.which("nvidia-smi") is None:  # read when Triton is imported: its kernels then run in an interpreter
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture
def data_folder() -> Path:
    """The folder of real collections, or a skip that says why."""
    folder = os.environ.get("RETRIEVAL_BENCH_DATA")
    if not folder:
        pytest.skip("RETRIEVAL_BENCH_DATA is not set: no real collections here")
    return Path(folder)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the native kernels are kept, which takes seconds to compile."""
    return tmp_path_factory.mktemp("native")


@pytest.fixture(autouse=True)
def home_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, compiled: Path) -> Path:
    """A home folder of the suite for each test, empty but for the compiled kernels."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "native").symlink_to(compiled)
    monkeypatch.setenv("RETRIEVAL_BENCH_HOME", str(folder))
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An encoder small enough to train in seconds."""
    from made_up_training import tiny_encoder  # here: most tests need no torch

    return str(tiny_encoder(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A collection that it learns in seconds."""
    from made_up_training import toy_collection

    return str(toy_collection(tmp_path_factory.mktemp("data") / "toy"))
