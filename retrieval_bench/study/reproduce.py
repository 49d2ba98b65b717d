"""Published figures, reached again through the ordinary run: what shows that the suite measures what others measure."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import Field

from retrieval_bench.datasets import local_copy
from retrieval_bench.errors import RetrievalBenchError, UnavailableError, UnknownNameError
from retrieval_bench.files import home
from retrieval_bench.measure.clock import Effort
from retrieval_bench.runner.execute import OnEvent
from retrieval_bench.runner.run import Run, run
from retrieval_bench.specs import validated
from retrieval_bench.types import Frozen

DIGITS = 4  # of the published figures
_QUICK = Effort(seconds=0.1, minimum=2, concurrent_seconds=0.05)  # the figures do not depend on the speed


class Reference(Frozen):
    """One published figure."""

    system: str
    metric: str
    value: float
    source: str


class ReferenceSet(Frozen):
    """The published figures of one data set, and systems to set beside them."""

    dataset: str
    references: tuple[Reference, ...]
    depth: int = Field(100, description="documents per query")
    beside: tuple[str, ...] = ()


class _File(Frozen):
    set: tuple[ReferenceSet, ...]


class Reached(Frozen):
    """What came of one figure.

    Attributes:
        value: published; of the same metric of another system where the system itself has none.
        found: by our run, or None.
        problem: why there is no figure.
        published: whether the value is the system's own, so that it must be reached.
        absent: whether the data set is not on this machine, so that nothing was tried.
        notes: what is not in the data as its files have it, a line each.
    """

    dataset: str
    system: str
    metric: str
    value: float
    found: float | None
    problem: str = ""
    source: str = ""
    published: bool = True
    absent: bool = False
    notes: tuple[str, ...] = ()

    @property
    def missed(self) -> bool:
        """Whether a published figure was tried for and not reached, be it that its system failed."""
        return self.published and not self.absent and self.verdict != "OK"

    @property
    def difference(self) -> float | None:
        """Found minus published, both to the published digits; 0 is what must be."""
        return None if self.found is None else round(round(self.found, DIGITS) - self.value, DIGITS)

    @property
    def verdict(self) -> str:
        """``OK``, the difference, or why there is none."""
        if self.difference is None:
            return self.problem
        if self.published and self.difference == 0:
            return "OK"
        return f"{self.difference:+.{DIGITS}f}"


def reference_sets() -> dict[str, ReferenceSet]:
    """All published figures that are known here, by data set."""
    path = Path(__file__).with_name("references.toml")
    held = validated(_File, tomllib.loads(path.read_text(encoding="utf-8")), where=path.name)
    return {each.dataset: each for each in held.set}


def reproduce(datasets: Sequence[str] = (), *, on_event: OnEvent | None = None) -> Iterator[Reached]:
    """Run the systems of published figures and compare.

    Args:
        datasets: names of data sets with known figures; none means all.
        on_event: told of the progress of each run.

    Yields:
        Each figure as soon as its data set is done. A data set that is not here or cannot be used, or a system that
        cannot run, is a problem of its figures, not an error.

    Raises:
        UnknownNameError: there are no figures of such a data set; known before any work.
    """
    known = reference_sets()
    for name in datasets:
        if name not in known:
            raise UnknownNameError("data set with published figures", name, known)
    for name in datasets or known:
        yield from _reproduced(known[name], on_event)


def _reproduced(wanted: ReferenceSet, on_event: OnEvent | None) -> Iterator[Reached]:
    systems = list(dict.fromkeys([*(r.system for r in wanted.references), *wanted.beside]))
    done: Run | None = None
    problem, absent = "", True
    try:
        local_copy(wanted.dataset)
        absent = False
        done = run(
            wanted.dataset,
            rankers=systems,
            depth=wanted.depth,
            effort=_QUICK,
            out=home() / "results" / "reproduce" / wanted.dataset.replace("/", "-"),
            retry=True,
            command=f"retrieval-bench reproduce {wanted.dataset}",
            compare_speeds=False,
            on_event=on_event,
        )
    except RetrievalBenchError as error:
        absent = absent and isinstance(error, UnavailableError)
        problem = str(error)
    published = {(r.system, r.metric) for r in wanted.references}
    first = {r.metric: r for r in reversed(wanted.references)}  # of systems that share a metric, the first
    beside = [r.model_copy(update={"system": s, "source": ""}) for s in wanted.beside for r in first.values()]
    for reference in [*wanted.references, *(beside if done else ())]:
        found, why = _found(done, reference) if done else (None, problem)
        yield Reached(
            dataset=wanted.dataset,
            system=reference.system,
            metric=reference.metric,
            value=reference.value,
            found=found,
            problem=why,
            source=reference.source,
            published=(reference.system, reference.metric) in published,
            absent=absent,
            notes=done.summary.notes if done else (),
        )


def _found(done: Run, reference: Reference) -> tuple[float | None, str]:
    record = next(r for r in done.records if r.system == reference.system)
    found = record.value(reference.metric)
    return found, "" if found is not None else f"{record.system}: {record.outcome}: {record.reason or 'not measured'}"
