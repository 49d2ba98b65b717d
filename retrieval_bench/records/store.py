"""A run's folder: what is written is complete, and is never written again."""

from __future__ import annotations

import contextlib
import fcntl
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from retrieval_bench.errors import DataError, UnknownNameError, UsageError
from retrieval_bench.files import atomic_file, write_text
from retrieval_bench.records.section import Section
from retrieval_bench.records.summary import RunSummary
from retrieval_bench.types import TrialRecord

_LOCK_SECONDS = 2.0  # for the processes of a killed run to end


class Store:
    """The records, per-query values and built indexes of one run.

    Layout: ``records/<trial>.json``, ``queries/<trial>.parquet``, ``answers/<trial>.npz``, ``builds/<build>/``,
    ``sections/<title>.json``.

    Attributes:
        lock: descriptor of the lock while it is held (see ``locked``), for processes that write here to hold as well.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock: list[int] = []

    def record_path(self, trial_id: str) -> Path:
        """Where the trial's record stands, once it is finished."""
        return self.folder / "records" / f"{trial_id}.json"

    def queries_path(self, trial_id: str) -> Path:
        """Where the trial's per-query values stand."""
        return self.folder / "queries" / f"{trial_id}.parquet"

    def answers_path(self, trial_id: str) -> Path:
        """Where the trial's judged answers to the test queries stand, in their order (rows and scores)."""
        return self.folder / "answers" / f"{trial_id}.npz"

    def build_folder(self, build_id: str) -> Path:
        """Where the built index stands that the build's trials serve."""
        return self.folder / "builds" / build_id

    def has(self, trial_id: str) -> bool:
        """Whether the trial is finished, in whatever outcome."""
        return self.record_path(trial_id).exists()

    def write(self, record: TrialRecord, values: Mapping[str, Mapping[str, npt.NDArray[np.float64]]] | None = None,
              ids: Mapping[str, Sequence[str]] | None = None,
              answers: Mapping[str, npt.NDArray[Any]] | None = None) -> None:  # fmt: skip
        """Write a finished trial: its answers and per-query values first, then the record that makes it count.

        Args:
            record: the trial.
            values: by split, by metric: one value per query, NaN where there is none.
            ids: by split, the queries' ids in the same order.
            answers: ``rows`` and ``scores`` (m, k) of the test queries, in the order in which they were judged.

        Raises:
            DataError: the trial was written before, the disk is full, or the folder is not writable.
        """
        if self.has(record.trial_id):
            raise DataError(f"{self.record_path(record.trial_id)}: a record is never written twice")
        if answers:
            with atomic_file(self.answers_path(record.trial_id)) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, rows=answers["rows"], scores=answers["scores"])
        if values and ids:
            names = sorted({name for split in values.values() for name in split})
            parts = []
            for split, columns in values.items():
                count = len(ids[split])
                parts.append(
                    pa.table(
                        {"trial_id": [record.trial_id] * count, "split": [split] * count, "query_id": list(ids[split])}
                        | {n: pa.array(columns.get(n, np.full(count, np.nan)), pa.float64()) for n in names}
                    )
                )
            with atomic_file(self.queries_path(record.trial_id)) as temporary:
                pq.write_table(pa.concat_tables(parts), temporary)
        write_text(self.record_path(record.trial_id), record.model_dump_json(indent=1) + "\n")

    def records(self, trial_ids: Sequence[str] | None = None) -> list[TrialRecord]:
        """All finished trials, oldest first, or those of the given ids in their order.

        Raises:
            DataError: a record that is not valid; names the file.
        """
        if trial_ids is not None:
            return [self._read(self.record_path(t)) for t in trial_ids if self.has(t)]
        found = [self._read(path) for path in sorted((self.folder / "records").glob("[!.]*.json"))]
        return sorted(found, key=lambda r: (r.started, r.trial_id))

    def record(self, trial_id: str) -> TrialRecord:
        """The trial of this id, or of the only id that starts so.

        Raises:
            UnknownNameError: none or several start so.
        """
        known = [path.stem for path in (self.folder / "records").glob("[!.]*.json")]
        matches = [t for t in known if t.startswith(trial_id)] if trial_id else []
        if len(matches) != 1:
            raise UnknownNameError("trial", trial_id, matches or known, where=str(self.folder))
        return self._read(self.record_path(matches[0]))

    def per_query(self, trial_id: str, split: str) -> dict[str, npt.NDArray[np.float64]]:
        """By metric, the (m,) float64 values of a split, in the order of the data set's queries."""
        path = self.queries_path(trial_id)
        if not path.exists():
            return {}
        table = pq.read_table(path, filters=[("split", "=", split)])
        skip = {"trial_id", "split", "query_id"}
        return {n: table[n].to_numpy().astype(np.float64) for n in table.column_names if n not in skip}

    def forget(self, trial_id: str) -> None:
        """Remove a trial so that it is done again: its record first, for without that the trial does not count."""
        self.record_path(trial_id).unlink(missing_ok=True)
        self.queries_path(trial_id).unlink(missing_ok=True)
        self.answers_path(trial_id).unlink(missing_ok=True)

    def write_summary(self, summary: RunSummary) -> None:
        """Write the run as a whole, in place of an earlier summary of this folder."""
        write_text(self.folder / "run.json", summary.model_dump_json(indent=1) + "\n")

    def named(self, name: str) -> TrialRecord:
        """The trial that stands for a system of the run, or that has this id or beginning of one.

        Raises:
            UsageError: there is no finished run, or the system has no result in it; says why.
            UnknownNameError: neither a system nor a trial.
        """
        summary = self.summary()
        if name in summary.chosen:
            return self.record(summary.chosen[name])
        failed = next((r for r in self.records(summary.trials) if r.system == name), None)
        if failed is not None:
            raise UsageError(f"{name} has no result in {self.folder}: {failed.outcome}: {failed.reason}")
        return self.record(name)

    def summary(self) -> RunSummary:
        """The last finished run of this folder.

        Raises:
            UsageError: there is none.
            DataError: it was written by another version, or is damaged.
        """
        path = self.folder / "run.json"
        if not path.exists():
            raise UsageError(f"{self.folder}: holds no finished run; make one with `retrieval-bench run DATASET`")
        try:
            return RunSummary.model_validate_json(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path}: cannot be read; the same `run` command writes it again") from error

    def write_section(self, section: Section) -> None:
        """Keep what a diagnostic said, in place of what it said before; the report shows it."""
        name = "-".join(re.findall(r"\w+", section.title.lower()))
        write_text(self.folder / "sections" / f"{name}.json", section.model_dump_json(indent=1) + "\n")

    def sections(self) -> list[Section]:
        """What diagnostics said of this run, by title."""
        files = sorted((self.folder / "sections").glob("[!.]*.json"))
        return [Section.model_validate_json(f.read_text(encoding="utf-8")) for f in files]

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one run, and clear what a killed run left half-written.

        A killed run's processes hold it until the last of them has ended, which is waited for.

        Raises:
            DataError: another run holds it, or it cannot be written to.
        """
        with atomic_file(self.folder / ".writable") as probe:  # a clear error before any work
            probe.write_bytes(b"")
        with (self.folder / ".lock").open("w") as lock:
            _lock(lock, self.folder)
            self.lock = [lock.fileno()]
            for part in ("records", "queries", "answers", "builds"):
                for stale in (self.folder / part).glob(".*"):
                    shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
            try:
                yield
            finally:
                self.lock = []

    def _read(self, path: Path) -> TrialRecord:
        try:
            return TrialRecord.model_validate_json(path.read_text(encoding="utf-8"))
        except ValidationError as error:
            raise DataError(f"{path}: not a valid record ({error.error_count()} problems); delete it to redo the trial"
                            ) from error  # fmt: skip


def _lock(file: IO[str], folder: Path) -> None:
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() > deadline:
                raise DataError(f"{folder}: another run is writing there; wait for it or choose --out") from error
            time.sleep(0.02)
