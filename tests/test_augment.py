from collections import Counter

import numpy as np
import pytest

from bakeoff.data.augment import augment_batch
from bakeoff.data.augment.randaugment import OPERATIONS
from bakeoff.data.augment.steps import AffineParameters, warp_affine
from bakeoff.runs.config import Augment, AugmentStep

MIXING = ("mixup", "cutmix")


def _augment(images, seed=1, **settings):
    """The images after a policy, their targets being one class each."""
    return _augment_both(images, seed, **settings)[0]


def _augment_both(images, seed=1, **settings):
    targets = np.eye(len(images), dtype=np.float32)
    return augment_batch(images, targets, np.random.default_rng(seed), Augment(**settings))


def _images(n=64, side=8):
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), np.uint8)


@pytest.mark.parametrize("policy", ["none", *AugmentStep, "flip-rotate-zoom-contrast", "flip-crop-mixup-cutmix"])
def test_every_policy_keeps_shapes_and_dtypes_and_targets_that_sum_to_one(policy):
    images = _images()
    out, targets = _augment_both(images, policy=policy)
    assert out.shape == images.shape
    assert out.dtype == np.uint8
    assert targets.dtype == np.float32
    assert np.allclose(targets.sum(axis=1), 1)
    mixes = any(name in policy for name in MIXING)
    assert np.array_equal(targets, np.eye(64)) != mixes


@pytest.mark.parametrize("step", AugmentStep)
def test_every_step_does_something(step):
    assert not np.array_equal(_augment(_images(), policy=step), _images())


def test_none_changes_nothing():
    images = _images()
    out = _augment(images, policy="none")
    assert np.array_equal(out, images)


def test_flip_mirrors_about_half_and_leaves_the_rest():
    images = _images(200)
    out = _augment(images, policy="flip")
    mirrored = (out == images[:, :, ::-1]).all(axis=(1, 2, 3))
    kept = (out == images).all(axis=(1, 2, 3))
    assert (mirrored | kept).all()
    assert 70 < mirrored.sum() < 130


def test_crop_gives_each_image_its_own_shift_of_its_own_pixels():
    ramp = np.arange(8, dtype=np.uint8) * 10
    images = np.broadcast_to(ramp[None, :, None, None], (100, 8, 8, 3)).copy()
    out = _augment(images, policy="crop", crop=0.25)
    centre_rows = set(out[:, 4, 0, 0].tolist())
    assert centre_rows == {20, 30, 40, 50, 60}


@pytest.mark.parametrize("policy", AugmentStep)
def test_the_same_generator_gives_the_same_batch(policy):
    for first, second in zip(
        _augment_both(_images(), policy=policy), _augment_both(_images(), policy=policy), strict=True
    ):
        assert np.array_equal(first, second)


def test_a_quarter_turn_equals_numpys_and_a_full_turn_changes_nothing():
    images = _images(4)
    out = warp_affine(images, AffineParameters(np.array([0.0, 0.25, 0.5, 1.0]), np.ones(4), np.zeros(4), np.zeros(4)))
    expected = [images[0], np.rot90(images[1]), np.rot90(images[2], 2), images[3]]
    # Pillow rounds down what a turn leaves a hair below a whole number.
    assert np.abs(out.astype(int) - np.stack(expected)).max() <= 1


def test_zoom_below_1_enlarges_the_centre_and_above_1_shows_reflections():
    ramp = np.arange(16, dtype=np.uint8) * 10
    images = np.broadcast_to(ramp[None, :, None, None], (2, 16, 16, 3)).copy()
    still = np.zeros(2)
    closer, farther = warp_affine(images, AffineParameters(still, np.array([0.5, 1.5]), still, still))[
        :, :, 8, 0
    ].astype(int)
    # From the middle of the side outwards, in steps of half a pixel and of one and a half.
    assert np.abs(closer - (75 + 5 * (np.arange(16) - 7.5))).max() <= 1
    inside = slice(3, 13)
    assert np.abs(farther - (75 + 15 * (np.arange(16) - 7.5)))[inside].max() <= 1
    assert farther[0] == pytest.approx(10 * 3.75, abs=5)
    assert farther[15] == pytest.approx(150 - 10 * 3.75, abs=5)


def test_a_translation_moves_the_image_and_shows_reflections():
    ramp = np.arange(16, dtype=np.uint8) * 10
    images = np.broadcast_to(ramp[None, None, :, None], (1, 16, 16, 3)).copy()
    still = np.zeros(1)
    moved = warp_affine(images, AffineParameters(still, np.ones(1), np.array([0.25]), still))[0, 8, :, 0].astype(int)
    assert moved[4:].tolist() == ramp[:12].tolist()
    assert moved[:4].tolist() == [40, 30, 20, 10]


@pytest.mark.parametrize(
    "policy", ["rotate", "zoom", "translate", "crop", "translate-rotate-zoom", "flip-rotate-zoom-contrast"]
)
def test_outside_a_white_image_nothing_is_dark(policy):
    white = np.full((200, 8, 8, 3), 255, np.uint8)
    out = _augment(white, policy=policy, rotation=0.5, zoom=0.5, translation=0.5, crop=0.5)
    assert (out == 255).all()


@pytest.mark.parametrize("policy", ["rotate", "zoom", "translate", "contrast", "brightness", "cutout"])
def test_every_image_gets_its_own_draw(policy):
    same = np.repeat(_images(1, 16), 20, axis=0)
    out = _augment(same, policy=policy)
    assert len(np.unique(out.reshape(20, -1), axis=0)) > 15


def test_randaugment_draws_other_operations_for_each_image():
    same = np.repeat(_images(1, 16), 200, axis=0)
    out = _augment(same, policy="randaugment", operations=1, magnitude=1.0)
    # Operations without a direction, of which half are, give one result each.
    assert len(OPERATIONS) <= len(np.unique(out.reshape(200, -1), axis=0)) <= 2 * len(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_of_randaugment_keeps_the_picture_s_size_and_is_stronger_for_more(name):
    from PIL import Image

    ramp = np.add.outer(np.arange(32), 3 * np.arange(32))[..., None] * np.array([1.0, 1.5, 0.5]) + 10
    ramp[::4] += 20
    picture = Image.fromarray(ramp.clip(0, 255).astype(np.uint8))
    weak, strong = (np.asarray(OPERATIONS[name](picture, strength)).astype(int) for strength in (0.1, 1.0))
    assert weak.shape == strong.shape == (32, 32, 3)
    before = np.asarray(picture).astype(int)
    assert np.abs(strong - before).sum() >= np.abs(weak - before).sum()
    assert name == "identity" or np.abs(strong - before).sum() > 0


@pytest.mark.parametrize("policy", ["rotate", "zoom", "translate", "contrast", "brightness", "cutout", "crop"])
def test_a_strength_of_zero_changes_nothing(policy):
    still = dict.fromkeys(("rotation", "zoom", "translation", "contrast", "brightness", "cutout", "crop"), 0)
    assert np.array_equal(_augment(_images(), policy=policy, **still), _images())


def test_a_rotation_stays_within_the_given_angle():
    # A bright spot at three o'clock: where it went tells the angle.
    images = np.zeros((200, 33, 33, 3), np.uint8)
    images[:, 15:18, 27:30] = 255
    turned = _augment(images, policy="rotate", rotation=0.1)
    rows, columns = np.mgrid[-16:17, -16:17]
    weight = turned[..., 0].sum(axis=(1, 2))
    height, width = ((turned[..., 0] * places).sum(axis=(1, 2)) / weight for places in (rows, columns))
    degrees = np.degrees(np.arctan2(height, width))
    assert 30 < np.abs(degrees).max() < 37
    assert degrees.min() < -30 < 30 < degrees.max()


def test_contrast_moves_pixels_away_from_the_mean_of_their_channel_and_keeps_it():
    images = np.random.default_rng(0).integers(60, 190, (50, 16, 16, 3)).astype(np.uint8)
    images[..., 1] //= 2
    out = _augment(images, policy="contrast", contrast=0.2)
    assert np.allclose(out.mean(axis=(1, 2)), images.mean(axis=(1, 2)), atol=0.5)
    stretch = out.std(axis=(1, 2)) / images.std(axis=(1, 2))
    assert np.allclose(stretch, stretch[:, :1], atol=0.02)
    assert 0.79 < stretch.min() < 0.85
    assert 1.15 < stretch.max() < 1.21


def test_brightness_shifts_all_pixels_of_an_image_alike():
    images = np.full((100, 4, 4, 3), 128, np.uint8)
    shifts = _augment(images, policy="brightness", brightness=0.2).astype(int) - 128
    assert (shifts == shifts[:, :1, :1, :1]).all()
    assert -51 <= shifts.min() < -40
    assert 40 < shifts.max() <= 51


def test_cutout_blanks_a_square_with_the_mean():
    image = np.zeros((1, 16, 16, 3), np.uint8)
    image[:, ::2] = 200
    out = _augment(np.repeat(image, 200, axis=0), policy="cutout", cutout=0.25)
    blanked = (out == 100).all(axis=-1).sum(axis=(1, 2))
    assert blanked.max() == 16
    # The middle may be anywhere, so a part may lie outside.
    assert blanked.min() >= 4


def test_mixup_blends_two_images_and_their_targets_with_the_same_weight():
    images = np.zeros((50, 4, 4, 3), np.uint8) + np.arange(0, 250, 5, dtype=np.uint8)[:, None, None, None]
    out, targets = _augment_both(images, policy="mixup", mixup=1.0)
    assert np.allclose(out[:, 0, 0, 0], targets @ np.arange(0, 250, 5), atol=0.51)
    assert Counter((targets > 0).sum(axis=1).tolist()).keys() <= {1, 2}


def test_cutmix_targets_have_the_proportions_of_the_areas():
    images = np.zeros((50, 16, 16, 3), np.uint8) + np.arange(50, dtype=np.uint8)[:, None, None, None]
    out, targets = _augment_both(images, policy="cutmix")
    for position, image in enumerate(out[..., 0]):
        values, counts = np.unique(image, return_counts=True)
        share = np.zeros(50)
        share[values] = counts / 256
        assert np.allclose(targets[position], share, atol=1e-6)
    assert (targets.max(axis=1) < 0.8).mean() > 0.2


def test_of_two_ways_to_mix_one_is_drawn_for_each_batch():
    images = np.zeros((16, 8, 8, 3), np.uint8) + np.arange(16, dtype=np.uint8)[:, None, None, None] * 16
    kinds = set()
    for seed in range(20):
        out = _augment(images, seed, policy="mixup-cutmix", mixup=1.0)
        # CutMix leaves every pixel some image's own.
        kinds.add(bool(np.isin(out, images).all()))
    assert kinds == {True, False}


@pytest.mark.parametrize(
    ("policy", "text"), [("flip-warp", "no step 'warp'"), ("flip-flip", "twice"), ("", "no step ''")]
)
def test_an_invalid_policy_is_an_error(policy, text):
    with pytest.raises(ValueError, match=text):
        Augment(policy=policy)
