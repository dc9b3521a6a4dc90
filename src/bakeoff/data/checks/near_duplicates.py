"""Images that are nearly the same: copies that were shifted a little, mirrored, brightened, or compressed again.

A thumbnail of 8 x 8 pixels without its mean is a perceptual descriptor; those nearest to an image's by cosine, out of
all, come at the cost of a matrix product. One of them counts if its gradients correlate with the image's at the best of
a few shifts. Pixels do not tell: any two fields under a sky correlate at 0.9.
CIFAR-100 is known for such pairs between training and test: ciFAIR (Barz & Denzler 2020, arXiv 1902.00423).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEAST_SIDE", "SIMILAR", "NearDuplicate", "find_near_duplicates", "have_near_duplicates"]

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]
Indices = NDArray[np.intp]
# How many of the nearest are looked at, if their cosine is at least this; the correlation of pixels at half the detail
# from which on they are looked at closely.
NEAREST, CANDIDATE, ALIKE = 8, 0.7, 0.75
# Correlation of the gradients of a near-duplicate. Of pairs from CIFAR-100, nearly all above it show one scene, and
# most below it two.
SIMILAR = 0.7
# Sides below which unlike images correlate as well: the strokes of two sevens do.
LEAST_SIDE = 24
# Sides of the descriptor, and of the pixels that are compared, by how many of which a copy may be shifted.
THUMBNAIL, HALF, WHOLE = 8, (16, 1), (32, 2)
# Images compared with all others at once; others of which the nearest one is taken; pairs compared in detail at once.
_BLOCK, _GROUP, _FEW = 512, 64, 128


class NearDuplicate(NamedTuple):
    """A pair: the place of an image, that of the other, and the correlation of their gradients."""

    first: int
    second: int
    similarity: float


def find_near_duplicates(
    images: Images, others: Images, *, similar: float = SIMILAR, on_block: Callable[[int, int], None] | None = None
) -> list[NearDuplicate]:
    """Pairs of an image (n, side, side, 3) and one of the others (m, side, side, 3), the most similar first.

    Up to NEAREST others are found for an image; they may be mirrored. Takes n * m * 800 operations. `on_block` is told
    (done, of).
    """
    best: dict[tuple[int, int], float] = {}
    views = [others, others[:, :, ::-1]] if len(others) else []
    thumbnails = [_pad(_in_blocks(view, lambda block: _to_units(_shrink(block, THUMBNAIL)))) for view in views]
    centres = [_in_blocks(view, lambda block: _in_the_middle(block, *HALF)) for view in views]
    for start in range(0, len(images), _BLOCK):
        block = images[start : start + _BLOCK]
        own, moved = _to_units(_shrink(block, THUMBNAIL)), _shifted(block, *HALF)
        for view, theirs, centre in zip(views, thumbnails, centres, strict=True):
            rows, columns = _find_nearest(own @ theirs.T)
            alike = _correlate(moved[:, rows], centre[columns]) >= ALIKE
            rows, columns = rows[alike], columns[alike]
            values = _compare(block, rows, view, columns)
            for row, column, value in zip(rows, columns, values, strict=True):
                pair = start + int(row), int(column)
                best[pair] = max(best.get(pair, -1.0), float(value))
        if on_block:
            on_block(min(start + _BLOCK, len(images)), len(images))
    twins = [NearDuplicate(*pair, similarity) for pair, similarity in best.items() if similarity >= similar]
    return sorted(twins, key=lambda twin: -twin.similarity)


def have_near_duplicates(images: Images, others: Images) -> NDArray[np.bool_]:
    """Which of the images (n, side, side, 3) have a near-duplicate among the others: (n,)."""
    marks = np.zeros(len(images), np.bool_)
    marks[[twin.first for twin in find_near_duplicates(images, others)]] = True
    return marks


def _find_nearest(cosines: Floats) -> tuple[Indices, Indices]:
    """Rows and columns of each row's largest values, one of a group of columns at the most."""
    groups = cosines.reshape(len(cosines), -1, _GROUP)
    peaks = groups.max(axis=2)
    count = min(NEAREST, peaks.shape[1])
    chosen = np.argpartition(-peaks, count - 1, axis=1)[:, :count]
    rows = np.repeat(np.arange(len(cosines)), count).reshape(chosen.shape)
    columns = chosen * _GROUP + groups[rows, chosen].argmax(axis=2)
    near = cosines[rows, columns] >= CANDIDATE
    return rows[near], columns[near]


def _correlate(moved: Floats, middle: Floats) -> Floats:
    """The highest of each pair's correlations: unit vectors (shifts, n, d) and (n, d) to (n,)."""
    best: Floats = np.einsum("snd,nd->sn", moved, middle).max(axis=0)
    return best


def _compare(block: Images, rows: Indices, view: Images, columns: Indices) -> Floats:
    """The same of the gradients of pairs of images, a few at a time: a pair takes a megabyte."""
    values = []
    for few in range(0, len(rows), _FEW):
        moved = _shifted(block[rows[few : few + _FEW]], *WHOLE, of=_slope)
        values.append(_correlate(moved, _in_the_middle(view[columns[few : few + _FEW]], *WHOLE, of=_slope)))
    return np.concatenate(values) if values else np.empty(0, np.float32)


def _same(small: Floats) -> Floats:
    return small


def _slope(small: Floats) -> Floats:
    """Differences of neighbours, to the right and downwards, as channels."""
    here = small[:, :-1, :-1]
    return np.concatenate([small[:, :-1, 1:] - here, small[:, 1:, :-1] - here], axis=3)


def _shifted(images: Images, side: int, shift: int, *, of: Callable[[Floats], Floats] = _same) -> Floats:
    """Unit vectors (shifts, n, d) of what lies inside a margin of `shift` pixels, moved up to as much each way."""
    small, steps = of(_shrink(images, min(side, images.shape[1]))), range(2 * shift + 1)
    return np.stack([_to_units(_inside(small, shift, down, right)) for down in steps for right in steps])


def _in_the_middle(images: Images, side: int, shift: int, *, of: Callable[[Floats], Floats] = _same) -> Floats:
    """The same where nothing has moved: (n, d)."""
    return _to_units(_inside(of(_shrink(images, min(side, images.shape[1]))), shift, shift, shift))


def _inside(small: Floats, shift: int, down: int, right: int) -> Floats:
    side = small.shape[1] - 2 * shift
    return small[:, down : down + side, right : right + side]


def _in_blocks(images: Images, describe: Callable[[Images], Floats]) -> Floats:
    return np.concatenate([describe(images[start : start + _BLOCK]) for start in range(0, len(images), _BLOCK)])


def _pad(vectors: Floats) -> Floats:
    """More vectors, of nothing, up to a whole number of groups."""
    return np.pad(vectors, ((0, -len(vectors) % _GROUP), (0, 0)))


def _shrink(images: Images, side: int) -> Floats:
    """Means over the cells of a grid of side x side, float32."""
    count, height = images.shape[:2]
    if height <= side:
        return images.astype(np.float32)
    if height % side == 0:  # the common case, and several times faster
        each = height // side
        strips = images.reshape(count, side, each, 3 * height).sum(axis=2, dtype=np.float32)
        even: Floats = strips.reshape(count, side, side, each, 3).sum(axis=3) / each**2
        return even
    edges = np.linspace(0, height, side + 1).round().astype(int)
    rows = np.add.reduceat(images.astype(np.float32), edges[:-1], axis=1)
    sums = np.add.reduceat(rows, edges[:-1], axis=2)
    sizes = np.diff(edges)
    means: Floats = sums / (sizes[:, None, None] * sizes[None, :, None])
    return means


def _to_units(images: Floats) -> Floats:
    """Unit vectors (n, side * side * 3) of images without their mean colour; one of a single colour has none."""
    vectors = (images - images.mean(axis=(1, 2), keepdims=True)).reshape(len(images), math.prod(images.shape[1:]))
    units: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-3)
    return units
