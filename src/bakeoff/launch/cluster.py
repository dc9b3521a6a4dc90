"""Runs on the nodes of a Ray cluster. Ray is imported only when a cluster is connected to.

Ray places the tasks, transfers files, and reports what is lost. Whether a run is tried again is decided in `launch`,
as on one machine.
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
from bakeoff.launch.messages import (
    AttemptRequest,
    AttemptUpdate,
    FileRef,
    follow_attempt,
    make_request,
    read_chunks,
)
from bakeoff.launch.process import Ended
from bakeoff.launch.task import format_difference, make_task
from bakeoff.networks.find import find_network
from bakeoff.runs.events import OnProgress
from bakeoff.runs.record import OUT_OF_MEMORY, RunRecord, read_record
from bakeoff.runs.versions import find_versions
from bakeoff.variables import CHECKPOINT_SECONDS, MEMORY_LIMIT_BYTES, RAY_USAGE_STATS_ENABLED, RUN_MEMORY_BYTES

if TYPE_CHECKING:
    import ray

__all__ = ["Cluster", "connect"]

# How long the head of a cluster has to accept a connection.
CONNECT_TIMEOUT_SECONDS = 10.0
# How long the list of nodes is used before it is read again.
NODE_LIST_MAX_AGE_SECONDS = 1.0
# Memory of a run's process besides its network: Python, TensorFlow and Keras.
FRAMEWORK_BYTES = 700_000_000
# Memory of a network in training, in copies of its weights, where no earlier run of it is known.
WEIGHT_COPIES = 6
# Variables of the coordinator's environment that are set for runs on nodes, too.
FORWARDED_VARIABLES = (CHECKPOINT_SECONDS, RUN_MEMORY_BYTES, MEMORY_LIMIT_BYTES)
# The failure of an attempt whose node did not answer any more.
NODE_LOST = "its node, or its process there, was lost"

Resources = Mapping[str, float]


def connect(address: str) -> "Cluster":
    """Connect to the Ray cluster at `auto` or HOST:PORT. This machine has to be one of its nodes.

    Raises ConfigError if Ray is not installed, if there is no such cluster, or if a variable for runs is no number.
    """
    # Before Ray is connected to, so that a program can correct a variable and call it again.
    environment = {each.name: str(each.read_number(0)) for each in FORWARDED_VARIABLES if each.read()}
    # Ray reads this variable when it is imported.
    os.environ[RAY_USAGE_STATS_ENABLED.name] = "0"
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
            f"--cluster {address}: {reason}; start it with `ray start`, on this machine too (docs/how-to/cluster.md)"
        ) from error
    return Cluster(environment)


def _check_listening(address: str) -> None:
    """Raise ValueError or OSError if nothing listens at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("give auto, or HOST:PORT of the cluster's head")
    socket.create_connection((host, int(port)), CONNECT_TIMEOUT_SECONDS).close()


class Cluster:
    """The executor for a cluster that this process is connected to.

    Every run gets the same number of cores, wherever it is placed. If all nodes have GPUs, a run gets one GPU, and the
    cores of a node are divided by its GPUs; the smallest such share counts. Else it is the cores of the smallest node.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        """Find the nodes that there are. `environment` has the variables that runs on nodes get from this machine."""
        self._forwarded = environment
        self._sent: dict[str, list[ray.ObjectRef[bytes]]] = {}
        self._known_bytes: dict[tuple[str, str], int] = {}
        self._running_tasks: set[Any] = set()
        self._lock = threading.Lock()
        self._stopped = False
        self._versions = find_versions()
        self._nodes: list[Resources] = []
        self._nodes_read_at = float("-inf")
        self._task = make_task()
        nodes = self._list_nodes()
        if not nodes:
            raise ConfigError("no node of the cluster offers a CPU core; see docs/how-to/cluster.md")
        self._gpus = min(1, min(int(node.get("GPU", 0)) for node in nodes))
        shares = (node["CPU"] // max(1, node.get("GPU", 0) if self._gpus else 1) for node in nodes)
        self._threads = max(1, int(min(shares)))

    @property
    def slots(self) -> int:
        """Runs that the nodes can make in parallel now."""
        return sum(self._count_slots(node) for node in self._list_nodes())

    @property
    def threads(self) -> None:
        """Unknown: nodes may differ."""
        return None

    @property
    def spare(self) -> None:
        """None: a process that is started ahead would take part of a node that Ray does not know of."""
        return None

    def for_stage(self, runs: int, *, more: bool = False) -> "Cluster":
        """This executor: a run's share of a node never changes, so that equal runs are treated equally."""
        del runs, more
        return self

    def attempt(
        self, record: RunRecord, folder: Path, data: Path, *, limit: float | None, on_progress: OnProgress | None
    ) -> Ended:
        """See Executor. Raises InputError if a node has other versions than this machine."""
        environment = self._share_memory() | self._forwarded
        request = make_request(record, folder, data, limit=limit, threads=self._threads, environment=environment)
        while isinstance(result := self._run_task(request, folder, on_progress), tuple):
            self._upload(result)
        self._remember_memory(read_record(folder))
        return result

    def stop(self) -> None:
        """End all tasks."""
        import ray

        with self._lock:
            self._stopped = True
            for task in self._running_tasks:
                ray.cancel(task)

    def close(self) -> None:
        """Leave the cluster."""
        import ray

        ray.shutdown()

    def _run_task(
        self, request: AttemptRequest, folder: Path, on_progress: OnProgress | None
    ) -> Ended | tuple[FileRef, ...]:
        """Make an attempt as a Ray task: how it ended, or the files that have to be uploaded before it can begin."""
        import ray
        from ray import exceptions

        sent = {
            file_ref.sha256: self._sent[file_ref.sha256]
            for file_ref in request.files_needed
            if file_ref.sha256 in self._sent
        }
        task_for = self._task.options(
            num_returns="streaming",
            # Ray would try again by itself, without reporting it.
            max_retries=0,
            scheduling_strategy="SPREAD",
            num_cpus=self._threads,
            num_gpus=self._gpus,
            memory=self._predict_memory(request.record),
        )
        with self._lock:
            if self._stopped:
                raise StoppedError
            task = task_for.remote(self._versions, pickle.dumps(request), sent)
            self._running_tasks.add(task)
        started: list[float] = []

        def receive() -> Iterator[AttemptUpdate]:
            for reference in task:
                started.append(time.monotonic())
                yield self._check_versions(ray.get(reference))

        try:
            result = follow_attempt(receive(), folder, on_progress)
            if isinstance(result, Ended) and result.stop_reason:
                ray.cancel(task)
        except exceptions.OutOfMemoryError:
            result = Ended(f"{OUT_OF_MEMORY}: Ray ended it because its node was short of memory")
        except (exceptions.RayTaskError, exceptions.TaskCancelledError):
            if not self._stopped:
                raise
        except exceptions.RayError:
            seconds = time.monotonic() - started[0] if started else 0.0
            result = Ended(NODE_LOST, lost=True, seconds=seconds)
        finally:
            with self._lock:
                self._running_tasks.discard(task)
        if self._stopped:
            raise StoppedError
        return result

    def _check_versions(self, update: Any) -> AttemptUpdate:
        """The update itself. Raises InputError if the node sent its versions instead, because they differ."""
        if isinstance(update, AttemptUpdate):
            return update
        raise InputError(format_difference(update["node"], update["versions"], self._versions))

    def _upload(self, missing: Iterable[FileRef]) -> None:
        """Put files into Ray's object store, each once. Nodes copy them from there, and from each other."""
        import ray

        for file_ref in missing:
            with self._lock:
                if file_ref.sha256 not in self._sent:
                    self._sent[file_ref.sha256] = [ray.put(chunk) for chunk in read_chunks(file_ref)]

    def _predict_memory(self, record: RunRecord) -> int:
        """Bytes to reserve: from an earlier run of this network at this size, else estimated from its parameters."""
        # An earlier run that died before its own prediction has left 0.
        known = record.memory_predicted_bytes or self._known_bytes.get(_memory_key(record), 0)
        network_bytes = known or 4 * WEIGHT_COPIES * find_network(record.config.model.name).params_total
        return int(min([FRAMEWORK_BYTES + network_bytes, *(node.get("memory", 0.0) for node in self._list_nodes())]))

    def _share_memory(self) -> dict[str, str]:
        """The variable for the memory that a run may take: its part of a node, if a node has room for several runs.

        The smallest part of any node holds for all runs, wherever they are placed. On GPUs there is none: the memory
        that is short there is that of the GPU, which a run has for itself.
        """
        nodes = [node for node in self._list_nodes() if self._count_slots(node) and "memory" in node]
        if self._gpus or all(self._count_slots(node) == 1 for node in nodes):
            return {}
        share = min(node["memory"] / self._count_slots(node) for node in nodes)
        return {RUN_MEMORY_BYTES.name: str(int(share))}

    def _remember_memory(self, record: RunRecord) -> None:
        key = _memory_key(record)
        self._known_bytes[key] = max(record.memory_predicted_bytes, self._known_bytes.get(key, 0))

    def _count_slots(self, node: Resources) -> int:
        by_cores = int(node["CPU"] // self._threads)
        return min(by_cores, int(node.get("GPU", 0) // self._gpus)) if self._gpus else by_cores

    def _list_nodes(self) -> list[Resources]:
        """The resources of all nodes that offer at least one core."""
        import ray

        if time.monotonic() > self._nodes_read_at + NODE_LIST_MAX_AGE_SECONDS:
            alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            self._nodes = [resources for resources in alive if resources.get("CPU", 0) >= 1]
            self._nodes_read_at = time.monotonic()
        return self._nodes


def _memory_key(record: RunRecord) -> tuple[str, str]:
    """Runs with the same key are expected to need the same memory."""
    return record.candidate, record.config.train.mode
