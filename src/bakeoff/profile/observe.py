"""A finished run's record to what it says of the machine."""

from datetime import UTC, datetime

from bakeoff.profile.facts import Observation
from bakeoff.runs.config import Mode, Run
from bakeoff.runs.record import RunRecord, State

__all__ = ["observe"]


def observe(record: RunRecord, threads: int) -> Observation | None:
    """What a run measured of the machine that it ran on; None for a run that did not complete.

    Args:
        record: The final record.
        threads: CPU threads that the run had.
    """
    if record.state is not State.COMPLETE:
        return None
    seconds, run = record.seconds, record.config
    sizes = 1 + len(run.train.sizes)
    return Observation(
        network=run.model.name,
        size=run.model.size,
        mode=run.train.mode,
        precision=record.precision,
        threads=threads,
        images_per_second=record.images_per_second if _is_comparable(run) else 0.0,
        overhead=max(0.0, seconds.total - seconds.train - seconds.evaluate - seconds.compile),
        compile=seconds.compile / sizes,
        memory_predicted=record.memory_predicted_bytes,
        memory_measured=record.memory_peak_bytes,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _is_comparable(run: Run) -> bool:
    """Whether the pace is that of a default recipe: all layers are trained, at one input size."""
    if run.train.mode is Mode.PROBE:
        return True
    return run.model.unfreeze == 1.0 and not run.train.sizes
