"""Plug-ins of other packages that are broken: one line names each, and the others go on working."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from retrieval_bench import registry
from retrieval_bench.cli import app
from retrieval_bench.errors import PluginError, RetrievalBenchError, UnavailableError

WHOLE = """
from retrieval_bench.types import Params

class Whole:
    name, metrics, BuildParams, SearchParams = "whole", frozenset({"ip"}), Params, Params
    def build(self): ...
    def search(self): ...
    def memory(self): ...
    def save(self): ...
    @classmethod
    def load(cls): ...

class Bare(Whole):
    SearchParams = None

class Empty:
    pass

def function(): ...
"""
ENTRIES = {
    "whole": "broken_plugins:Whole",
    "absent": "broken_plugins.nowhere:Whole",
    "gone": "plugins_gone:Whole",
    "nameless": "broken_plugins:Nothing",
    "failing": "broken_plugins.failing:Whole",
    "lacking": "broken_plugins.lacking:Whole",
    "bare": "broken_plugins:Bare",
    "empty": "broken_plugins:Empty",
    "function": "broken_plugins:function",
    "garbled": "broken plugins",
}


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The entries above, found as they are after an installation: by metadata on the path."""
    metadata, package = tmp_path / "broken_plugins-0.1.0.dist-info", tmp_path / "broken_plugins"
    metadata.mkdir()
    package.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugins\nVersion: 0.1.0\n")
    lines = [f"{name} = {place}" for name, place in ENTRIES.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[retrieval_bench.indexes]", *lines]))
    (package / "__init__.py").write_text(WHOLE)
    (package / "failing.py").write_text("raise RuntimeError('no such\\nlicence')")
    (package / "lacking.py").write_text("import package_that_nobody_has")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ENTRIES:  # and not those of ours that were imported meanwhile, which register only once
        registry.indexes._found.pop(name, None)


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("absent", PluginError, "cannot be loaded (ModuleNotFoundError: No module named 'broken_plugins.nowhere')"),
        ("gone", PluginError, "cannot be loaded (ModuleNotFoundError: No module named 'plugins_gone')"),
        ("nameless", PluginError, "cannot be loaded (AttributeError: "),
        ("failing", PluginError, "cannot be loaded (RuntimeError: no such licence); mend or uninstall the package"),
        ("lacking", UnavailableError, "needs the package 'package_that_nobody_has', which is not installed"),
        ("bare", PluginError, "has a SearchParams that is no subclass of Params"),
        ("empty", PluginError, "lacks name, BuildParams, SearchParams, metrics, build, search, memory, save, load"),
        ("function", PluginError, "is no class but of the type function"),
        ("garbled", PluginError, "is not of the form module:class"),
    ],
)
def test_a_broken_plugin_is_named_with_its_entry_point_and_what_it_lacks(
    name: str, error: type[RetrievalBenchError], said: str
) -> None:
    for _ in range(2):  # nothing of it is kept that a second call would take for whole
        with pytest.raises(error) as caught:
            registry.indexes.get(name)
        assert str(caught.value).startswith(f"backend {name!r} (entry point {ENTRIES[name]!r}) {said}")
        assert "\n" not in str(caught.value)


def test_what_is_registered_is_held_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.rankers, "_found", {})
    registry.rankers.register("empty")(type("Empty", (), {"name": "empty"}))
    with pytest.raises(PluginError, match="ranker 'empty' lacks BuildParams, build, rank, memory, save, load; see"):
        registry.rankers.get("empty")


def test_lists_and_doctor_name_the_broken_and_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    shown = CliRunner().invoke(app, ["indexes"])
    assert shown.exit_code == 0, shown.exception
    said = CliRunner().invoke(app, ["doctor"])
    assert said.exit_code == 0, said.exception
    for output in (shown.output, said.output):
        flat = " ".join(output.replace("│", " ").split())
        for name in ("absent", "nameless", "failing", "empty", "function", "garbled"):
            assert f"backend {name!r}" in flat
    assert "Plug-in whole (backend, broken_plugins:Whole): ready" in said.output
    assert "flat" in shown.output
