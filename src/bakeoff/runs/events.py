"""What a run's process reports on the way: one JSON object per line of its standard output.

write_event(RunProgress("train", 0.25))      in the worker
parse_event(line)                            in the process that started it
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

__all__ = ["OnProgress", "RunProgress", "WorkerError", "parse_event", "write_event"]


@dataclass(frozen=True)
class RunProgress:
    """Where a run stands."""

    doing: str
    """The step under way: `features`, `probe`, `train`, `test`, `download`, …"""
    fraction: float
    """How far it is, in [0, 1]."""
    epoch: float = 0.0
    evaluations: int = 0
    """How often validation was scored."""
    val_top1: float | None = None
    """The latest top-1 on validation, in [0, 1]."""
    seconds_left: float | None = None


@dataclass(frozen=True)
class WorkerError:
    """Why the worker ended early, as a line for the user, and the exit code that the line belongs to."""

    error: str
    exit_code: int


OnProgress = Callable[[RunProgress], str | None]
"""Called with each progress event. A returned string is the reason to stop the run at once; it is PRUNED then."""


def write_event(event: RunProgress | WorkerError) -> None:
    """Report an event to the process that started this one."""
    sys.stdout.write(json.dumps(asdict(event)) + "\n")
    sys.stdout.flush()


def parse_event(line: str | bytes) -> RunProgress | WorkerError | None:
    """Read a line of a worker's standard output; None for a line that is not an event, such as a library's print."""
    try:
        fields = json.loads(line)
        return WorkerError(**fields) if "error" in fields else RunProgress(**fields)
    except (ValueError, TypeError):
        return None
