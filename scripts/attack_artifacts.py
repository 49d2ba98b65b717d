"""Exported indexes, each changed in one way, loaded and asked: what is not refused with a typed error is counted.

Every change is made in a copy, whose manifest is made right for it, as whoever made the change could. A child loads it
and searches, forked from a process that has the engines already; the parent sees how it ended and how much memory it
took. Where strace is installed, the files that were opened are looked through too.
"""

import contextlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from attack_mutations import mutated

import retrieval_bench as rb
from retrieval_bench.errors import RetrievalBenchError, UnavailableError
from retrieval_bench.threads import limited

OK, TYPED, UNTYPED = 0, 10, 11
WRONG = ("untyped", "signal", "hung", "large", "outside")
ALLOWED = 24 << 20  # bytes that a load may take beside twice the folder: the engines' own
SECONDS = 60
SOURCES: dict[str, tuple[str, dict[str, Any]]] = {
    "flat": ("flat", {}),
    "ivf": ("ivf", {"lists": 8}),
    "ivf_sparse": ("ivf", {"lists": 200}),
    "hnsw": ("hnsw", {"m": 4}),
    "ivf_pq": ("ivf_pq", {"lists": 4, "bits": 4, "refine": "int8"}),
    "ivf_pq8": ("ivf_pq", {"lists": 4, "bits": 8, "refine": "none"}),
    "ivf_opq": ("ivf_opq", {"lists": 4, "bits": 4, "refine": "fp16"}),
    "rabitq": ("rabitq", {"lists": 4}),
    "leanvec": ("leanvec", {}),
    "leanvec_ivf": ("leanvec_ivf", {"lists": 4}),
    "coded": ("coded", {"codec": "lvq"}),
    "coded_pq": ("coded_ivf", {"codec": "pq", "lists": 4, "bytes": 40}),
    "torch_flat": ("torch_flat", {"precision": "int8"}),
    "torch_ivf": ("torch_ivf", {"lists": 4}),
    "adanns_ivf": ("adanns_ivf", {}),
    "adanns_opq": ("adanns_opq", {"refine": "int8"}),
    "adanns_ivf_opq": ("adanns_ivf_opq", {"lists": 4}),
    "adanns_hnsw": ("adanns_hnsw", {}),
    "hnswlib": ("hnswlib", {"m": 4}),
    "usearch": ("usearch", {"m": 4}),
    "scann": ("scann", {"lists": 8, "refine": "int8"}),
    "bm25": ("bm25", {}),
    "bm25plus": ("bm25", {"method": "bm25+"}),
    "dense": ("dense", {}),
    "hybrid": ("hybrid", {}),
}
WORDS = ("open", "read", "parse", "sort", "file", "date", "list", "socket", "line", "tree", "graph", "node")


def artifacts(count: int = 1000, seed: int = 0, only: str = "", trace: bool = True) -> None:
    """Change so many artifacts and use them; exit status 1 where one was not refused as it should be.

    Args:
        count: of changed artifacts.
        seed: of every choice.
        only: names of sources (``SOURCES``), separated by commas; empty: all that are installed.
        trace: also look at what was opened, where strace is there.
    """
    strace = shutil.which("strace") if trace and "ATTACK_LOG" not in os.environ else None
    if strace is None:
        counts = attacked(count, seed, only.split(",") if only else list(SOURCES))
        print(json.dumps(counts, indent=1))
        raise SystemExit(any(counts[name] for name in WRONG))
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = [strace, "-f", "-qq", "-e", "trace=openat,open,openat2", "-o", str(log), sys.executable, *sys.argv]
        done = subprocess.run(command, check=False, env={**os.environ, "ATTACK_LOG": "1", "OMP_NUM_THREADS": "1"})
        outside = opened_outside(log)
    print(f"opened outside of the folder: {len(outside)}", *outside[:20], sep="\n  ")
    raise SystemExit(done.returncode or bool(outside))


def opened_outside(log: Path) -> list[str]:
    """What children opened, after the line that each begins with, that is neither in their folder nor the machine's."""
    here: dict[str, str] = {}
    found = []
    usual = re.compile(
        r"(/proc|/sys|/usr|/lib|/etc|/dev/null|/dev/urandom|/dev/shm)(/|$)|.*\.(pyc?|so[.\d]*|pth)$|.*__pycache__"
    )
    known = tuple(str(Path(p).resolve()) for p in (sys.prefix, sys.base_prefix, rb.__path__[0]))
    for line in log.read_text(errors="replace").splitlines():
        if not (said := re.match(r'(\d+) +\w+\((?:[^"]*)"((?:[^"\\]|\\.)*)"', line)):
            continue
        process, path = said[1], said[2]
        if path.startswith("/attack-begins"):
            here[process] = path.removeprefix("/attack-begins")
        elif process in here and path.startswith("/"):
            inside = path == here[process] or path.startswith((here[process] + "/", str(Path(here[process]).resolve())))
            machine = usual.match(path) or os.path.realpath(path).startswith(known) or ".cache" in path
            if not inside and not machine and ".home" not in path:
                found.append(f"{here[process]}: {path}")
    return found


def attacked(count: int, seed: int, names: list[str]) -> dict[str, int]:
    """Change and use so many; returns counts of how it ended, those of WRONG among them."""
    rng, counts = random.Random(seed), Counter(dict.fromkeys((*WRONG, "typed", "answered"), 0))  # noqa: S311
    with tempfile.TemporaryDirectory(prefix="attack-artifacts-") as folder:
        sources = made(Path(folder), names)
        for number in range(count):
            own = random.Random(rng.random())  # noqa: S311 - so that one can be made again alone
            name = own.choice(sorted(sources))
            place = Path(folder) / str(number)
            place.mkdir()
            way = mutated(sources[name], place / "index", place / "outside", own)
            ended = used(place / "index", name)
            if (place / "outside" / "unpickled").exists():
                ended = "outside"
            counts[ended] += 1
            if ended in WRONG:
                print(f"{ended}: {name}, {way}, number {number}", file=sys.stderr, flush=True)
                if kept := os.environ.get("ATTACK_KEEP"):
                    shutil.copytree(
                        place, Path(kept) / f"{number}-{name}-{way}-{ended}", symlinks=True, dirs_exist_ok=True
                    )
            shutil.rmtree(place)
    return dict(counts)


def made(folder: Path, names: list[str]) -> dict[str, Path]:
    """The artifacts that are changed, by name; each was loaded and asked here, so that its engine is there already."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 16)).astype(np.float32)
    texts = [" ".join(rng.choice(WORDS, 5)) for _ in range(80)]
    found = {}
    for name in names:
        backend, settings = SOURCES[name]
        try:
            ranker = backend in ("bm25", "dense", "hybrid")
            given: dict[str, Any] = {"texts": texts} if ranker else {"vectors": vectors, "metric": "l2"}
            built = rb.build(backend, **given, **settings)
        except UnavailableError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        found[name] = built.save(folder / name)
        ask(rb.load(found[name]))
    return found


def ask(searcher: Any) -> None:
    """One search."""
    if searcher.manifest.kind == "ranker":
        answer = searcher.search(["read a line", "graph of nodes"], k=5)
    else:
        answer = searcher.search(np.full((3, searcher.manifest.dimensions), 0.5, np.float32), k=5)
    for row in answer.rows:
        [searcher.texts[int(r)] for r in row if r >= 0 and searcher.texts is not None]


def used(folder: Path, name: str) -> str:
    """How a child ended that loaded a folder and asked it."""
    size = sum(p.lstat().st_size for p in folder.rglob("*") if p.is_file())
    child = os.fork()
    if child == 0:
        os._exit(child_of(folder, name))
    before, most, ended, status = None, 0, 0, 0
    while not ended:  # its own pages only: those of the engines' files count when they are first looked at
        resident, shared = (int(n) for n in Path(f"/proc/{child}/statm").read_text().split()[1:3])
        own = (resident - shared) * resource.getpagesize()
        before, most = own if before is None else before, max(most, own)
        time.sleep(0.002)
        ended, status = os.waitpid(child, os.WNOHANG)
    if most - (before or 0) > 2 * size + ALLOWED:
        return "large"
    if os.WIFSIGNALED(status):
        return "hung" if os.WTERMSIG(status) == signal.SIGALRM else "signal"
    return {OK: "answered", TYPED: "typed", UNTYPED: "untyped"}.get(os.WEXITSTATUS(status), "signal")


def child_of(folder: Path, name: str) -> int:
    """Load and search; the status to end with."""
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ended = OK
    with contextlib.suppress(FileNotFoundError):
        os.open(f"/attack-begins{folder}", os.O_RDONLY)
    try:
        with limited(1):  # a pool of threads that was begun before the fork would be waited for
            ask(rb.load(folder))
    except RetrievalBenchError as error:
        ended = TYPED
        if "\n" in str(error):
            print(f"more than a line: {name}: {error}", file=sys.stderr)
    except BaseException:  # noqa: BLE001 - what is looked for
        traceback.print_exc()
        ended = UNTYPED
    return ended
