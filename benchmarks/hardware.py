"""The hardware of a measurement, as the CSV files name it."""

import platform
from pathlib import Path

from bakeoff.machine import count_cores

__all__ = ["count_cores", "name_cpu"]


def name_cpu() -> str:
    """The name of the processor according to Linux, or else according to the platform."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
