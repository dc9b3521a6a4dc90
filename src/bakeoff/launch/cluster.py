"""Runs on the nodes of a Ray cluster. Nothing here is imported from Ray before somebody connects to one.

Ray places the tasks, carries files and tells what is lost. What is tried again is decided in `launch`, as on one
machine.
"""

import os
import pickle
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.errors import ConfigError, InputError
from bakeoff.launch.executor import StoppedError
from bakeoff.launch.messages import AttemptRequest, AttemptUpdate, FileRef, follow, make_request, read_chunks
from bakeoff.launch.process import Ended
from bakeoff.networks.table import find_network
from bakeoff.runs.events import OnProgress
from bakeoff.runs.record import OUT_OF_MEMORY, RunRecord, read_record
from bakeoff.runs.versions import find_versions

if TYPE_CHECKING:
    import ray

__all__ = ["Cluster", "connect", "format_difference"]

# Seconds in which the head of a cluster has to answer.
PATIENCE = 10.0
# Seconds for which the list of nodes is taken as it was.
FRESH = 1.0
# Bytes of a run's process besides its network, and copies of the weights in training, where nothing better is known.
FRAMEWORK, COPIES = 700_000_000, 6
# What the driver's environment says that a worker has to know.
PASSED_ON = ("BAKEOFF_CHECKPOINT_SECONDS", "BAKEOFF_RUN_MEMORY_BYTES", "BAKEOFF_MEMORY_LIMIT_BYTES")
LOST = "its node, or its process there, was lost"

Resources = Mapping[str, float]


def connect(address: str) -> "Cluster":
    """The Ray cluster at `auto` or HOST:PORT, of which this machine is a node. Raises ConfigError if there is none."""
    # It is read when Ray is imported.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ConfigError("--cluster needs Ray: run pip install 'bakeoff[ray]'") from error
    try:
        if address != "auto":
            _check_listening(address)
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"--cluster {address}: {reason}; start it with `ray start`, on this machine too (docs/cluster.md)"
        ) from error
    return Cluster()


def _check_listening(address: str) -> None:
    """Raise ValueError or OSError if nobody listens at HOST:PORT: Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("give auto, or HOST:PORT of the cluster's head")
    socket.create_connection((host, int(port)), PATIENCE).close()


class Cluster:
    """An executor on a cluster that this process is connected to. Each run gets a node's share of cores, all the same:
    those of the smallest node, divided by its GPUs, of which a run gets one where all nodes have one."""

    def __init__(self) -> None:
        self._sent: dict[str, list[ray.ObjectRef[bytes]]] = {}
        self._known_bytes: dict[tuple[str, str], int] = {}
        self._under_way: set[Any] = set()
        self._lock = threading.Lock()
        self._stopped = False
        self._versions = find_versions()
        self._nodes: list[Resources] = []
        self._looked = float("-inf")
        self._task = _make_task()
        nodes = self._list_nodes()
        if not nodes:
            raise ConfigError("the cluster has no node with a core to give; see docs/cluster.md")
        self._gpus = min(1, min(int(node.get("GPU", 0)) for node in nodes))
        shares = (node["CPU"] // max(1, node.get("GPU", 0) if self._gpus else 1) for node in nodes)
        self._threads = max(1, int(min(shares)))

    @property
    def slots(self) -> int:
        """Runs that the nodes of this moment have room for."""
        return sum(self._room(node) for node in self._list_nodes())

    def among(self, runs: int) -> "Cluster":
        """The same: a run's share of a node does not depend on how many there are, so that equal runs stay equal."""
        del runs
        return self

    def attempt(
        self, record: RunRecord, folder: Path, data: Path, limit: float | None, on_progress: OnProgress | None
    ) -> Ended:
        """See Executor. Raises InputError where a node has other versions."""
        passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        request = make_request(record, folder, data, limit=limit, threads=self._threads, environment=passed_on)
        while isinstance(result := self._try(request, folder, on_progress), tuple):
            self._send(result)
        self._learn(read_record(folder))
        return result

    def stop(self) -> None:
        """End all tasks."""
        import ray

        with self._lock:
            self._stopped = True
            for task in self._under_way:
                ray.cancel(task)

    def close(self) -> None:
        """Leave the cluster."""
        import ray

        ray.shutdown()

    def _try(
        self, request: AttemptRequest, folder: Path, on_progress: OnProgress | None
    ) -> Ended | tuple[FileRef, ...]:
        import ray
        from ray import exceptions

        sent = {
            file_ref.sha256: self._sent[file_ref.sha256]
            for file_ref in request.files_needed
            if file_ref.sha256 in self._sent
        }
        task_for = self._task.options(
            num_returns="streaming",
            # Ray would try again by itself, and without telling anybody.
            max_retries=0,
            scheduling_strategy="SPREAD",
            num_cpus=self._threads,
            num_gpus=self._gpus,
            memory=self._predict(request.record),
        )
        with self._lock:
            if self._stopped:
                raise StoppedError
            task = task_for.remote(self._versions, pickle.dumps(request), sent)
            self._under_way.add(task)
        started: list[float] = []

        def arrive() -> Iterator[AttemptUpdate]:
            for reference in task:
                started.append(time.monotonic())
                yield self._open(ray.get(reference))

        try:
            result = follow(arrive(), folder, on_progress)
            if isinstance(result, Ended) and result.stopped:
                ray.cancel(task)
        except exceptions.OutOfMemoryError:
            result = Ended(f"{OUT_OF_MEMORY}: Ray ended it for its node's sake")
        except (exceptions.RayTaskError, exceptions.TaskCancelledError):
            if not self._stopped:
                raise
        except exceptions.RayError:
            seconds = time.monotonic() - started[0] if started else 0.0
            result = Ended(LOST, lost=True, seconds=seconds)
        finally:
            with self._lock:
                self._under_way.discard(task)
        if self._stopped:
            raise StoppedError
        return result

    def _open(self, update: Any) -> AttemptUpdate:
        if isinstance(update, AttemptUpdate):
            return update
        raise InputError(format_difference(update["node"], update["versions"], self._versions))

    def _send(self, missing: Iterable[FileRef]) -> None:
        """Put files into Ray's object store, once; from there nodes take them from each other, too."""
        import ray

        for file_ref in missing:
            with self._lock:
                if file_ref.sha256 not in self._sent:
                    self._sent[file_ref.sha256] = [ray.put(chunk) for chunk in read_chunks(file_ref)]

    def _predict(self, record: RunRecord) -> int:
        """Bytes to reserve: predicted in an earlier run of the network at that size, or roughly by its weights."""
        rough = 4 * COPIES * find_network(record.config.model.name).params_total
        own = record.memory_predicted_bytes or self._known_bytes.get(_kind(record), rough)
        return int(min([FRAMEWORK + own, *(node.get("memory", 0.0) for node in self._list_nodes())]))

    def _learn(self, record: RunRecord) -> None:
        kind, known = _kind(record), record.memory_predicted_bytes
        self._known_bytes[kind] = max(known, self._known_bytes.get(kind, 0))

    def _room(self, node: Resources) -> int:
        rooms = [int(node["CPU"] // self._threads)]
        if self._gpus:
            rooms.append(int(node.get("GPU", 0) // self._gpus))
        return min(rooms)

    def _list_nodes(self) -> list[Resources]:
        """The resources of all nodes that have cores."""
        import ray

        if time.monotonic() > self._looked + FRESH:
            alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            self._nodes = [resources for resources in alive if resources.get("CPU", 0) >= 1]
            self._looked = time.monotonic()
        return self._nodes


def format_difference(node: str, versions: Mapping[str, str], own: Mapping[str, str]) -> str:
    """Why a node with other versions than this machine's is refused."""
    name = next(name for name, version in own.items() if versions.get(name) != version)
    return (
        f"node {node} has {name} {versions.get(name, 'not at all, or too old a bakeoff')}, this machine {own[name]};"
        " install the same on all, or take that node out of the cluster"
    )


def _kind(record: RunRecord) -> tuple[str, str]:
    return record.candidate, record.config.train.mode


def _make_task() -> Any:
    """What Ray runs on a node: made here, for then Ray sends its text along, and a node may have another bakeoff."""
    import ray

    def attempt(versions: dict[str, str], request: bytes, sent: dict[str, list[Any]]) -> Iterator[Any]:
        import pickle

        import ray

        try:
            from bakeoff.runs.versions import find_versions

            own = find_versions()
        except ImportError:
            own = {}
        if own != versions:
            yield {"node": ray.util.get_node_ip_address(), "versions": own}
            return
        from bakeoff.launch import node

        def fetch(file_ref: Any) -> Any:
            return map(ray.get, sent[file_ref.sha256]) if file_ref.sha256 in sent else None

        yield from node.attempt(pickle.loads(request), fetch)

    return ray.remote(attempt)
