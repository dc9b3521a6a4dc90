"""A Ray cluster of two nodes on one machine: namespaces of their own for network, mounts and processes.

Ray listens on every interface, so it is started where there is none but a virtual cable between the two nodes. All of
it has to run inside ISOLATED; whatever is started there ends with it.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

__all__ = ["HEAD", "ISOLATED", "PORT", "RAY", "Cluster", "Worker"]

ISOLATED = ["unshare", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
_NODE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
HEAD, OTHER, PORT = "10.77.0.1", "10.77.0.2", 6379
# A folder with a short name that every machine has: the path of a socket may be 107 letters long.
SHORT = Path("/mnt")
# With fixed ports nobody waits for an agent to say which it took, which takes long on a busy machine.
PORTS = ["--metrics-export-port=9101", "--dashboard-agent-grpc-port=9102", "--dashboard-agent-listen-port=9103"]
PORTS += ["--runtime-env-agent-port=9104", "--disable-usage-stats"]
RAY = [sys.executable, "-m", "ray.scripts.scripts"]


class Worker(NamedTuple):
    """A worker of bakeoff that trains: its process, its run, and whether it is on the other node."""

    pid: int
    run: str
    is_far: bool


class Cluster:
    """The head's node is this process's own namespace; the other one shares neither network nor caches with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self._node: subprocess.Popen[bytes] | None = None
        self.environment = os.environ | {
            "HOME": str(folder / "home"),
            "BAKEOFF_CACHE_DIR": str(self.cache),
            "BAKEOFF_CHECKPOINT_SECONDS": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": os.urandom(32).hex(),
            "RAY_raylet_start_wait_time_s": "200",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        for name in ("home", "cache", "ray", "ray-far"):
            (folder / name).mkdir()

    def start_head(self) -> None:
        """Start the node that the driver runs on, with one CPU."""
        _run(["ip", "link", "set", "lo", "up"])
        # The head's address stays when the other node, and with it the cable, is gone.
        _run(["ip", "addr", "add", f"{HEAD}/32", "dev", "lo"])
        _run(["mount", "--bind", str(self.folder / "ray"), str(SHORT)])
        options = ["--head", f"--node-ip-address={HEAD}", f"--port={PORT}", "--include-dashboard=false"]
        self._start([], options)

    def join(self, source: Path | None = None) -> None:
        """Start the other node, with one CPU; with its own source of bakeoff, if one is given."""
        self._node = subprocess.Popen([*_NODE, "sleep", "infinity"])
        children = Path(f"/proc/{self._node.pid}/task/{self._node.pid}/children")
        while not (inside := children.read_text().split()):
            time.sleep(0.05)
        enter = ["nsenter", "-t", inside[0], "--net", "--mount", "--pid"]
        _run(["ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", inside[0]])
        _run(["ip", "link", "set", "near", "up"])
        _run(["ip", "route", "add", f"{OTHER}/32", "dev", "near", "src", HEAD])
        _run([*enter, "ip", "addr", "add", f"{OTHER}/32", "dev", "far"])
        for link in ("lo", "far"):
            _run([*enter, "ip", "link", "set", link, "up"])
        _run([*enter, "ip", "route", "add", f"{HEAD}/32", "dev", "far", "src", OTHER])
        _run([*enter, "mount", "--bind", str(self.folder / "ray-far"), str(SHORT)])
        # It cannot see the driver's shards and weights, and keeps its own where they were.
        _run([*enter, "mount", "-t", "tmpfs", "tmpfs", str(self.cache)])
        own = {} if source is None else {"PYTHONPATH": str(source)}
        self._start(enter, [f"--address={HEAD}:{PORT}", f"--node-ip-address={OTHER}"], own)

    def lose(self) -> None:
        """End the other node and everything on it at once, the cable included."""
        assert self._node is not None
        self._node.send_signal(signal.SIGKILL)
        self._node.wait()

    def bakeoff(self, *arguments: str | Path, log: Path) -> subprocess.Popen[bytes]:
        """A command of bakeoff on the driver's node."""
        with log.open("ab") as file:
            command = [sys.executable, "-m", "bakeoff", *map(str, arguments)]
            return subprocess.Popen(command, env=self.environment, stdout=file, stderr=file)

    def workers(self) -> list[Worker]:
        """The workers that are training now, on both nodes."""
        own = Path("/proc/self/ns/net").readlink()
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_text().split("\0")
                network = (path.with_name("ns") / "net").readlink()
            except OSError:  # it has just ended
                continue
            if "bakeoff.worker" in words and "run" in words:
                found.append(Worker(int(path.parent.name), Path(words[words.index("run") + 1]).name, network != own))
        return found

    def _start(self, enter: list[str], options: list[str], own: Mapping[str, str] = MappingProxyType({})) -> None:
        command = [*enter, *RAY, "start", *options, "--num-cpus=1", f"--temp-dir={SHORT}", *PORTS]
        with (self.folder / "ray.log").open("ab") as log:
            subprocess.run(command, env=self.environment | own, stdout=log, stderr=log, check=True)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True)
