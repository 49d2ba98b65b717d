"""What the lists and the doctor print."""

import pytest
from typer.testing import CliRunner

from retrieval_bench import registry
from retrieval_bench.cli import app
from retrieval_bench.errors import UnavailableError


@pytest.mark.parametrize("command", ["datasets", "rankers", "doctor"])
def test_the_extra_to_install_is_shown_and_not_taken_for_markup(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> object:
        raise UnavailableError(f"{name} is absent: pip install 'retrieval-bench[bm25]'")

    monkeypatch.setattr(registry.rankers, "get", absent)
    for place in ("listing", "doctor"):
        monkeypatch.setattr(f"retrieval_bench.cli.{place}.find_spec", lambda _: None)
    shown = CliRunner().invoke(app, [command])
    assert shown.exit_code == 0, shown.exception
    assert "'retrieval-bench[" in shown.output
