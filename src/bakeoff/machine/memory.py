"""How much memory this process may use, how much it has used, and what it gives back."""

import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from bakeoff.machine.groups import MEMBERSHIP, MOUNT, control_groups

__all__ = ["available_host_memory", "free_memory", "peak_memory", "read_field", "release_memory"]


def free_memory() -> int:
    """Bytes of memory that this process could still get. On macOS, which does not report it: all memory."""
    if sys.platform == "linux":
        return available_host_memory()
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def peak_memory() -> int:
    """The largest number of bytes that this process has had in physical memory.

    On Linux it is the kernel's high-water mark, VmHWM of proc(5), because `ru_maxrss` of a child includes the peak of
    its parent. On macOS it is `ru_maxrss`, which is in bytes there.
    """
    if sys.platform == "linux":
        return read_field(Path("/proc/self/status"), "VmHWM:") * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def release_memory() -> None:
    """Give the system back what this process has freed. Other C libraries than glibc do not keep it.

    glibc keeps freed blocks of up to 32 MB in its heaps, of which there is one for each thread, if small objects lie
    above them. So a process that decodes images of any size grows for hours. malloc_trim(3) gives back all whole pages
    that are free. It takes some milliseconds, and the pages have to be mapped again where they are needed again.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def available_host_memory(
    meminfo: Path = Path("/proc/meminfo"), membership: Path = MEMBERSHIP, mount: Path = MOUNT
) -> int:
    """Bytes of memory available on Linux: MemAvailable, or less if a control group of this process has less left.

    Args:
        meminfo: The file with MemAvailable.
        membership: The file that lists the control groups of this process.
        mount: Where the control groups are mounted.
    """
    return min([read_field(meminfo, "MemAvailable:") * 1024, *_group_headrooms(membership, mount)])


def _group_headrooms(membership: Path, mount: Path) -> Iterator[int]:
    """Limit minus usage, in bytes, of each control group of this process that limits memory."""
    for group in control_groups("memory", membership, mount):
        if group.version == 2:
            limit, use, cache = "memory.max", "memory.current", "inactive_file"
        else:
            limit, use, cache = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
        if (text := group.read(limit)) is not None and text != "max":
            # Usage includes cached files, but the kernel drops those before it refuses memory.
            used = int((group.folder / use).read_text()) - read_field(group.folder / "memory.stat", cache)
            yield max(0, int(text) - used)


def read_field(path: Path, name: str) -> int:
    """The integer after a name at the start of a line, as in files of /proc. Raises KeyError without such a line."""
    for line in path.read_text().splitlines():
        words = line.split()
        if words[:1] == [name]:
            return int(words[1])
    raise KeyError(f"{name} in {path}")
