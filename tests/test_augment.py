import numpy as np
import pytest

from bakeoff.augment import POLICIES, _warp, augment_batch
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


@pytest.mark.parametrize("policy", Policy)
def test_the_same_generator_gives_the_same_batch(policy):
    images, labels = _images(), np.zeros(64, np.int32)
    first, _ = augment_batch(images, labels, np.random.default_rng(5), Augment(policy=policy))
    second, _ = augment_batch(images, labels, np.random.default_rng(5), Augment(policy=policy))
    assert np.array_equal(first, second)


def test_a_quarter_turn_is_numpys_and_a_whole_one_is_none():
    images = _images(4)
    still = np.ones(4)
    out = _warp(images, np.array([0.0, 0.25, 0.5, 1.0]), still)
    expected = [images[0], np.rot90(images[1]), np.rot90(images[2], 2), images[3]]
    # Pillow rounds down what a turn leaves a hair below a whole number.
    assert np.abs(out.astype(int) - np.stack(expected)).max() <= 1


def test_half_the_side_shown_is_the_middle_enlarged_and_one_and_a_half_brings_in_reflections():
    ramp = np.arange(16, dtype=np.uint8) * 10
    images = np.broadcast_to(ramp[None, :, None, None], (2, 16, 16, 3)).copy()
    closer, farther = _warp(images, np.zeros(2), np.array([0.5, 1.5]))[:, :, 8, 0].astype(int)
    # From the middle of the side outwards, in steps of half a pixel and of one and a half.
    assert np.abs(closer - (75 + 5 * (np.arange(16) - 7.5))).max() <= 1
    inside = slice(3, 13)
    assert np.abs(farther - (75 + 15 * (np.arange(16) - 7.5)))[inside].max() <= 1
    assert farther[0] == pytest.approx(10 * 3.75, abs=5)
    assert farther[15] == pytest.approx(150 - 10 * 3.75, abs=5)


@pytest.mark.parametrize("policy", ["rotate", "zoom", "flip-rotate-zoom-contrast"])
def test_nothing_dark_comes_in_from_outside(policy):
    white = np.full((200, 8, 8, 3), 255, np.uint8)
    widest = Augment(policy=policy, rotation=0.5, zoom=0.5)
    out, _ = augment_batch(white, np.zeros(200, np.int32), np.random.default_rng(1), widest)
    assert (out == 255).all()


@pytest.mark.parametrize("policy", ["rotate", "zoom", "contrast"])
def test_every_image_gets_its_own_draw(policy):
    same = np.repeat(_images(1, 16), 20, axis=0)
    out, _ = augment_batch(same, np.zeros(20, np.int32), np.random.default_rng(1), Augment(policy=policy))
    assert len(np.unique(out.reshape(20, -1), axis=0)) == 20


@pytest.mark.parametrize("policy", ["rotate", "zoom", "contrast"])
def test_a_reach_of_nothing_changes_nothing(policy):
    images, still = _images(), Augment(policy=policy, rotation=0, zoom=0, contrast=0)
    out, _ = augment_batch(images, np.zeros(64, np.int32), np.random.default_rng(1), still)
    assert np.array_equal(out, images)


def test_a_turn_stays_within_the_angle_asked_for():
    # A bright spot at three o'clock: where it went tells the angle.
    images = np.zeros((200, 33, 33, 3), np.uint8)
    images[:, 15:18, 27:30] = 255
    turned, _ = augment_batch(
        images, np.zeros(200, np.int32), np.random.default_rng(1), Augment(policy="rotate", rotation=0.1)
    )
    rows, columns = np.mgrid[-16:17, -16:17]
    weight = turned[..., 0].sum(axis=(1, 2))
    height, width = ((turned[..., 0] * places).sum(axis=(1, 2)) / weight for places in (rows, columns))
    degrees = np.degrees(np.arctan2(height, width))
    assert 30 < np.abs(degrees).max() < 37
    assert degrees.min() < -30 < 30 < degrees.max()


def test_contrast_moves_pixels_away_from_the_mean_of_their_channel_and_keeps_it():
    images = np.random.default_rng(0).integers(60, 190, (50, 16, 16, 3)).astype(np.uint8)
    images[..., 1] //= 2
    out, _ = augment_batch(
        images, np.zeros(50, np.int32), np.random.default_rng(1), Augment(policy="contrast", contrast=0.2)
    )
    assert np.allclose(out.mean(axis=(1, 2)), images.mean(axis=(1, 2)), atol=0.5)
    stretch = out.std(axis=(1, 2)) / images.std(axis=(1, 2))
    assert np.allclose(stretch, stretch[:, :1], atol=0.02)
    assert 0.79 < stretch.min() < 0.85
    assert 1.15 < stretch.max() < 1.21
