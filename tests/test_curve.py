"""The learning curve of a run: eight points however short it is, at a small price, without a trace in its weights."""

from types import SimpleNamespace

import numpy as np
import pytest

from bakeoff.data.batches import Split
from bakeoff.runs.config import Run
from bakeoff.runs.history import CURVE_POINTS, CURVE_SHARE, read_curve, read_history
from bakeoff.training import curve as curve_module
from bakeoff.training.curve import LearningCurve
from bakeoff.training.loop import train
from bakeoff.training.task import open_task

SHORT = Run().revised(
    model={"name": "lenet", "size": 32},
    augment={"policy": "crop"},
    train={"epochs": None, "images": 1024, "batch": 32, "evaluations": 1},
)


@pytest.fixture
def begin(shards, tmp_path):
    def open_with(name="run", **changes):
        (tmp_path / name).mkdir()
        return open_task(SHORT.revised(**changes), tmp_path / name, shards, lambda _: None)

    return open_with


@pytest.fixture
def few(monkeypatch):
    """Few images are enough for a score."""
    monkeypatch.setattr(curve_module, "LEAST_IMAGES", 5)


def test_a_short_run_has_eight_points_and_one_evaluation(begin):
    task = begin()
    train(task)
    points = read_curve(task.folder)
    assert [point.progress for point in points] == [step / CURVE_POINTS for step in range(1, CURVE_POINTS + 1)]
    assert [point.val_images for point in points] == [0] * CURVE_POINTS
    assert points[-1].train_loss < points[0].train_loss
    (row,) = read_history(task.folder)
    assert row.val_images == len(task.val)
    # All steps count in either, so the mean over the points is the mean over the run.
    assert np.mean([point.train_loss for point in points]) == pytest.approx(row.train_loss)


@pytest.mark.usefixtures("few")
def test_points_are_scored_on_few_images_within_their_share_of_the_run(begin):
    task = begin()
    outcome = train(task)
    *before, last = read_curve(task.folder)
    assert last.val_images == 0  # the evaluation at the end scores all images
    assert {point.val_images for point in before} == {7}
    assert all(point.val_top1 is not None and point.val_loss is not None for point in before)
    # As many forward passes as are in this share of the steps of the run.
    assert sum(point.val_images for point in before) <= CURVE_SHARE * 3 * outcome.images_seen


@pytest.mark.parametrize(
    ("sizes", "trained", "images"), [((), 1.0, 240), ((), 0.0, 80), ((32,), 1.0, 150)], ids=["all", "head", "growing"]
)
def test_the_less_a_step_takes_the_fewer_images_are_scored(tmp_path, sizes, trained, images):
    # Half of 32,000 images have been seen. An image of the last size takes as long as four of half of its side.
    run = SHORT.revised(model={"name": "mobilenet-v2", "size": 64}, train={"sizes": sizes, "probe_images": 0})
    task = SimpleNamespace(run=run, folder=tmp_path)
    course = SimpleNamespace(state=SimpleNamespace(progress=0.5), images_seen=16_000)
    val = Split(np.zeros((300, 1, 1, 3), np.uint8), np.zeros(300, np.int32), [str(n) for n in range(300)])
    scored = LearningCurve(task, course, val, trained).choose_images()
    assert len(scored) == images


def test_scores_of_the_curve_leave_no_trace_in_the_weights(begin, monkeypatch):
    without = train(begin("without")).val_logits
    monkeypatch.setattr(curve_module, "LEAST_IMAGES", 5)
    task = begin("with")
    scored = train(task).val_logits
    assert read_curve(task.folder)[0].val_images == 7
    np.testing.assert_allclose(scored, without, atol=1e-4)


def test_a_run_of_fewer_steps_has_a_point_for_each(begin):
    task = begin(train={"images": 96})
    train(task)
    assert [point.images_seen for point in read_curve(task.folder)] == [32, 64, 96]


@pytest.mark.usefixtures("few")
def test_a_run_that_is_evaluated_as_often_scores_nothing_more(begin):
    task = begin(train={"evaluations": CURVE_POINTS})
    train(task)
    assert {point.val_images for point in read_curve(task.folder)} == {0}
    assert len(read_history(task.folder)) == CURVE_POINTS


def test_a_run_that_learns_the_validation_images_has_no_curve(begin):
    task = begin(train={"with_val": True})
    train(task)
    assert read_curve(task.folder) == []
