"""Events that a worker process reports: one JSON object on each line of its standard output.

write_event(RunProgress("train", 0.25))      in the worker
parse_event(line)                            in the process that started it
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

__all__ = ["JobBegan", "OnProgress", "RunProgress", "WorkerError", "parse_event", "write_event"]


@dataclass(frozen=True)
class RunProgress:
    """The progress of a run."""

    doing: str
    """The current phase: `features`, `probe`, `train`, `test`, `download`, …"""
    fraction: float
    """Completed fraction of the phase, in [0, 1]."""
    epoch: float = 0.0
    """Passes over the training images so far."""
    evaluations: int = 0
    """Evaluations on validation images so far."""
    val_top1: float | None = None
    """Validation top-1 of the latest evaluation, in [0, 1]."""
    seconds_left: float | None = None
    val_score: float | None = None
    """The metric that decides (`train.metric`) in the latest evaluation."""


@dataclass(frozen=True)
class JobBegan:
    """A worker that was started ahead has read its job, and begins."""

    job: str


@dataclass(frozen=True)
class WorkerError:
    """Why the worker failed: a one-line message for the user, and the exit code."""

    error: str
    exit_code: int


OnProgress = Callable[[RunProgress], str | None]
"""Called with each progress event. If it returns a string, the run stops at once and is PRUNED for that reason."""


def write_event(event: RunProgress | JobBegan | WorkerError) -> None:
    """Write an event to standard output, for the process that started this one."""
    sys.stdout.write(json.dumps(asdict(event)) + "\n")
    sys.stdout.flush()


def parse_event(line: str | bytes) -> RunProgress | JobBegan | WorkerError | None:
    """Parse a line of a worker's standard output; None if it is not an event, such as a line printed by a library."""
    try:
        fields = json.loads(line)
        kind = WorkerError if "error" in fields else JobBegan if "job" in fields else RunProgress
        return kind(**fields)
    except (ValueError, TypeError):
        return None
