"""Ids of trials: what is measured already is taken up only where it would come out the same."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import retrieval_bench
from retrieval_bench import registry
from retrieval_bench.kernels import _native, kernel
from retrieval_bench.measure.clock import Effort
from retrieval_bench.runner.job import BuildPlan
from retrieval_bench.runner.plan import plan_builds
from retrieval_bench.specs import SystemCard, system_card
from retrieval_bench.types import Budget


def planned(card: SystemCard | None = None, **changed: Any) -> BuildPlan:
    asked: dict[str, Any] = {
        "fingerprint": "f", "dataset_folder": Path("data"), "out": Path("out"), "budget": Budget(), "threads": 1,
        "seed": 0, "depth": 10, "effort": Effort(), "encoder": None,
    } | changed  # fmt: skip
    (plan,) = plan_builds([card or system_card("flat", "index")], **asked)
    return plan


def test_the_same_is_taken_up() -> None:
    assert planned() == planned()


@pytest.mark.parametrize(
    "changed", [{"seed": 1}, {"threads": 2}, {"fingerprint": "g"}, {"budget": Budget(peak_bytes=10**9)}], ids=str
)
def test_what_changes_an_index_is_built_anew(changed: dict[str, Any]) -> None:
    assert planned(**changed).build_id != planned().build_id


@pytest.mark.parametrize("changed", [{"depth": 5}, {"effort": Effort(seconds=9.0)}, {"splits": ("tune",)}], ids=str)
def test_what_changes_only_measuring_serves_the_same_index(changed: dict[str, Any]) -> None:
    here, there = planned(), planned(**changed)
    assert here.build_id == there.build_id
    assert here.trials[0].trial_id != there.trials[0].trial_id


def test_another_processor_is_measured_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    here = planned()
    monkeypatch.setattr("retrieval_bench.runner.plan.machine", lambda: {"cpu": "another", "gpu": ""})
    assert planned().build_id == here.build_id
    assert planned().trials[0].trial_id != here.trials[0].trial_id


def test_another_version_of_an_engine_is_built_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    here = planned()
    monkeypatch.setattr("retrieval_bench.runner.plan.libraries", lambda: {"faiss-cpu": "9"})
    assert planned().build_id != here.build_id


def test_a_changed_plug_in_is_built_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "made_up_plug_in"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "helper.py").write_text("FACTOR = 1\n")
    (package / "backend.py").write_text(
        "from retrieval_bench.indexes.flat import Flat\n\n\nclass Mine(Flat):\n    name = 'mine'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    mine = importlib.import_module("made_up_plug_in.backend").Mine
    monkeypatch.setitem(registry.indexes._found, "mine", mine)
    monkeypatch.delitem(sys.modules, "made_up_plug_in.helper", raising=False)
    card = SystemCard(name="mine", kind="index", backend="mine", summary="")
    before = planned(card).build_id
    assert planned(card).build_id == before
    (package / "helper.py").write_text("FACTOR = 2\n")
    assert planned(card).build_id != before


@pytest.mark.parametrize("source", ["kernels/scan.c", "kernels/select.h", "codecs/lvq.py", "indexes/_reduced.py"])
def test_a_changed_source_of_this_package_is_built_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    before = planned()
    copy = tmp_path / "copy"
    shutil.copytree(Path(retrieval_bench.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__", "*.html"))
    monkeypatch.setattr(retrieval_bench, "__path__", [str(copy)])
    assert planned() == before, "by what the files hold, wherever they stand"
    with (copy / source).open("a") as file:
        file.write("\n")
    assert planned().build_id != before.build_id
    assert planned().trials[0].trial_id != before.trials[0].trial_id


def test_numpy_in_place_of_the_compiled_kernels_is_built_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    if _native.library() is None:
        pytest.skip("no compiled kernels here")
    compiled, variants = planned(), 2 if "AVX" in kernel() else 1
    monkeypatch.setattr(_native, "best_variant", lambda: 0)
    portable = planned()
    monkeypatch.setattr(_native, "library", lambda: None)
    assert len({plan.build_id for plan in (compiled, portable, planned())}) == variants + 1
