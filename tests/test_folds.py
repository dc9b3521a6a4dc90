"""Folds, and predictions by heads that have not seen the image: numbers only, no Keras."""

import warnings

import numpy as np
import pytest

from bakeoff.data.folds import assign_folds, choose_folds, half_interval
from bakeoff.training.folds import cross_fit
from bakeoff.training.head import fit_head


def _features(labels, width=12, distance=3.0, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(len(labels), width)) + distance * np.eye(width)[labels]).astype(np.float32)


def _labels(*counts):
    return np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int32)


@pytest.mark.parametrize(
    ("val", "total", "folds"), [(72, 648, 10), (16, 80, 80), (500, 5500, 5), (1063, 6063, 5), (1064, 6064, 0)]
)
def test_the_number_of_folds_follows_from_the_images(val, total, folds):
    assert choose_folds(val, total) == folds


def test_from_so_many_validation_images_on_no_interval_is_wider_than_three_points():
    assert half_interval(72) == pytest.approx(0.1125, abs=1e-3)
    assert half_interval(1064) < 0.03 <= half_interval(1063)


def test_every_class_is_spread_evenly_over_the_folds():
    labels = _labels(50, 23, 7)
    folds = assign_folds(labels, None, 5, seed=0)
    for label, least in enumerate((10, 4, 1)):
        counts = np.bincount(folds[labels == label], minlength=5)
        assert least == counts.min() >= counts.max() - 1
    assert np.ptp(np.bincount(folds)) <= 1
    assert np.array_equal(folds, assign_folds(labels, None, 5, seed=0))
    assert not np.array_equal(folds, assign_folds(labels, None, 5, seed=1))


@pytest.mark.parametrize("count", [5, 40])
def test_images_of_a_group_are_in_one_fold(count):
    labels = _labels(40, 40, 2)
    groups = [f"subject {number // 4}" for number in range(len(labels))]
    folds = assign_folds(labels, groups, count, seed=0)
    assert all(len({fold for fold, each in zip(folds, groups, strict=True) if each == group}) == 1 for group in groups)
    assert len(set(folds)) == min(count, len(set(groups)))


@pytest.mark.parametrize("grouped", [False, True])
def test_classes_with_fewer_images_than_folds_are_left_out_in_parts_and_without_a_warning(grouped):
    labels = _labels(2, 2, 30)
    groups = [str(max(number, 1)) for number in range(len(labels))] if grouped else None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folds = assign_folds(labels, groups, 10, seed=0)
    assert set(folds) == set(range(10))
    if not grouped:
        assert all(len(set(folds[labels == label])) == 2 for label in (0, 1))


def test_there_may_be_more_folds_than_any_class_has_images():
    labels = _labels(3, 3, 3, 3)
    folds = assign_folds(labels, None, 5, seed=0)
    assert all(len(set(folds[labels == label])) == 3 for label in range(4))
    assert sorted(assign_folds(labels, None, 100, seed=0)) == list(range(12))


def test_one_group_cannot_be_divided():
    with pytest.raises(ValueError, match="1 group"):
        assign_folds(_labels(3, 3), ["a"] * 6, 5, seed=0)


@pytest.mark.parametrize("count", [5, 60])
def test_each_image_is_scored_by_a_head_that_has_not_seen_it(count):
    """A head remembers random labels: on the images that it has seen it is right, on others it can only guess."""
    labels = _labels(30, 30)
    features = np.random.default_rng(3).normal(size=(60, 400)).astype(np.float32)
    remembered = fit_head(features, labels, 2).logits(features).argmax(axis=1)
    assert (remembered == labels).mean() == 1
    guessed = cross_fit(features, labels, 2, assign_folds(labels, None, count, seed=0)).argmax(axis=1)
    assert (guessed == labels).mean() < 0.7


def test_a_copy_of_an_image_helps_unless_it_is_in_its_group():
    labels = np.repeat(_labels(30, 30), 2)
    features = np.repeat(np.random.default_rng(3).normal(size=(60, 400)), 2, axis=0).astype(np.float32)
    top1 = [
        (cross_fit(features, labels, 2, assign_folds(labels, groups, 5, seed=0)).argmax(axis=1) == labels).mean()
        for groups in (None, [number // 2 for number in range(120)])
    ]
    assert top1[0] > 0.85
    assert top1[1] < 0.7


def test_the_logits_of_a_fold_are_those_of_the_head_of_the_others():
    labels = _labels(20, 20, 20)
    features = _features(labels)
    folds = assign_folds(labels, None, 4, seed=0)
    calls = []
    logits = cross_fit(features, labels, 3, folds, lambda done, total: calls.append((done, total)))
    held_out = folds == 2
    head = fit_head(features[~held_out], labels[~held_out], 3)
    assert np.array_equal(logits[held_out], head.logits(features[held_out]))
    assert (logits.argmax(axis=1) == labels).mean() > 0.8
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_where_the_other_folds_are_of_one_class_that_one_is_predicted():
    labels = np.repeat([0, 1], [3, 2]).astype(np.int32)
    folds = labels.astype(np.intp)
    logits = cross_fit(np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32), labels, 3, folds)
    assert logits.argmax(axis=1).tolist() == [1, 1, 1, 0, 0]
