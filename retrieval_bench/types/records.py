"""Parameters, budgets and records: validated, immutable, read and written as JSON."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Direction = Literal["higher", "lower", "neither"]
Outcome = Literal["ok", "over_budget", "crashed", "timed_out", "refused"]


class Frozen(BaseModel):
    """Base of all validated records: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class EncoderInfo(Frozen):
    """An encoder: the name that it was asked for by, and the hash of its weights and settings."""

    name: str
    revision: str


class Params(Frozen):
    """Base of build and search parameters of a backend.

    Fields carry their range (``Field(ge=, le=)``) and a ``description``; cards, the tuner and the docs
    all read them from here. A field that is None is chosen by the backend from the data and the budget.
    A field that names a file is a ``Path``, so that a run builds anew when the file's content changes.
    """


Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Budget(Frozen):
    """What every system of a comparison may use. None means unlimited.

    Memory counts all that is needed to answer a query: codes, ids, graphs, codebooks, projections and
    original vectors kept for re-ranking.
    """

    bytes_per_vector: Positive | None = Field(default=None, description="analytic index bytes / n")
    index_bytes: Count | None = Field(default=None, description="analytic index bytes in all")
    peak_bytes: Count | None = Field(default=None, description="private host memory of the trial's process at any time")
    device_bytes: Count | None = Field(default=None, description="peak memory on the GPU")
    build_seconds: Positive | None = Field(default=None, description="wall time of the build")
    latency_ms: Positive | None = Field(default=None, description="single-query latency at latency_percentile")
    latency_percentile: float = Field(default=95.0, gt=0, lt=100)
    scorer_calls: Count | None = Field(default=None, description="scorer calls per query")
    build_scorer_calls: Count | None = Field(default=None, description="scorer calls of the build")
    tuning_trials: Count | None = Field(default=None, description="settings tried per system")
    tuning_seconds: Positive | None = Field(default=None, description="wall time of trying settings, per system")
    threads: Count | None = Field(default=None, description="threads of the engine; None is one per core")


class MemoryReport(Frozen):
    """Analytic bytes of an index by part, e.g. ``{"codes": 409600, "centroids": 65536}``."""

    parts: dict[str, int]

    @property
    def total(self) -> int:
        """Bytes in all."""
        return sum(self.parts.values())


class Measurement(Frozen):
    """One measured quantity with its uncertainty.

    ``value`` is the ``statistic``: median of repeats, mean over queries, a percentile, an exact count, or what was
    measured once. ``low``..``high`` is its 95 % interval, None where one sample says nothing of others, and ``spread``
    the interquartile range of the samples; ``n`` counts them. ``samples`` holds the repeats; per-query values stand in
    the trial's Parquet file instead.
    """

    name: str
    unit: str
    direction: Direction
    statistic: Literal["median", "mean", "percentile", "exact", "once"]
    value: float
    low: float | None
    high: float | None
    spread: float = 0.0
    n: int = 1
    samples: tuple[float, ...] = ()


QUIET = 0.05  # most of the processors' time that may go elsewhere while something is timed


class Contention(Frozen):
    """What else the machine did while something was timed; a figure is None where the system does not tell it."""

    seconds: float = Field(description="wall time of the window")
    others: float | None = Field(description="share of the time of the processors timed on that other processes took")
    stolen: float | None = Field(description="share that a hypervisor gave to other machines")
    switches: float = Field(description="involuntary context switches of the process, per second")
    throttled: float | None = Field(description="seconds that the control group was held back for its limit")
    mhz: float | None = Field(default=None, description="clock rate of the slowest processor, at the end")

    @property
    def taken(self) -> float:
        """Share of the processors' time that was not to be had, as far as it is known."""
        return min(1.0, (self.others or 0.0) + (self.stolen or 0.0) + (self.throttled or 0.0) / self.seconds)

    @property
    def quiet(self) -> bool:
        """Whether next to nothing was taken."""
        return self.taken <= QUIET

    @property
    def said(self) -> str:
        """In words, what was taken; empty where nothing was."""
        shares = {"other processes": self.others, "other machines": self.stolen}
        parts = [f"{who} took {share:.0%}" for who, share in shares.items() if share and share > QUIET / 2]
        if self.throttled:
            parts.append(f"its limit of time held it back for {self.throttled:.2g} of {self.seconds:.2g} s")
        return ", ".join(parts)


class TrialRecord(Frozen):
    """Everything about one trial: one built system at one search setting. Immutable once written."""

    schema_version: Literal[1] = 1
    trial_id: str
    build_id: str
    dataset: str
    dataset_fingerprint: str
    documents: int
    held_out: int = Field(
        default=0, description="rows of the data that are not among the documents since they were to ask with"
    )
    dimensions: int
    queries: int
    depth: int = Field(description="k of the timed searches")
    system: str = Field(description="name of the card")
    kind: Literal["index", "ranker"]
    backend: str
    card_hash: str
    build_params: dict[str, Any]
    search_params: dict[str, Any]
    seed: int
    budget: Budget
    outcome: Outcome
    reason: str = ""
    measurements: tuple[Measurement, ...] = ()
    memory_parts: dict[str, int] = Field(default_factory=dict)
    contention: dict[str, Contention] = Field(
        default_factory=dict, description="what else the machine did while it was timed, by what was timed"
    )
    notes: tuple[str, ...] = ()
    started: str
    seconds: float = Field(description="wall time of the trial, its share of the build not counted")
    code: dict[str, str]
    machine: dict[str, str]
    libraries: dict[str, str]

    def measurement(self, name: str) -> Measurement | None:
        """The measurement of this full name, or None."""
        return next((m for m in self.measurements if m.name == name), None)

    def value(self, name: str) -> float | None:
        """The value of the measurement of this full name, or None."""
        found = self.measurement(name)
        return None if found is None else found.value
