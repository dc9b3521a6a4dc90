"""scikit-learn's bundled handwritten digits: 1,797 images of 8x8 pixels that need no network."""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from bakeoff.data.sources.records import BadImage, RawImage, Source
from bakeoff.files import hash_json

__all__ = ["Digits"]


class Digits(Source):
    """The digits 0 to 9 as grey uint8 RGB; no split of their own."""

    name = "digits"
    licence = "CC BY 4.0; Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI repository (1998)"
    # The images never change; raise the number if their conversion does.
    signature = hash_json(["digits", 1])

    @property
    def class_names(self) -> tuple[str, ...]:
        """The digits as text."""
        return tuple("0123456789")

    @property
    def count(self) -> int:
        """1,797."""
        return len(self._labels)

    def records(self) -> Iterator[RawImage | BadImage]:
        """All digits, keyed by their position."""
        return self.fetch([f"{index:04d}" for index in range(self.count)])

    def fetch(self, keys: Sequence[str]) -> Iterator[RawImage]:
        """The digits at the positions that are the keys."""
        for key in keys:
            index = int(key)
            yield RawImage(key, None, int(self._labels[index]), None, self._images[index].tobytes(), (8, 8))

    @cached_property
    def _labels(self) -> np.ndarray:
        return self._loaded[1]

    @cached_property
    def _images(self) -> np.ndarray:
        grey = np.rint(self._loaded[0] * (255 / 16)).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)

    @cached_property
    def _loaded(self) -> tuple[np.ndarray, np.ndarray]:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        return bunch.images, bunch.target
