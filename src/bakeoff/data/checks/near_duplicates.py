"""Images that are nearly the same: copies that were shifted a little, mirrored, brightened, or compressed again.

The search has three steps, from cheap to expensive:

1. Each image's nearest neighbours by the cosine of 8 x 8 thumbnails without their mean colour: one matrix product.
2. Of those, the pairs whose 16 x 16 pixels correlate at the best of a few shifts.
3. Of those, the pairs whose 32 x 32 gradients correlate at the best of a few shifts. Pixels alone do not separate
   near-duplicates from others: two different fields under a sky correlate at 0.9.

CIFAR-100 has such pairs between its training and test split: ciFAIR (Barz & Denzler 2020, arXiv 1902.00423).
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["MIN_SIDE_PIXELS", "MIN_SIMILARITY", "NearDuplicate", "find_near_duplicates"]

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]
Indices = NDArray[np.intp]

# Step 1: candidates per image, and the smallest cosine of a candidate's thumbnail.
NEIGHBOURS, MIN_COSINE = 8, 0.7
# Step 2: the smallest correlation of pixels.
MIN_PIXEL_CORRELATION = 0.75
# Step 3: the smallest correlation of gradients. In CIFAR-100, nearly all pairs above it show the same scene, and most
# pairs below it show two.
MIN_SIMILARITY = 0.7
# In images with a smaller side, different images correlate as highly: the strokes of two sevens do.
MIN_SIDE_PIXELS = 24
# Side in pixels of the thumbnail of step 1.
THUMBNAIL_SIDE = 8
# Side in pixels, and largest shift in pixels, of the comparisons of steps 2 and 3.
PIXEL_GRID, GRADIENT_GRID = (16, 1), (32, 2)
# How many images are compared with all others at once.
_BLOCK_IMAGES = 512
# Neighbours are searched in groups of at most so many others; a group gives its nearest one.
_GROUP_IMAGES = 64
# Among the images themselves, which are all searched, fewer neighbours do: near-duplicates of one scene form a chain.
_NEIGHBOURS_WITHIN = 2
# How many pairs steps 2 and 3 compare at once.
_BLOCK_PAIRS, _CHUNK_PAIRS = 4096, 128


class NearDuplicate(NamedTuple):
    """A pair: the position of the image, that of the other image, and the correlation of their gradients."""

    first: int
    second: int
    similarity: float


def find_near_duplicates(
    images: Images,
    others: Images | None,
    *,
    every: bool = False,
    min_similarity: float = MIN_SIMILARITY,
    on_block: Callable[[int, int], None] | None = None,
) -> list[NearDuplicate]:
    """Find pairs of one of the images and one of the others that are nearly the same, also if one is mirrored.

    Without others the images are compared with each other. Each image that has a near-duplicate is in a pair; with
    `every`, each of the others that is one, too.

    Takes about 800 n m floating-point operations.

    Args:
        images: uint8 (n, side, side, 3).
        others: uint8 (m, side, side, 3), or None.
        every: Whether to go on from each image that has a near-duplicate to its next neighbours, until none of them is
            one. An other that was found need not be in a pair with each image that is like it.
        min_similarity: The smallest correlation of the gradients of a pair.
        on_block: Called with (images done, images in all), while the others are prepared too. What it raises ends the
            search.

    Returns:
        The pairs, the most similar first; without `every`, at most NEIGHBOURS for an image and each orientation.
    """
    best: dict[tuple[int, int], float] = {}
    within = others is None
    others = images if others is None else others
    # So small that each image has NEIGHBOURS candidates if there are as many others.
    group = 1 if within else max(1, min(_GROUP_IMAGES, len(others) // NEIGHBOURS))
    views = [others, others[:, :, ::-1]] if len(others) else []

    def describe(view: Images, of: Callable[[Images], Floats]) -> Floats:
        parts = []
        for start in range(0, len(view), _BLOCK_IMAGES):
            parts.append(of(view[start : start + _BLOCK_IMAGES]))
            if on_block:
                on_block(0, len(images))
        return np.concatenate(parts)

    thumbnails = [
        _pad(describe(view, lambda block: _to_units(_shrink(block, THUMBNAIL_SIDE))), group) for view in views
    ]
    centres = [describe(view, lambda block: _describe_centre(block, *PIXEL_GRID)) for view in views]
    is_found = np.zeros(len(others), bool)
    for start in range(0, len(images), _BLOCK_IMAGES):
        block = images[start : start + _BLOCK_IMAGES]
        block_thumbnails = _to_units(_shrink(block, THUMBNAIL_SIDE))
        shifted = _describe_shifted(block, *PIXEL_GRID)
        for view, view_thumbnails, centre in zip(views, thumbnails, centres, strict=True):
            cosines = block_thumbnails @ view_thumbnails.T
            if within:  # no image is a duplicate of itself
                cosines[np.arange(len(block)), start + np.arange(len(block))] = -1
            count = _NEIGHBOURS_WITHIN if within else NEIGHBOURS
            rows, columns = _find_nearest(cosines, group, count)
            while len(rows):
                cosines[rows, columns] = -1  # no pair is compared twice
                is_close = _correlate(shifted, rows, centre, columns) >= MIN_PIXEL_CORRELATION
                rows, columns = rows[is_close], columns[is_close]
                values = _correlate_gradients(block, rows, view, columns)
                for row, column, value in zip(rows, columns, values, strict=True):
                    pair = start + int(row), int(column)
                    best[pair] = max(best.get(pair, -1.0), float(value))
                if not every:
                    break
                is_near = values >= min_similarity
                is_found[columns[is_near]] = True
                count *= 2
                rows, columns = _find_next(cosines[:, : len(others)], rows[is_near], ~is_found, count)
        if on_block:
            on_block(min(start + _BLOCK_IMAGES, len(images)), len(images))
    found = [NearDuplicate(*pair, similarity) for pair, similarity in best.items() if similarity >= min_similarity]
    return sorted(found, key=lambda pair: -pair.similarity)


def _find_nearest(cosines: Floats, size: int, neighbours: int) -> tuple[Indices, Indices]:
    """Rows and columns of each row's largest values, at most one from each group of so many columns."""
    groups = cosines.reshape(len(cosines), -1, size)
    peaks = groups.max(axis=2)
    count = min(neighbours, peaks.shape[1])
    chosen = np.argpartition(-peaks, count - 1, axis=1)[:, :count]
    rows = np.repeat(np.arange(len(cosines)), count).reshape(chosen.shape)
    columns = chosen * size + groups[rows, chosen].argmax(axis=2)
    near = cosines[rows, columns] >= MIN_COSINE
    return rows[near], columns[near]


def _find_next(cosines: Floats, rows: Indices, is_left: NDArray[np.bool_], count: int) -> tuple[Indices, Indices]:
    """Rows and columns of the largest values of some rows, at most `count` of each, among the columns that are left."""
    rows, chosen = np.unique(rows), [np.empty(0, np.intp)]
    for row in rows:
        columns = np.flatnonzero(is_left & (cosines[row] >= MIN_COSINE))
        if len(columns) > count:
            columns = columns[np.argpartition(-cosines[row, columns], count)[:count]]
        chosen.append(columns)
    return np.repeat(rows, np.array([len(columns) for columns in chosen[1:]], np.intp)), np.concatenate(chosen)


def _correlate(shifted: Floats, rows: Indices, centres: Floats, columns: Indices) -> Floats:
    """The highest correlation of each pair over the shifts: of unit vectors (shifts, n, d) and (m, d), (pairs,)."""
    best = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _BLOCK_PAIRS):
        chunk = slice(start, start + _BLOCK_PAIRS)
        products = np.einsum("snd,nd->sn", shifted[:, rows[chunk]], centres[columns[chunk]])
        best[chunk] = products.max(axis=0)
    return best


def _correlate_gradients(block: Images, rows: Indices, view: Images, columns: Indices) -> Floats:
    """The highest correlation of the gradients of each pair (block[row], view[column]): (pairs,)."""
    side, shift = GRADIENT_GRID
    present, rows = np.unique(rows, return_inverse=True)
    gradients = _to_gradients(_shrink(block[present], min(side, block.shape[1])))
    shifts = [(down, right) for down in range(2 * shift + 1) for right in range(2 * shift + 1)]
    lengths = [_norm(_without_mean(_crop(gradients, shift, *each))) for each in shifts]
    best = np.full(len(rows), -1.0, np.float32)
    for start in range(0, len(rows), _CHUNK_PAIRS):
        chunk = slice(start, start + _CHUNK_PAIRS)
        own = gradients[rows[chunk]]
        centres = _describe_centre(view[columns[chunk]], side, shift, of=_to_gradients)
        centres = centres.reshape(_crop(own, shift, shift, shift).shape)
        for each, length in zip(shifts, lengths, strict=True):
            # A centre is without its mean, so that of the shifted gradients changes nothing.
            products = np.einsum("nhwc,nhwc->n", _crop(own, shift, *each), centres)
            np.maximum(best[chunk], products / length[rows[chunk]], out=best[chunk])
    return best


def _to_pixels(small: Floats) -> Floats:
    return small


def _to_gradients(small: Floats) -> Floats:
    """Differences to the right and to the lower neighbour, as channels: (n, s, s, 3) to (n, s - 1, s - 1, 6)."""
    here = small[:, :-1, :-1]
    return np.concatenate([small[:, :-1, 1:] - here, small[:, 1:, :-1] - here], axis=3)


def _describe_shifted(images: Images, side: int, shift: int) -> Floats:
    """Unit vectors (shifts, n, d) of the images without a margin, shifted by up to `shift` pixels along each axis."""
    small, steps = _shrink(images, min(side, images.shape[1])), range(2 * shift + 1)
    return np.stack([_to_units(_crop(small, shift, down, right)) for down in steps for right in steps])


def _describe_centre(images: Images, side: int, shift: int, *, of: Callable[[Floats], Floats] = _to_pixels) -> Floats:
    """Unit vectors (n, d) of the images without a margin of `shift` pixels, not shifted."""
    return _to_units(_crop(of(_shrink(images, min(side, images.shape[1]))), shift, shift, shift))


def _crop(small: Floats, margin: int, top: int, left: int) -> Floats:
    side = small.shape[1] - 2 * margin
    return small[:, top : top + side, left : left + side]


def _pad(vectors: Floats, size: int) -> Floats:
    """Append zero vectors up to a whole number of groups of so many."""
    return np.pad(vectors, ((0, -len(vectors) % size), (0, 0)))


def _shrink(images: Images, side: int) -> Floats:
    """Average pooling to float32 (n, side, side, 3); smaller images keep their size."""
    count, height = images.shape[:2]
    if height <= side:
        return images.astype(np.float32)
    if height % side == 0:  # The common case, several times faster than the general one below.
        cell = height // side
        strips = images.reshape(count, side, cell, 3 * height).sum(axis=2, dtype=np.float32)
        even: Floats = strips.reshape(count, side, side, cell, 3).sum(axis=3) / cell**2
        return even
    edges = np.linspace(0, height, side + 1).round().astype(int)
    # A mean for each cell is several times faster than `np.add.reduceat`.
    cells = [slice(*ends) for ends in pairwise(edges)]
    strips = np.stack([images[:, cell].mean(axis=1, dtype=np.float32) for cell in cells], axis=1)
    means: Floats = np.stack([strips[:, :, cell].mean(axis=2) for cell in cells], axis=2)
    return means


def _to_units(images: Floats) -> Floats:
    """Flatten (n, h, w, c) to (n, h * w * c), without the mean of each channel, at unit length; constants become 0."""
    vectors = _without_mean(images)
    units: Floats = vectors / _norm(vectors)[:, None]
    return units


def _without_mean(images: Floats) -> Floats:
    """Flatten (n, h, w, c) to (n, h * w * c), without the mean of each channel."""
    # One axis after the other is faster than both at once.
    centred: Floats = images - images.mean(axis=1, keepdims=True).mean(axis=2, keepdims=True)
    return centred.reshape(len(images), math.prod(images.shape[1:]))


def _norm(vectors: Floats) -> Floats:
    """The lengths of vectors (n, d), at least a thousandth: (n,)."""
    lengths: Floats = np.maximum(np.linalg.norm(vectors, axis=1), 1e-3)
    return lengths
