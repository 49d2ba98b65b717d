"""Energy by the counters of the processor (RAPL) and of NVIDIA devices (NVML): read, or absent, never estimated."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True, kw_only=True)
class Meter:
    """One counter.

    Attributes:
        name: e.g. ``cpu package-0`` or ``gpu 0``.
        read: microjoules since some moment.
        wraps: where the counter starts again from 0, in microjoules; 0 where it does not.
    """

    name: str
    read: Callable[[], int] = field(repr=False)
    wraps: int = 0


def meters(powercap: Path = POWERCAP) -> list[Meter]:
    """The counters that this process may read; an empty list where there is none."""
    return [*_rapl(powercap), *_nvml()]


class Spent(NamedTuple):
    """Energy of everything on the machine in a while.

    Attributes:
        joules: by counter, in all.
        calls: made meanwhile.
        seconds: that really passed: a call begun within the time asked for is waited for.
    """

    joules: dict[str, float]
    calls: int
    seconds: float


def joules(call: Callable[[], object], found: list[Meter], *, seconds: float = 1.0) -> Spent:
    """Energy of everything on the machine while a call is repeated for some seconds, once at least."""
    before = [m.read() for m in found]
    calls, start = 0, time.perf_counter()
    while not calls or time.perf_counter() - start < seconds:
        call()
        calls += 1
    elapsed = time.perf_counter() - start
    used = {}
    for meter, start in zip(found, before, strict=True):
        difference = meter.read() - start
        used[meter.name] = (difference + meter.wraps if difference < 0 else difference) / 1e6
    return Spent(used, calls, elapsed)


def _rapl(powercap: Path) -> list[Meter]:
    found = []
    for folder in sorted(powercap.glob("intel-rapl:[0-9]*")):  # AMD's processors appear under the same name
        if folder.name.count(":") > 1:
            continue  # a part of a package, whose energy the package counts already
        counter = folder / "energy_uj"

        def read(counter: Path = counter) -> int:
            return int(counter.read_text(encoding="ascii"))

        try:
            read()
            name = (folder / "name").read_text(encoding="ascii").strip()
            wraps = int((folder / "max_energy_range_uj").read_text(encoding="ascii"))
        except (OSError, ValueError):  # readable by root only on most systems
            continue
        found.append(Meter(name=f"cpu {name}", read=read, wraps=wraps))
    return found


def _nvml() -> list[Meter]:
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return []
    count = ctypes.c_uint()
    if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)):
        return []
    found = []
    for i in range(count.value):
        device, energy = ctypes.c_void_p(), ctypes.c_ulonglong()
        if nvml.nvmlDeviceGetHandleByIndex_v2(i, ctypes.byref(device)):
            continue
        if nvml.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(energy)):
            continue  # older than Volta

        def read(device: ctypes.c_void_p = device) -> int:
            used = ctypes.c_ulonglong()
            nvml.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(used))  # in millijoules
            return used.value * 1000

        found.append(Meter(name=f"gpu {i}", read=read))
    return found
