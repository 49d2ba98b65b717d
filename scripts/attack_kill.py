"""A run killed at random times: what is left of its processes, what is damaged, and whether the next call goes on.

A small run (two indexes of two settings each, then both in turns) is killed by SIGKILL and called again in the same
folder, until a call gets to its end; then a new folder is begun. After every kill what was finished must be whole, and
must stay as it is to the last byte.
"""

import json
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq

import retrieval_bench as rb
from retrieval_bench.errors import RetrievalBenchError
from retrieval_bench.measure.clock import Effort
from retrieval_bench.records import Store
from retrieval_bench.runner import finals
from retrieval_bench.runner.job import BuildFacts

MARK = "RETRIEVAL_BENCH_ATTACK"  # in the environment of all processes of a run, which are found by it
GRACE = 5.0  # seconds after which none of them may be left
QUICK = Effort(minimum=2, seconds=0.05, concurrent_seconds=0.02)
WRONG = ("left", "damaged", "changed", "failed")
CARD = """
name = "{name}"
summary = "one of two"
kind = "index"
backend = "ivf"
[build]
lists = 4
[search]
nprobe = [1, 4]
"""


def kill(times: int = 200, seed: int = 0) -> None:
    """Kill a small run so often; exit status 1 where anything was left, damaged or lost."""
    with tempfile.TemporaryDirectory(prefix="attack-kill-") as folder:
        counts = killed(Path(folder), times, seed)
    print(json.dumps(counts, indent=1))
    raise SystemExit(any(counts[name] for name in WRONG))


def killed(folder: Path, times: int, seed: int) -> dict[str, int]:
    """Kill so often.

    Returns:
        Counts: ``kills``, also by what the run was at; runs that went on and ``finished``; and what is wrong: processes
        ``left`` after GRACE, files ``damaged``, or ``changed`` by a later call, and runs that ``failed``.
    """
    rng, counts = random.Random(seed), Counter(dict.fromkeys(("kills", *WRONG), 0))  # noqa: S311
    np.save(folder / "v.npy", np.random.default_rng(seed).normal(size=(300, 8)).astype(np.float32))
    for name in ("one", "two"):  # alike, so that both are finalists
        (folder / f"{name}.toml").write_text(CARD.format(name=name))
    out, longest, whole = folder / "out", 0.0, dict[Path, bytes]()
    while counts["kills"] < times:
        run, begun = _start(folder), time.monotonic()
        # The first shows how long a run takes; more are killed early, for later calls go on from there.
        until = begun + longest * rng.random() * rng.random() if longest else float("inf")
        while (ended := os.waitpid(run, os.WNOHANG))[0] == 0 and time.monotonic() < until:
            time.sleep(0.005)
        if ended[0] == 0:
            counts.update(["kills", f"kills {_at(out)}"])
            os.kill(run, signal.SIGKILL)
            os.waitpid(run, 0)
        else:
            longest = max(longest, time.monotonic() - begun)
            counts.update(["finished"] if ended[1] == 0 else ["failed"])
        counts["left"] += _left(folder)
        counts["damaged"] += _damaged(out)
        counts["changed"] += sum(not file.exists() or file.read_bytes() != held for file, held in whole.items())
        whole = {f: f.read_bytes() for part in ("records", "queries") for f in (out / part).glob("[!.]*")}
        if ended[0]:
            counts["damaged"] += len(whole) != 8  # a record and a table for each setting
            shutil.rmtree(out)
            whole = {}
    return dict(counts)


def _start(folder: Path) -> int:
    run = os.fork()
    if run:
        return run
    os.environ.update({MARK: str(folder), "RETRIEVAL_BENCH_HOME": str(folder / "home")})
    try:
        cards = [str(folder / f"{name}.toml") for name in ("one", "two")]
        finals.NEAR = 1e9  # however fast a busy machine lets them seem
        rb.run(str(folder / "v.npy"), indexes=cards, budget=rb.Budget(threads=1), effort=QUICK, out=folder / "out")
        os._exit(0)
    finally:
        os._exit(1)


def _at(out: Path) -> str:
    """What a run was at."""
    done, built = (len(list((out / part).glob("[!.]*"))) for part in ("records", "builds"))
    if done == 4:
        return "in turns"
    return f"while {'serving' if done or built else 'starting and building'}"


def _left(folder: Path) -> int:
    """Processes of a run that there are still after GRACE."""
    deadline = time.monotonic() + GRACE
    while (left := sum(_of(process, folder) for process in psutil.process_iter())) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def _of(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.pid != os.getpid() and process.environ().get(MARK) == str(folder)
    except psutil.Error:  # it has ended, or is another user's
        return False


def _damaged(out: Path) -> int:
    """Records, tables, builds and summaries that cannot be read."""
    store, wrong = Store(out), 0
    for path in (out / "records").glob("[!.]*.json"):
        try:
            record = store.record(path.stem)
            wrong += record.outcome != "ok" or pq.read_table(store.queries_path(path.stem)).num_rows == 0
        except (RetrievalBenchError, OSError, ValueError):
            wrong += 1
    for path in (out / "builds").glob("[!.]*"):
        try:
            facts = BuildFacts.model_validate_json((path / "build.json").read_text(encoding="utf-8"))
            wrong += facts.saved_bytes != sum(f.stat().st_size for f in (path / "index").iterdir())
        except (OSError, ValueError):
            wrong += 1
    if (out / "run.json").exists():
        try:
            store.summary()
        except RetrievalBenchError:
            wrong += 1
    return wrong
