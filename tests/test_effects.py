"""Paired comparison: differences, their intervals, and the verdict."""

import math
from pathlib import Path

import numpy as np
import pytest

from bakeoff.errors import OutputError
from bakeoff.runs import paired
from bakeoff.runs.config import Metric
from bakeoff.runs.findings import Difference, Verdict
from bakeoff.runs.folder import run_dir
from bakeoff.runs.paired import compare, mcnemar, summarise
from bakeoff.runs.predictions import Predictions, write_predictions
from factories import make_record


def _write(out, run, correct):
    """Write a run's predictions on images of class 0 of 2."""
    folder = run_dir(out, run)
    folder.mkdir(parents=True)
    logits = np.stack([np.asarray(correct, float), np.full(len(correct), 0.5)], axis=1).astype(np.float16)
    np.savez_compressed(folder / "val-logits.npz", logits=logits, labels=np.zeros(len(correct), np.int32))


def test_the_interval_is_paired(tmp_path):
    before = np.repeat([1, 0], [800, 200])
    after = np.repeat([1, 0], [840, 160])
    _write(tmp_path, "a", before)
    _write(tmp_path, "b", after)
    found = compare(tmp_path, ["a"], ["b"])
    assert found.points == pytest.approx(0.04)
    # 40 images of 1,000 changed, all in one direction: sqrt(0.04 * 0.96 / 999) is 0.0062.
    assert found.high - found.points == pytest.approx(1.96 * 0.0062, abs=2e-4)
    assert found.verdict is Verdict.HELPS
    assert compare(tmp_path, ["b"], ["a"]).verdict is Verdict.HURTS


@pytest.mark.parametrize("images", [30, 1000])
def test_four_images_against_none_are_no_evidence(tmp_path, images):
    _write(tmp_path, "a", np.arange(images) >= 4)
    _write(tmp_path, "b", np.ones(images))
    found = compare(tmp_path, ["a"], ["b"])
    assert mcnemar(tmp_path, "a", "b").p == 0.125
    assert found.points == pytest.approx(4 / images)
    assert -1 <= found.low < 0 < found.points <= found.high <= 1
    assert found.verdict is Verdict.NONE
    # The same four images with each of two seeds are as little.
    _write(tmp_path, "a2", np.arange(images) >= 4)
    _write(tmp_path, "b2", np.ones(images))
    assert compare(tmp_path, ["a", "a2"], ["b", "b2"]).verdict is Verdict.NONE


def test_the_paired_interval_of_few_images_is_that_of_agresti_and_min(tmp_path):
    _write(tmp_path, "a", np.repeat([1, 0, 1, 0], [20, 9, 2, 9]))
    _write(tmp_path, "b", np.repeat([1, 1, 0, 0], [20, 9, 2, 9]))
    found = compare(tmp_path, ["a"], ["b"])
    # Half an image more in each cell: 9.5 and 2.5 of 42 differ.
    middle, half = 7 / 42, 1.96 * math.sqrt((12 - 49 / 42) / 42**2)
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half), abs=1e-4)


def test_equal_gains_and_losses_are_no_difference(tmp_path):
    hits = np.repeat([1, 0], [500, 500])
    _write(tmp_path, "a", hits)
    _write(tmp_path, "b", np.roll(hits, 20))
    found = compare(tmp_path, ["a"], ["b"])
    assert found.points == 0
    assert found.low < 0 < found.high
    assert found.verdict is Verdict.NONE


def test_variation_between_seeds_widens_the_interval(tmp_path):
    base = np.repeat([1, 0], [500, 500])
    for name, hits in {"a0": 500, "a1": 500, "b0": 560, "b1": 480, "c0": 521, "c1": 519}.items():
        _write(tmp_path, name, np.repeat([1, 0], [hits, 1000 - hits]))
    assert base.sum() == 500
    apart, together = (compare(tmp_path, ["a0", "a1"], [f"{arm}0", f"{arm}1"]) for arm in "bc")
    assert apart.points == pytest.approx(together.points)
    assert together.verdict is Verdict.HELPS
    assert apart.verdict is Verdict.NONE
    assert together.seeds == 2


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("spread", [0.0, 0.01, 0.02])
def test_a_change_without_an_effect_is_reported_in_at_most_one_study_of_twenty(seeds, spread, monkeypatch):
    random, runs, studies, images = np.random.default_rng(seeds), {}, 200, 1500
    monkeypatch.setattr(paired, "read_predictions", lambda folder, _: runs[folder.name])
    labels, names = np.zeros(images, np.int32), [f"{arm}{seed}" for arm in "ab" for seed in range(seeds)]
    chances = random.beta(1, 0.25, images)
    reported = 0
    for _ in range(studies):
        for name in names:
            hits = random.random(images) < chances + random.normal(0, spread)
            runs[name] = Predictions(np.stack([hits, ~hits], axis=1).astype(np.float32), labels)
        reported += compare(Path(), names[:seeds], names[seeds:]).verdict is not Verdict.NONE
    assert reported <= studies * 0.05 + 2 * math.sqrt(studies * 0.05 * 0.95)


def test_two_seeds_widen_the_interval_by_students_quantile_for_any_metric(tmp_path):
    labels, names = np.arange(1000, dtype=np.int32) % 2, ["a0", "a1", "b0", "b1"]
    for name, hits in zip(names, (600, 600, 640, 660), strict=True):
        right = np.arange(1000) < hits
        run_dir(tmp_path, name).mkdir(parents=True)
        write_predictions(run_dir(tmp_path, name), Predictions(np.eye(2)[np.where(right, labels, 1 - labels)], labels))
    for metric in (Metric.TOP1, Metric.BALANCED):
        found = compare(tmp_path, ["a0", "a1"], ["b0", "b1"], metric)
        # The two differences are 0.04 and 0.06: 12.7 times half their distance. The images add 1.96 * 0.0069.
        assert found.points == pytest.approx(0.05)
        assert found.high - found.points == pytest.approx(math.hypot(12.706 * 0.01, 1.96 * 0.0069), rel=2e-3)
        arm = summarise(tmp_path, [make_record(id=name) for name in names[2:]], metric)
        (score, (low, high)) = arm.estimate
        assert (score - low, high - score) == pytest.approx([math.hypot(12.706 * 0.01, 1.96 * 0.0150)] * 2, rel=2e-3)


def test_runs_on_other_images_cannot_be_compared(tmp_path):
    _write(tmp_path, "a", [1] * 10)
    _write(tmp_path, "b", [1] * 10)
    _write(tmp_path, "c", [1] * 11)
    _write(tmp_path, "d", [1] * 11)
    with pytest.raises(OutputError, match="not scored on the same images"):
        compare(tmp_path, ["a", "c"], ["b", "d"])
    with pytest.raises(OutputError, match="not scored on the same images"):
        compare(tmp_path, ["a"], ["c"])
    with pytest.raises(OutputError, match="is missing"):
        compare(tmp_path, ["a"], ["nothing"])


def test_the_interval_decides_the_verdict():
    def verdict(low, high):
        return Difference(points=0.0, low=low, high=high, images=1, seeds=1).verdict

    assert verdict(0.001, 0.1) is Verdict.HELPS
    assert verdict(-0.1, -0.001) is Verdict.HURTS
    assert verdict(0.0, 0.1) is Verdict.NONE


def test_mcnemar_counts_discordant_images_and_is_exact(tmp_path):
    _write(tmp_path, "a", np.repeat([1, 1, 0, 0], [50, 9, 2, 39]))
    _write(tmp_path, "b", np.repeat([1, 0, 1, 0], [50, 9, 2, 39]))
    test = mcnemar(tmp_path, "a", "b")
    assert (test.images, test.first_only, test.second_only) == (100, 9, 2)
    # 2 * (C(11,0) + C(11,1) + C(11,2)) / 2**11
    assert test.p == pytest.approx(134 / 2048)
    assert test.is_chance
    assert mcnemar(tmp_path, "a", "a").p == 1


def test_mcnemar_finds_a_significant_lead_on_many_images(tmp_path):
    _write(tmp_path, "a", np.repeat([1, 0], [6000, 4000]))
    _write(tmp_path, "b", np.repeat([1, 0], [5800, 4200]))
    assert mcnemar(tmp_path, "a", "b").p < 1e-50


def test_the_same_number_of_other_images_is_detected_by_their_labels(tmp_path):
    _write(tmp_path, "a", [1, 1])
    folder = run_dir(tmp_path, "b")
    folder.mkdir(parents=True)
    np.savez_compressed(folder / "val-logits.npz", logits=np.eye(2, dtype=np.float16), labels=np.array([0, 1]))
    with pytest.raises(OutputError, match="not scored on the same images"):
        mcnemar(tmp_path, "a", "b")
