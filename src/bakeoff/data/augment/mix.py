"""Steps that mix each image of a batch with another, and their targets in the same shares."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bakeoff.runs.config import Augment, AugmentStep

__all__ = ["MIXERS"]

Images = NDArray[np.uint8]
Targets = NDArray[np.float32]
Mixer = Callable[[Images, Targets, np.random.Generator, Augment], tuple[Images, Targets]]


def mixup(images: Images, targets: Targets, rng: np.random.Generator, settings: Augment) -> tuple[Images, Targets]:
    """Blend every image with another of the batch (Zhang et al., arXiv 1710.09412), each in its own share."""
    partners = rng.permutation(len(images))
    shares = rng.beta(settings.mixup, settings.mixup, len(images)).astype(np.float32)
    wide = shares[:, None, None, None]
    blended = np.rint(images * wide + images[partners] * (1 - wide)).astype(np.uint8)
    return blended, _blend(targets, partners, shares)


def cutmix(images: Images, targets: Targets, rng: np.random.Generator, settings: Augment) -> tuple[Images, Targets]:
    """Paste a rectangle of another image into every image (Yun et al., arXiv 1905.04899), each its own."""
    count, side = images.shape[:2]
    partners = rng.permutation(count)
    kept = rng.beta(settings.cutmix, settings.cutmix, count)
    half = side * np.sqrt(1 - kept) / 2
    middle = rng.uniform(0, side, (2, count))
    low = np.rint(np.clip(middle - half, 0, side))
    high = np.rint(np.clip(middle + half, 0, side))
    places = np.arange(side)
    rows, columns = ((low[axis][:, None] <= places) & (places < high[axis][:, None]) for axis in (0, 1))
    inside = rows[:, :, None] & columns[:, None, :]
    mixed = np.where(inside[..., None], images[partners], images)
    # The rectangle may be cut off at the border, so its share is counted.
    return mixed, _blend(targets, partners, (1 - inside.mean(axis=(1, 2))).astype(np.float32))


def _blend(targets: Targets, partners: NDArray[np.intp], shares: Targets) -> Targets:
    own = shares[:, None]
    return targets * own + targets[partners] * (1 - own)


MIXERS: dict[AugmentStep, Mixer] = {AugmentStep.MIXUP: mixup, AugmentStep.CUTMIX: cutmix}
