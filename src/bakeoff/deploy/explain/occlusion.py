"""Occlusion map (Zeiler & Fergus 2014, arXiv 1311.2901): how much an answer suffers if a part is covered."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bakeoff.deploy.bundle import Floats, Images

__all__ = ["COARSE_GRID", "GRID", "draw_occlusion_map"]

GRID, COARSE_GRID = 6, 4
"""Rows and columns of the map. The image is predicted once for each cell, so a coarse map takes less than half the
time."""


def draw_occlusion_map(
    predict: Callable[[Images], Floats], image: NDArray[np.uint8], label: int, grid: int = GRID
) -> Floats:
    """Draw the map of one image.

    Each place is covered by a square of the image's mean colour, two cells wide, so that neighbours overlap.

    Args:
        predict: uint8 images (n, side, side, 3) -> logits (n, classes).
        image: uint8 (side, side, 3).
        label: The class whose log-odds are watched. Unlike its probability, they fall also where it stays near 1.
        grid: Rows and columns of the map.

    Returns:
        How much they fall, (grid, grid), 0 where they rise.
    """
    covered = [_cover(image, row, column, grid) for row in range(grid) for column in range(grid)]
    logits = predict(np.stack([image, *covered]))
    odds = logits[:, label] - np.logaddexp.reduce(np.delete(logits, label, axis=1), axis=1)
    falls: Floats = np.maximum(odds[0] - odds[1:], 0).reshape(grid, grid).astype(np.float32)
    return falls


def _cover(image: NDArray[np.uint8], row: int, column: int, grid: int) -> NDArray[np.uint8]:
    covered, cell = image.copy(), len(image) / grid
    rows, columns = (
        slice(max(0, round((place - 0.5) * cell)), max(1, round((place + 1.5) * cell))) for place in (row, column)
    )
    covered[rows, columns] = np.round(image.mean(axis=(0, 1)))
    return covered
