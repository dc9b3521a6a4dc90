"""Predicted memory, corrected by what runs on this device were measured to take: pure functions of a profile.

The model in `training/memory` counts weights and tensors from shapes. What a processor adds (layouts, packed kernels,
gaps of the allocator) is learned here: the logarithm of measured over modelled bytes is taken for a Gaussian process.
The more two runs share (device; mode and precision; family; network; about the same memory), the more alike their
errors are, and so the more a measurement of one counts for the other. What remains unknown is the uncertainty.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bakeoff.networks.backbone import Backbone
from bakeoff.networks.find import find_network, is_known
from bakeoff.profile.facts import Basis, Observation, Profile
from bakeoff.runs.config import Mode
from bakeoff.runs.facts import Facts

__all__ = ["MemoryEstimate", "correct_memory"]

# Standard deviations of log(measured / modelled) between runs that share no more than the level above: between devices,
# modes and precisions, families, networks, settings of one network. From benchmarks/memory.csv, see
# docs/why/memory.md.
DEVICE, MODE, FAMILY, NETWORK, SETTING = 0.15, 0.05, 0.04, 0.03, 0.08
# And between repetitions of one run. At some batch of a forward pass, by chance, TensorFlow's pool for oneDNN grows by
# one more tensor; in training such gaps are small beside the rest. From the 120 runs of benchmarks/small_data.py.
REPETITION = {Mode.FIT: 0.04, Mode.PROBE: 0.17}
# Two runs of a network have about the same memory if their modelled bytes are equal within this factor.
SETTING_FACTOR = 1.1
# A peak below this share of the modelled bytes is not that of a whole run: its process may have resumed it at its end.
LEAST_SHARE = 1 / 3
# 95 % of a normal distribution are within so many standard deviations.
WITHIN_95_PERCENT = 1.96

Floats = NDArray[np.float64]


class MemoryEstimate(Facts):
    """A predicted peak in bytes, and what it rests on."""

    value: int
    deviation: float
    """Standard deviation of log(measured / predicted)."""
    basis: Basis

    @property
    def safe(self) -> int:
        """One standard deviation more; five of six runs stay below it."""
        return round(self.value * math.exp(self.deviation))

    @property
    def margin(self) -> float:
        """How much more than predicted a run may take, as a share of the prediction; 39 of 40 runs stay below it."""
        return math.expm1(WITHIN_95_PERCENT * self.deviation)


def correct_memory(profile: Profile, spec: Backbone, mode: Mode, precision: str, modelled: int) -> MemoryEstimate:
    """The peak memory of a run, from its modelled bytes and from the peaks measured on the device.

    Args:
        profile: What was measured on the device.
        spec: The network.
        mode: Whether it trains.
        precision: The run's precision.
        modelled: Bytes that `predict_memory` counts for the run.
    """
    seen = [
        each
        for each in profile.observations
        if each.memory_measured > LEAST_SHARE * each.memory_modelled > 0 and is_known(each.network)
    ]
    wanted = _Run(spec, mode, precision, modelled)
    runs = [wanted, *map(_describe, seen)]
    shared = _covariances(runs)
    errors = [math.log(each.memory_measured / each.memory_modelled) for each in seen]
    repetitions = np.array([REPETITION[run.mode] ** 2 for run in runs])
    weights = np.linalg.solve(shared[1:, 1:] + np.diag(repetitions[1:]), shared[1:, 0])
    variance = shared[0, 0] + repetitions[0] - weights @ shared[1:, 0]
    return MemoryEstimate(
        value=round(modelled * math.exp(weights @ errors)),
        deviation=math.sqrt(variance),
        basis=_find_basis(wanted, runs[1:]),
    )


class _Run(NamedTuple):
    """What the errors of two predictions may have in common."""

    spec: Backbone
    mode: Mode
    precision: str
    modelled: int


def _describe(seen: Observation) -> _Run:
    return _Run(find_network(seen.network), seen.mode, seen.precision, seen.memory_modelled)


def _covariances(runs: Sequence[_Run]) -> Floats:
    """(n, n): how much of the variance of log(measured / modelled) each two runs share."""
    mode = _are_same(f"{run.mode} {run.precision}" for run in runs)
    family = mode * _are_same(run.spec.family for run in runs)
    network = mode * _are_same(run.spec.name for run in runs)
    size = np.log([run.modelled for run in runs]) / math.log(SETTING_FACTOR)
    setting = network * np.exp(-((size[:, None] - size) ** 2) / 2)
    shares = ((DEVICE, np.ones_like(mode)), (MODE, mode), (FAMILY, family), (NETWORK, network), (SETTING, setting))
    covariances: Floats = np.sum([deviation**2 * shared for deviation, shared in shares], axis=0)
    return covariances


def _are_same(words: Iterable[str]) -> Floats:
    """(n, n): 1 where two words are the same, else 0."""
    column = np.array(list(words))
    same: Floats = np.equal(column[:, None], column).astype(float)
    return same


def _find_basis(wanted: _Run, seen: Sequence[_Run]) -> Basis:
    same = [each.modelled for each in seen if each[:3] == wanted[:3]]
    if wanted.modelled in same:
        return Basis.MEASURED
    if same:
        return Basis.SCALED
    return Basis.RELATED if seen else Basis.ASSUMED
