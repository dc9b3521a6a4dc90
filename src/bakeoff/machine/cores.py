"""How many CPU cores this process may use."""

import math
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from bakeoff.machine.groups import MEMBERSHIP, MOUNT, control_groups
from bakeoff.variables import SLURM_CPUS_ON_NODE, SLURM_CPUS_PER_TASK

__all__ = ["count_cores", "count_visible_cores", "describe_cpu"]


def count_visible_cores() -> int:
    """The number of CPU cores that this process may be scheduled on, as its libraries count them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count_cores(membership: Path = MEMBERSHIP, mount: Path = MOUNT) -> int:
    """The number of CPU cores that this process may use, at least 1.

    These are the visible cores, or fewer where a control group limits the CPU time, as in containers (`docker run
    --cpus`, limits of Kubernetes), or where Slurm has given the job fewer. Parts of a core are rounded up.

    Args:
        membership: The file that lists the control groups of this process.
        mount: Where the control groups are mounted.
    """
    limits = (*_group_quotas(membership, mount), *_slurm_cores())
    return max(1, min([count_visible_cores(), *map(math.ceil, limits)]))


def describe_cpu() -> str:
    """The CPU as records name it: architecture, and number of cores that this process may use."""
    return f"cpu: {platform.machine()}, {count_cores()} cores"


def _group_quotas(membership: Path, mount: Path) -> Iterator[float]:
    """How many cores' time each control group of this process that limits it may take."""
    for group in control_groups("cpu", membership, mount):
        if group.version == 2:
            quota, period = (group.read("cpu.max") or "max 100000").split()
        else:
            quota, period = group.read("cpu.cfs_quota_us") or "-1", group.read("cpu.cfs_period_us") or "100000"
        if quota not in ("max", "-1"):
            yield int(quota) / int(period)


def _slurm_cores() -> Iterator[int]:
    """The cores of a task, and of the job on this node, as Slurm's variables say them.

    Where Slurm binds jobs to their cores, the affinity is right: a task may also get both threads of a core.
    """
    if count_visible_cores() == os.cpu_count():
        for variable in (SLURM_CPUS_PER_TASK, SLURM_CPUS_ON_NODE):
            if (text := variable.read()).isdecimal():
                yield int(text)
