import numpy as np
import pytest

from bakeoff.augment import POLICIES, augment_batch
from bakeoff.config import Augment, Policy


def _images(n=64, side=8):
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), np.uint8)


@pytest.mark.parametrize("policy", Policy)
def test_every_policy_keeps_shape_dtype_and_labels(policy):
    images, labels = _images(), np.arange(64, dtype=np.int32)
    out, same = augment_batch(images, labels, np.random.default_rng(1), Augment(policy=policy))
    assert out.shape == images.shape
    assert out.dtype == np.uint8
    assert same is labels


def test_every_name_in_the_config_has_a_policy():
    assert set(POLICIES) == set(Policy)


def test_none_changes_nothing():
    images = _images()
    out, _ = augment_batch(images, np.zeros(64, np.int32), np.random.default_rng(1), Augment(policy=Policy.NONE))
    assert np.array_equal(out, images)


def test_flip_mirrors_about_half_and_leaves_the_rest():
    images = _images(200)
    out, _ = augment_batch(images, np.zeros(200, np.int32), np.random.default_rng(1), Augment(policy=Policy.FLIP))
    mirrored = (out == images[:, :, ::-1]).all(axis=(1, 2, 3))
    kept = (out == images).all(axis=(1, 2, 3))
    assert (mirrored | kept).all()
    assert 70 < mirrored.sum() < 130


def test_crop_gives_each_image_its_own_shift_of_its_own_pixels():
    ramp = np.arange(8, dtype=np.uint8) * 10
    images = np.broadcast_to(ramp[None, :, None, None], (100, 8, 8, 3)).copy()
    out, _ = augment_batch(
        images, np.zeros(100, np.int32), np.random.default_rng(1), Augment(policy=Policy.CROP, crop=0.25)
    )
    centre_rows = set(out[:, 4, 0, 0].tolist())
    assert centre_rows == {20, 30, 40, 50, 60}


def test_the_same_generator_gives_the_same_batch():
    images, labels = _images(), np.zeros(64, np.int32)
    first, _ = augment_batch(images, labels, np.random.default_rng(5), Augment())
    second, _ = augment_batch(images, labels, np.random.default_rng(5), Augment())
    assert np.array_equal(first, second)
