"""Small data: too few validation images to choose by them alone, and no more training images than a probe takes."""

from bakeoff.data.folds import choose_folds

__all__ = ["is_small"]

# So many images a probe of the screen has at most.
MAX_TRAIN_IMAGES = 5000


def is_small(train: int, val: int) -> bool:
    """Whether data with so many training and validation images are small."""
    return train <= MAX_TRAIN_IMAGES and choose_folds(val, train + val) > 0
