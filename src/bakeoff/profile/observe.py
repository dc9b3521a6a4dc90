"""A finished run's record to what it says of the machine."""

from datetime import UTC, datetime

from bakeoff.networks.find import find_network
from bakeoff.profile.costs import SECONDS_PER_FIT
from bakeoff.profile.facts import Observation, Timing
from bakeoff.runs.config import Mode, Run
from bakeoff.runs.record import RunRecord, State

__all__ = ["observe", "observe_timing"]


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
        scored_per_second=record.scored_per_second,
        overhead=_overhead(record),
        compile=seconds.compile / sizes,
        fitted_per_second=_fitting(record),
        memory_predicted=record.memory_predicted_bytes,
        memory_modelled=record.memory_modelled_bytes,
        memory_measured=record.memory_peak_bytes,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _overhead(record: RunRecord) -> float:
    """Wall clock besides training, scoring and compiling.

    Features that came from the cache count as training with the time that they once took, so the rest of the total may
    be too little: then the parts that were measured count.
    """
    seconds, train = record.seconds, record.config.train
    # One fit of a head is a part of the overhead. What a probe has more of them is predicted by itself.
    fits = _count_fits(record)
    parts = seconds.start + seconds.data + seconds.fit / fits + seconds.save
    if train.mode is not Mode.PROBE:
        return max(seconds.total - seconds.train - seconds.evaluate - seconds.compile, parts, 0.0)
    images = (0 if record.folds else record.images_seen) + (record.val.n if record.val else 0)
    if record.folds and train.flip_test:
        images *= 2
    further = seconds.fit - seconds.fit / fits
    return max(seconds.total - images / max(record.images_per_second, 1e-9) - further, parts, 0.0)


def _fitting(record: RunRecord) -> float:
    """Images times classes per second in fitting the heads of a probe."""
    if record.config.train.mode is not Mode.PROBE:
        return 0.0
    fits, views = _count_fits(record), record.config.train.probe_views
    seconds = record.seconds.fit - fits * SECONDS_PER_FIT
    images = fits * record.images_seen / (1 + views)
    return images * record.data.classes / seconds if seconds > 0 else 0.0


def _count_fits(record: RunRecord) -> int:
    """Fits of a head in a run, each on as many images as one; two heads, one of them on views, are 2 + views."""
    views = record.config.train.probe_views
    return max(record.folds, 2 + views if views else 1)


def observe_timing(run: Run, timing: Timing, seconds: float, threads: int) -> tuple[Observation, Observation]:
    """What timing a recipe's network has measured: as of a probe, and as of a training.

    Args:
        run: The recipe.
        timing: What it measured.
        seconds: Wall clock of the process that measured them.
        threads: CPU threads that it had.
    """
    # Start, imports and building, as every run has them.
    around = max(0.0, seconds - timing.timed - timing.compiling_forward - timing.compiling_step)
    common = Observation(
        network=run.model.name,
        size=run.model.size,
        mode=Mode.PROBE,
        precision=run.train.precision.value,
        threads=threads,
        images_per_second=timing.forward,
        overhead=around + timing.compiling_forward,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    training = {
        "mode": Mode.FIT,
        "images_per_second": timing.training,
        # It is scored too, which has a graph of its own.
        "overhead": around + timing.compiling_forward,
        "compile": timing.compiling_step,
    }
    return common, common.model_copy(update=training)


def _is_comparable(run: Run) -> bool:
    """Whether the pace is that of a default recipe: as much of the network is trained, at one input size."""
    if run.train.mode is Mode.PROBE:
        return True
    is_trained_alike = run.model.unfreeze == find_network(run.model.name).trained_share and not run.model.lora
    return is_trained_alike and not run.train.sizes
