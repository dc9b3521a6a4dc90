"""What is done to a training batch: a policy is a sequence of steps, each on uint8 arrays.

steps.py         steps that change images and nothing else
randaugment.py   one more of them, which draws its operations from a list
mix.py           steps that mix images, and with them their targets

    images, targets = augment_batch(images, targets, rng, Augment(policy="flip-crop-mixup"))

Steps work on whole batches of stored squares, before the network resizes them: at 32 pixels that is a tenth of the
work it would be at 96. To add one, name it in `AugmentStep`, write it, and give it a row in STEPS or MIXERS.
"""

from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.augment.mix import MIXERS
from bakeoff.data.augment.randaugment import randaugment
from bakeoff.data.augment.steps import MOVES, STEPS, Operation, move
from bakeoff.runs.config import Augment, AugmentStep

__all__ = ["augment_batch", "describe"]

# The settings of steps whose only one has another name.
_SETTINGS = {
    AugmentStep.FLIP: (),
    AugmentStep.TRANSLATE: ("translation",),
    AugmentStep.ROTATE: ("rotation",),
    AugmentStep.RANDAUGMENT: ("operations", "magnitude"),
}
_STEPS = STEPS | {AugmentStep.RANDAUGMENT: randaugment}


def augment_batch(
    images: NDArray[np.uint8], targets: NDArray[np.float32], rng: np.random.Generator, settings: Augment
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Apply the policy of `settings` to uint8 images (n, side, side, 3) and targets (n, classes), which are shares.

    Steps that move pixels are done at once where they stand together. Mixing comes last wherever it stands, and of
    several ways to mix one is drawn for each batch.
    """
    for step in _chain(settings):
        images = step(images, rng, settings)
    if mixers := [MIXERS[step] for step in settings.steps if step in MIXERS]:
        return mixers[rng.integers(len(mixers))](images, targets, rng, settings)
    return images, targets


def describe(settings: Augment) -> str:
    """The strengths of the policy's steps, as in `crop 0.125, rotation 0.1`; empty if none has any."""
    names = [name for step in settings.steps for name in _SETTINGS.get(step, (step.value,))]
    return ", ".join(f"{name} {getattr(settings, name):g}" for name in names)


def _chain(settings: Augment) -> list[Operation]:
    chain: list[Operation] = []
    for is_move, group in groupby(settings.steps, key=MOVES.__contains__):
        names = list(group)
        chain += [move(*names)] if is_move else [_STEPS[name] for name in names if name in _STEPS]
    return chain
