"""Augmentation of training batches: a policy is a sequence of steps, each a function of uint8 arrays.

mix.py           steps that mix two images and their targets: Mixup, CutMix
steps.py         steps that change each image by itself: flip, crop, affine warps, colour, Cutout
randaugment.py   RandAugment

    images, targets = augment_batch(images, targets, rng, Augment(policy="flip-crop-mixup"))

Steps work on whole batches at their stored size, before the network resizes them: at 32 pixels that is a tenth of the
work it would be at 96. To add a step, name it in `AugmentStep`, write its function, and enter it in STEPS or MIXERS.
"""

from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.augment.mix import MIXERS
from bakeoff.data.augment.randaugment import randaugment
from bakeoff.data.augment.steps import AFFINE_STEPS, STEPS, StepFunction, affine
from bakeoff.runs.config import Augment, AugmentStep

__all__ = ["augment_batch", "describe", "without_mixing"]

# Fields of `Augment` that hold a step's strengths, for the steps where it is not the one field of the step's name.
_STRENGTHS = {
    AugmentStep.FLIP: (),
    AugmentStep.TRANSLATE: ("translation",),
    AugmentStep.ROTATE: ("rotation",),
    AugmentStep.RANDAUGMENT: ("operations", "magnitude"),
}
_STEPS = STEPS | {AugmentStep.RANDAUGMENT: randaugment}


def augment_batch(
    images: NDArray[np.uint8], targets: NDArray[np.float32], rng: np.random.Generator, settings: Augment
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Apply a policy to a batch.

    Consecutive affine steps are one interpolation. Mixing comes last at any place in the policy; of several ways to
    mix, one is drawn for the batch.

    Args:
        images: uint8 (n, side, side, 3).
        targets: float32 (n, classes), each row a distribution over the classes.
        rng: The source of all randomness: the same state gives the same batch.
        settings: The policy and the strengths of its steps.

    Returns:
        Images and targets of the same shapes and dtypes.
    """
    for step in _make_steps(settings):
        images = step(images, rng, settings)
    if mixers := [MIXERS[step] for step in settings.steps if step in MIXERS]:
        return mixers[rng.integers(len(mixers))](images, targets, rng, settings)
    return images, targets


def without_mixing(settings: Augment) -> Augment:
    """The policy without the steps that mix images."""
    steps = [step for step in settings.steps if step not in MIXERS]
    return settings.model_copy(update={"policy": "-".join(steps) or "none"})


def describe(settings: Augment) -> str:
    """The strengths of the policy's steps, as in `crop 0.125, rotation 0.1`; empty if no step has a strength."""
    names = [name for step in settings.steps for name in _STRENGTHS.get(step, (step.value,))]
    return ", ".join(f"{name} {getattr(settings, name):g}" for name in names)


def _make_steps(settings: Augment) -> list[StepFunction]:
    functions: list[StepFunction] = []
    for is_affine, group in groupby(settings.steps, key=AFFINE_STEPS.__contains__):
        steps = list(group)
        functions += [affine(*steps)] if is_affine else [_STEPS[step] for step in steps if step in _STEPS]
    return functions
