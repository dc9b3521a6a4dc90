"""Augmented views of a split: its images in their order, mirrored or changed at random, the same at each reading."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.augment import augment_batch, without_mixing
from bakeoff.data.batches import ChangedImages, Split
from bakeoff.errors import ConfigError
from bakeoff.runs.config import Augment, AugmentStep

__all__ = ["MIRROR", "View", "list_views"]


@dataclass(frozen=True)
class View:
    """One way to show all images of a split."""

    number: int
    """From 1."""
    settings: Augment
    """The policy, without steps that mix images."""
    seed: int

    @property
    def is_mirror(self) -> bool:
        """Whether it shows the mirror images, and nothing at random."""
        return self.number == 1 and AugmentStep.FLIP in self.settings.steps

    @property
    def key(self) -> list[Any]:
        """What the images that it shows depend on, as JSON."""
        return ["mirror"] if self.is_mirror else [self.number, self.settings.model_dump(mode="json"), self.seed]

    def of(self, split: Split) -> Split:
        """The split as this view shows it: the same images, if they are read by the same slices."""
        return Split(ChangedImages(split.images, self._show), split.labels, split.ids, split.groups)

    def _show(self, images: NDArray[np.uint8], first: int) -> NDArray[np.uint8]:
        if self.is_mirror:
            return np.ascontiguousarray(images[:, :, ::-1])
        # Training draws from (seed, 0, …) and (seed, 1, …).
        rng = np.random.default_rng([self.seed, 2, self.number, first])
        return augment_batch(images, np.empty((len(images), 0), np.float32), rng, self.settings)[0]


MIRROR = View(1, Augment(policy=AugmentStep.FLIP), seed=0)
"""The mirror images."""


def list_views(settings: Augment, count: int, seed: int) -> list[View]:
    """The first views of an augmentation policy: the mirror images first, if it flips images.

    Args:
        settings: The policy; its steps that mix images are left out, because a view has the labels of its images.
        count: Number of views.
        seed: Seed of all random changes.

    Raises:
        ConfigError: The policy has no step that changes an image by itself.
    """
    settings = without_mixing(settings)
    if count and not settings.steps:
        raise ConfigError("augment.policy changes no image by itself: remove train.probe_views, or add a step")
    return [View(number, settings, seed) for number in range(1, count + 1)]
