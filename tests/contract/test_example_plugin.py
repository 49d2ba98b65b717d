"""A backend that lives in a package of its own is found by its entry point, and passes the same contract."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from retrieval_bench.contract import IndexSubject, checks
from retrieval_bench.protocols import Index
from retrieval_bench.registry import Registry
from retrieval_bench.specs import params, system_card

PACKAGE = Path(__file__).parents[1] / "example_plugin"
CARD = PACKAGE / "signed_projection" / "signed_projection.toml"


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> IndexSubject:
    """The backend, found as it is after an installation: by metadata on the path."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    installed = tmp_path_factory.mktemp("site")
    metadata = installed / "signed_projection-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1.0\n")
    lines = [f"{name} = {place}" for name, place in project["entry-points"]["retrieval_bench.indexes"].items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[retrieval_bench.indexes]", *lines]))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(installed)
        patch.syspath_prepend(PACKAGE)
        fresh: Registry[type[Index]] = Registry("backend", "retrieval_bench.indexes", "retrieval_bench.indexes")
        assert "signed_projection" in fresh.names()
        backend = fresh.get("signed_projection")
    return IndexSubject(backend, tuple(system_card(str(CARD), "index").settings()))


@pytest.mark.parametrize("check", checks("index"), ids=lambda check: check.__name__)
def test_contract(subject: IndexSubject, check: Callable[[IndexSubject], None]) -> None:
    check(subject)


def test_its_card_is_valid(subject: IndexSubject) -> None:
    card = system_card(str(CARD), "index")
    params(subject.factory.BuildParams, card.build, where=card.name)
    for setting in card.settings():
        params(subject.factory.SearchParams, setting, where=card.name)
