"""The control groups of this process, with which Linux limits what containers and jobs of a cluster take."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MEMBERSHIP", "MOUNT", "ControlGroup", "control_groups"]

MEMBERSHIP = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class ControlGroup:
    """The folder of a control group, and the version of its files."""

    folder: Path
    version: int

    def read(self, name: str) -> str | None:
        """The text of one of its files; None if it has no such file, as the root of all groups."""
        path = self.folder / name
        return path.read_text().strip() if path.is_file() else None


def control_groups(controller: str, membership: Path = MEMBERSHIP, mount: Path = MOUNT) -> Iterator[ControlGroup]:
    """Each control group of this process, and each group above it, which limits it too.

    Args:
        controller: What the groups are to limit: `cpu` or `memory`.
        membership: The file that lists the control groups of this process.
        mount: Where the control groups are mounted.
    """
    if not membership.is_file():
        return
    for line in membership.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            # Beside controllers of version 1, version 2 has a folder of its own.
            root, version = mount / "unified", 2
            root = root if root.is_dir() else mount
        elif controller in controllers.split(","):
            # Both /cpu,cpuacct and /cpu may be there.
            root, version = mount / controller, 1
            root = root if root.is_dir() else mount / controllers
        else:
            continue
        group = root / path.lstrip("/")
        # In a container, the path may be that of the host, while only the container's group is mounted, at `root`.
        for folder in (group, *group.parents):
            yield ControlGroup(folder, version)
            if folder == root:
                break
