"""Predictions from a profile: pure functions, each with what it rests on."""

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence

from bakeoff.networks.backbone import Backbone
from bakeoff.networks.find import find_network, is_known
from bakeoff.profile.costs import SECONDS_PER_FIT, count_forwards, relative_cost
from bakeoff.profile.facts import Basis, Estimate, Observation, Profile
from bakeoff.runs.config import Mode

__all__ = ["predict_finish", "predict_fitting", "predict_overhead", "predict_rate"]

# Before anything is measured: multiply-adds per second, as `relative_cost` counts them, and per thread. It is that of
# an AMD EPYC with AVX-512 (benchmarks/step.csv); a first study measures its own.
ASSUMED_SPEED = 1.8e10
# Before anything is measured: images times classes per second in fitting a linear head, and per thread.
ASSUMED_FITTING = 100_000.0
# Wall-clock seconds of a run that are neither training nor scoring, and of compiling for each input size.
ASSUMED_OVERHEAD, ASSUMED_COMPILE = 8.0, 8.0
# Wall-clock seconds after a study's last run, besides scoring: a process for the test split and the bundle, the report.
ASSUMED_FINISH = 30.0
# The same without scoring, for each second around the slowest probe: 1.2 on two cores, with a margin.
FINISH_PER_OVERHEAD = 1.6
# Ends of studies that count.
FINISHES = 3
# Start and end of the command itself, which a study's own clock does not see: the interpreter and its imports.
COMMAND_SECONDS = 2.5
# What is known from other runs only may be too little.
RELATED_MARGIN = 1.2
# With more threads than were measured, a run is assumed to be faster by their ratio to this power, and with fewer to be
# slower by the ratio itself: neither promises too much.
MORE_THREADS = 0.8


def predict_rate(profile: Profile, spec: Backbone, size: int, mode: Mode, *, threads: int) -> Estimate:
    """Images per second through a network, in training (Mode.FIT) or forward (Mode.PROBE).

    A network that was measured at another size, in the other mode or not at all is scaled by its arithmetic, and by the
    number of threads.

    Args:
        profile: What was measured on the device.
        spec: The network.
        size: Side of the input in pixels.
        mode: Whether it trains.
        threads: CPU threads of the run.
    """

    def cost(network: Backbone, side: int, each: Mode) -> float:
        return relative_cost(network, side) * (count_forwards(network) if each is Mode.FIT else 1)

    needed = cost(spec, size, mode)

    def speed(seen: Observation) -> float:
        """Multiply-adds per second in that run, at this many threads."""
        done = cost(find_network(seen.network), seen.size, seen.mode)
        return seen.images_per_second * done * _scale_threads(seen.threads, threads)

    measured = [each for each in _paces(profile) if is_known(each.network)]
    found, basis = _choose(
        measured,
        (Basis.MEASURED, lambda each: _is(each, spec, threads) and each.size == size and each.mode is mode),
        (Basis.SCALED, lambda each: _is(each, spec, threads) and each.mode is mode),
        (Basis.SCALED, lambda each: _is(each, spec, threads)),
        (Basis.RELATED, lambda each: each.network == spec.name and each.mode is mode),
        (Basis.RELATED, lambda each: each.network == spec.name),
        (Basis.RELATED, lambda each: each.threads == threads and each.mode is mode),
        (Basis.RELATED, lambda each: each.threads == threads),
        (Basis.RELATED, lambda _: True),
    )
    if any(each.network == spec.name for each in found):  # then all of them are of this network
        near = min(found, key=lambda each: (abs(each.size - size), each.size, abs(each.threads - threads)))
        found = [each for each in found if (each.size, each.threads) == (near.size, near.threads)]
    total = statistics.median(map(speed, found)) if found else ASSUMED_SPEED * threads
    return Estimate(value=total / needed, basis=basis)


def predict_overhead(profile: Profile, spec: Backbone, mode: Mode, *, threads: int, sizes: int = 1) -> Estimate:
    """Wall-clock seconds of a run that are neither training nor scoring: start, loading, compiling, saving.

    Args:
        profile: What was measured on the device.
        spec: The network.
        mode: Whether it trains.
        threads: CPU threads of the run.
        sizes: Input sizes that it trains at, each of which is compiled.
    """
    found, basis = _choose(
        profile.observations,
        (Basis.MEASURED, lambda each: _is(each, spec, threads) and each.mode is mode),
        (Basis.RELATED, lambda each: each.network == spec.name and each.mode is mode),
        (Basis.RELATED, lambda each: each.threads == threads and each.mode is mode),
        (Basis.RELATED, lambda each: each.mode is mode),
    )
    if not found:
        compiling = ASSUMED_COMPILE * sizes if mode is Mode.FIT else 0.0
        return Estimate(value=ASSUMED_OVERHEAD + compiling, basis=basis)
    seconds = statistics.median(each.overhead + sizes * each.compile for each in found)
    return Estimate(value=seconds * (RELATED_MARGIN if basis is Basis.RELATED else 1.0), basis=basis)


def predict_fitting(
    profile: Profile, spec: Backbone, fits: int, images: int, classes: int, *, threads: int
) -> Estimate:
    """Wall-clock seconds of fitting linear heads.

    Args:
        profile: What was measured on the device.
        spec: The network whose features they are fitted on.
        fits: Number of heads.
        images: Images that each is fitted on.
        classes: Number of classes.
        threads: CPU threads of the run.
    """
    found, basis = _choose(
        [each for each in profile.observations if each.fitted_per_second > 0],
        (Basis.MEASURED, lambda each: _is(each, spec, threads)),
        (Basis.RELATED, lambda each: each.network == spec.name),
        (Basis.RELATED, lambda each: each.threads == threads),
        (Basis.RELATED, lambda _: True),
    )
    paces = [each.fitted_per_second * _scale_threads(each.threads, threads) for each in found]
    pace = statistics.median(paces) if paces else ASSUMED_FITTING * threads
    seconds = fits * (SECONDS_PER_FIT + images * classes / pace)
    return Estimate(value=seconds * (RELATED_MARGIN if basis is Basis.RELATED else 1.0), basis=basis)


def predict_finish(profile: Profile, spec: Backbone, size: int, images: int, *, threads: int) -> Estimate:
    """Wall-clock seconds after the last run of a study, which score so many images.

    Args:
        profile: What was measured on the device.
        spec: The network that is scored.
        size: Side of its input in pixels.
        images: Test images, counted twice if their mirror images are scored too.
        threads: CPU threads.
    """

    def scoring(name: str, side: int, count: int) -> float:
        return count / predict_rate(profile, find_network(name), side, Mode.PROBE, threads=threads).value

    # The longest of the latest: what is kept too long costs some training, what is kept too short breaks the budget.
    known = [each.seconds - scoring(each.network, each.size, each.images) for each in profile.finishes[-FINISHES:]]
    if known:
        rest, basis = max(0.0, *known), Basis.MEASURED
    else:
        # What starts and compiles slowly is exported slowly.
        overheads = [each.overhead for each in profile.observations if each.mode is Mode.PROBE]
        rest = FINISH_PER_OVERHEAD * max(overheads) if overheads else ASSUMED_FINISH
        basis = Basis.RELATED if overheads else Basis.ASSUMED
    return Estimate(value=COMMAND_SECONDS + rest + scoring(spec.name, size, images), basis=basis)


def _paces(profile: Profile) -> Iterator[Observation]:
    """The observations of a pace; a run that was trained and scored has measured both."""
    for each in profile.observations:
        if each.images_per_second > 0:
            yield each
        if each.mode is Mode.FIT and each.scored_per_second > 0:
            yield each.model_copy(update={"mode": Mode.PROBE, "images_per_second": each.scored_per_second})


def _is(seen: Observation, spec: Backbone, threads: int) -> bool:
    return seen.network == spec.name and seen.threads == threads


def _scale_threads(measured: int, threads: int) -> float:
    """How many times as fast a run is with these threads as with those that were measured."""
    ratio = threads / measured
    return math.pow(ratio, MORE_THREADS) if ratio > 1 else ratio


def _choose(
    observations: Iterable[Observation], *rules: tuple[Basis, Callable[[Observation], bool]]
) -> tuple[Sequence[Observation], Basis]:
    """The observations that the first matching rule takes."""
    known = list(observations)
    for basis, takes in rules:
        if found := [each for each in known if takes(each)]:
            return found, basis
    return (), Basis.ASSUMED
