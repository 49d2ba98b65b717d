"""A build is told apart by the content of the files that its parameters name."""

from pathlib import Path

import numpy as np

from retrieval_bench.measure.clock import Effort
from retrieval_bench.runner.plan import plan_builds
from retrieval_bench.specs import system_card
from retrieval_bench.tournament.play import _card
from retrieval_bench.types import Budget


def build_id(folder: Path, traffic: Path | None) -> str:
    (plan,) = plan_builds(
        [system_card(str(_card(folder / "cards", "mixed", traffic)))], fingerprint="f", dataset_folder=folder,
        out=folder, budget=Budget(), threads=1, seed=0, depth=10, effort=Effort(), encoder=None,
    )  # fmt: skip
    assert plan.build["traffic"] == (None if traffic is None else str(traffic))
    return plan.build_id


def test_traffic_that_changes_is_measured_anew_and_the_same_elsewhere_is_not(tmp_path: Path) -> None:
    path, copy = tmp_path / "traffic.npy", tmp_path / "copy.npy"
    np.save(path, [1.0, 2.0])
    np.save(copy, [1.0, 2.0])
    before = build_id(tmp_path, path)
    assert before == build_id(tmp_path, path) == build_id(tmp_path, copy) != build_id(tmp_path, None)
    np.save(path, [1.0, 3.0])
    assert build_id(tmp_path, path) not in (before, build_id(tmp_path, copy))
