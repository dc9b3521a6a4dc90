"""What is done to a training batch: named policies, each a function of (images, rng, settings) on uint8 arrays.

A policy works on a whole batch of stored squares, before the network resizes them: at 32 pixels that is a
tenth of the work it would be at 96. To add one, write the function and give it a row in POLICIES.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bakeoff.config import Augment, Policy

__all__ = ["POLICIES", "augment_batch"]

Images = NDArray[np.uint8]
Labels = NDArray[np.int32]
PolicyFunction = Callable[[Images, np.random.Generator, Augment], Images]


def keep(images: Images, rng: np.random.Generator, settings: Augment) -> Images:  # noqa: ARG001
    """Leave the images as they are."""
    return images


def flip(images: Images, rng: np.random.Generator, settings: Augment) -> Images:  # noqa: ARG001
    """Mirror half of the images, left to right."""
    mirrored = rng.random(len(images)) < 0.5
    return np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)


def crop(images: Images, rng: np.random.Generator, settings: Augment) -> Images:
    """Shift every image by up to `settings.crop` of its side; what comes in from outside is its reflection."""
    side = images.shape[1]
    reach = min(round(settings.crop * side), side - 1)
    if reach == 0:
        return images
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
    top, left = rng.integers(0, 2 * reach + 1, size=(2, len(images)))
    # The window axes come last in the view; the copy back to (n, side, side, 3) is what the network reads.
    return np.ascontiguousarray(windows[np.arange(len(images)), top, left].transpose(0, 2, 3, 1))


def flip_crop(images: Images, rng: np.random.Generator, settings: Augment) -> Images:
    """Mirror, then shift: the usual augmentation of small photographs."""
    return crop(flip(images, rng, settings), rng, settings)


POLICIES: dict[Policy, PolicyFunction] = {
    Policy.NONE: keep,
    Policy.FLIP: flip,
    Policy.CROP: crop,
    Policy.FLIP_CROP: flip_crop,
}


def augment_batch(images: Images, labels: Labels, rng: np.random.Generator, settings: Augment) -> tuple[Images, Labels]:
    """Apply the policy of `settings` to uint8 images (n, side, side, 3) and int32 labels (n,)."""
    return POLICIES[settings.policy](images, rng, settings), labels
