"""scikit-learn's handwritten digits: 1,797 images of 8x8 pixels that are installed with it."""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from bakeoff.data.sources.records import BadImage, RawImage, Source
from bakeoff.files import hash_json

__all__ = ["Digits"]


class Digits(Source):
    """The digits 0 to 9 as grey uint8 RGB. The source gives no splits."""

    name = "digits"
    licence = "CC BY 4.0; Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI repository (1998)"
    # The images never change. Raise the number when their conversion to RGB, or what is said of them, changes.
    signature = hash_json(["digits", 2])
    may_mirror = False

    @property
    def class_names(self) -> tuple[str, ...]:
        """ "0" to "9"."""
        return tuple("0123456789")

    @property
    def count(self) -> int:
        """Number of images: 1,797."""
        return len(self._labels)

    def records(self) -> Iterator[RawImage | BadImage]:
        """All images. Keys are positions, as in `0042`."""
        return self.fetch([f"{index:04d}" for index in range(self.count)])

    def fetch(self, keys: Sequence[str]) -> Iterator[RawImage]:
        """The images with these keys, in this order."""
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
