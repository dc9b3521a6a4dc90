"""The hardware of a measurement, as the CSV files name it."""

from bakeoff.machine import count_cores
from bakeoff.profile import find_device

__all__ = ["count_cores", "name_cpu"]


def name_cpu() -> str:
    """The name of the processor and its instruction sets for arithmetic, which decide its speed as much."""
    return find_device().cpu
