"""Steps that mix each image of a batch with another one, and their targets in the same proportion."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bakeoff.runs.config import Augment, AugmentStep

__all__ = ["MIXERS"]

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]
Mixer = Callable[[Images, Floats, np.random.Generator, Augment], tuple[Images, Floats]]


def mixup(images: Images, targets: Floats, rng: np.random.Generator, settings: Augment) -> tuple[Images, Floats]:
    """Mixup: blend every image with another of the batch (Zhang et al. 2018, arXiv 1710.09412).

    The image's weight is drawn from Beta(a, a) with a = `settings.mixup`, for each image anew; the paper draws one
    weight for a batch.
    """
    partners = rng.permutation(len(images))
    weights = rng.beta(settings.mixup, settings.mixup, len(images)).astype(np.float32)
    per_image = weights[:, None, None, None]
    blended = np.rint(images * per_image + images[partners] * (1 - per_image)).astype(np.uint8)
    return blended, _blend(targets, partners, weights)


def cutmix(images: Images, targets: Floats, rng: np.random.Generator, settings: Augment) -> tuple[Images, Floats]:
    """CutMix: paste a square of another image of the batch into every image (Yun et al. 2019, arXiv 1905.04899).

    The area that the image keeps is drawn from Beta(a, a) with a = `settings.cutmix`, for each image anew; the paper
    draws one square for a batch.
    """
    count, side = images.shape[:2]
    partners = rng.permutation(count)
    kept = rng.beta(settings.cutmix, settings.cutmix, count)
    half = side * np.sqrt(1 - kept) / 2
    centre = rng.uniform(0, side, (2, count))
    low = np.rint(np.clip(centre - half, 0, side))
    high = np.rint(np.clip(centre + half, 0, side))
    positions = np.arange(side)
    rows, columns = ((low[axis][:, None] <= positions) & (positions < high[axis][:, None]) for axis in (0, 1))
    inside = rows[:, :, None] & columns[:, None, :]
    mixed = np.where(inside[..., None], images[partners], images)
    # The border of the image may cut the square, so the targets' weights come from the pixels that were pasted.
    return mixed, _blend(targets, partners, (1 - inside.mean(axis=(1, 2))).astype(np.float32))


def _blend(targets: Floats, partners: NDArray[np.intp], weights: Floats) -> Floats:
    per_image = weights[:, None]
    return targets * per_image + targets[partners] * (1 - per_image)


MIXERS: dict[AugmentStep, Mixer] = {AugmentStep.MIXUP: mixup, AugmentStep.CUTMIX: cutmix}
