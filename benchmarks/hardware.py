"""What a measurement was made on, as its table says it."""

import platform
from pathlib import Path

from bakeoff.machine import count_cores

__all__ = ["count_cores", "name_cpu"]


def name_cpu() -> str:
    """The processor's name as Linux has it, or the platform's word for it."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
