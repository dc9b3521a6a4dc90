"""The input size of a network: by the pictures, by the pace of the machine, and by what larger inputs are worth.

A larger input shows more and costs time: in the same seconds the network sees fewer images. Which of the two counts
more depends on how often it sees every image anyway. Before anything is measured, the gain is assumed (GAINS); then
the leader of the screen is probed at a second size, and the measured errors count.
"""

import math
from collections.abc import Iterable

from bakeoff.networks.backbone import Backbone, fit_size
from bakeoff.report.board import GAIN, MAX_EPOCHS
from bakeoff.runs.config import Candidate, Mode
from bakeoff.study.defaults import SMALL_INPUT, default_size
from bakeoff.study.forecast import Forecast

__all__ = ["SIZES", "choose_size", "predict_error", "relative_error", "sizes_for"]

# Sides in pixels that are considered.
SIZES = (96, 128, 160, 192, 224)
# Small images are enlarged this many times at most. On CIFAR, 160 pixels gained nothing over 128 (levers.csv).
MAX_ENLARGEMENT = 4
# The probe's error is assumed to fall with the side to this power: from 32 pixels up, from 96, from 128, and from 160.
# The first two values for enlarged images are measured (benchmarks/screening.csv: 0.6 from 64 to 96 pixels); the others
# are guesses, which a probe replaces.
GAINS_ENLARGED = ((32, 0.6), (96, 0.3), (128, 0.2), (160, 0.1))
GAINS_PHOTOGRAPHS = ((32, 0.6), (96, 0.5), (128, 0.35), (160, 0.3))
# A network's error on ImageNet is for the side that it was designed for. Below it the error is assumed to grow with the
# ratio of the sides to this power, in the comparison of networks. Of the probes in benchmarks/screening.csv, those of
# Lite2 (260 pixels) lose that much against those of Lite0 (224): 0.44, 0.77 and 0.64 at 128, 96 and 64 pixels. Trained
# anew at each size, a network loses less: MobileNetV2 0.37 from 224 to 128 pixels, by the table of its authors.
BELOW_DESIGN = 0.6
# ImageNet top-1, in percent, of a network for which it is not known: that of a small one.
ASSUMED_TOP1 = 70.0
# Stored images of at most this side are enlarged; larger ones have details that a larger input shows.
ENLARGED_SIDE = 64


def sizes_for(spec: Backbone, side: int) -> tuple[int, ...]:
    """The input sizes that are considered for a network, the smallest first.

    Args:
        spec: The network.
        side: Side of the stored images in pixels.
    """
    if spec.from_scratch or side < 32:
        return (default_size(spec, side),)
    largest = max(SMALL_INPUT, min(spec.native_size, MAX_ENLARGEMENT * side))
    found = tuple(dict.fromkeys(fit_size(spec, size) for size in SIZES if spec.min_size <= size <= largest))
    return found or (default_size(spec, side),)


def choose_size(spec: Backbone, side: int, *, seconds: float, images: int, forecast: Forecast) -> int:
    """The input size with the least expected error of a run of so many training seconds, before it is measured.

    Args:
        spec: The network.
        side: Side of the stored images in pixels.
        seconds: Training seconds of the winner's run.
        images: Training images.
        forecast: The pace of this machine.
    """

    def expected(size: int) -> float:
        return predict_error(spec, size, side=side, seconds=seconds, images=images, forecast=forecast)

    return min(sizes_for(spec, side), key=expected)


def predict_error(spec: Backbone, size: int, *, side: int, seconds: float, images: int, forecast: Forecast) -> float:
    """The error that is expected of a network before anything is measured on the data: only the order has a meaning.

    It is the error on ImageNet, at which networks come in nearly the same order as on other images (Kornblith et al.
    2019), taken from the size that the network was designed for to 96 pixels, then to the input size by what that is
    worth for these images, and to the images that it sees in training as in the ranking of the screen.

    Args:
        spec: The network.
        size: Side of its input in pixels.
        side: Side of the stored images in pixels.
        seconds: Training seconds of the winner's run; infinite: as many as there is use for.
        images: Training images.
        forecast: The pace of this machine.
    """
    error = 1 - (ASSUMED_TOP1 if spec.imagenet_top1 is None else spec.imagenet_top1) / 100
    error *= math.pow(max(1.0, spec.native_size / SMALL_INPUT), BELOW_DESIGN)
    error *= relative_error(side, SMALL_INPUT, size)
    return error * math.pow(_images_seen(spec, size, seconds, images, forecast), -GAIN)


def relative_error(side: int, first: int, second: int) -> float:
    """The error of a probe at the second input size, as a multiple of its error at the first: assumed."""
    return math.exp(_log_error(side, second) - _log_error(side, first))


def _images_seen(spec: Backbone, size: int, seconds: float, images: int, forecast: Forecast) -> float:
    """Images that count: more than MAX_EPOCHS passes are taken to gain nothing."""
    rate = forecast.rate(Candidate(name=spec.name, size=size), Mode.FIT).value
    return min(rate * seconds, MAX_EPOCHS * images)


def _log_error(side: int, size: int) -> float:
    gains = GAINS_ENLARGED if side <= ENLARGED_SIDE else GAINS_PHOTOGRAPHS
    return -sum(power * math.log(high / low) for low, high, power in _pieces(gains, size))


def _pieces(gains: tuple[tuple[int, float], ...], size: int) -> Iterable[tuple[int, int, float]]:
    """The parts of the way from the smallest size up to `size`, with the power of each."""
    ends = [low for low, _ in gains[1:]] + [max(size, gains[-1][0])]
    for (low, power), end in zip(gains, ends, strict=True):
        if size > low:
            yield low, min(size, end), power
