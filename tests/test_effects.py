"""Paired comparison: differences, their intervals, and the verdict."""

import numpy as np
import pytest

from bakeoff.errors import OutputError
from bakeoff.runs.findings import Difference, Verdict
from bakeoff.runs.folder import run_dir
from bakeoff.runs.paired import compare, mcnemar


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
