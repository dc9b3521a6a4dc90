"""The head of a probe on augmented views: what views show, and that the better of two heads is kept."""

import json

import numpy as np
import pytest

from bakeoff.data.batches import Split
from bakeoff.data.views import View, list_views
from bakeoff.errors import ConfigError
from bakeoff.files import cache_dir
from bakeoff.launch import launch
from bakeoff.profile import observe
from bakeoff.runs.config import Augment, Run, Train, run_id
from bakeoff.runs.record import Seconds, Stage
from bakeoff.training import probe as probe_module
from bakeoff.training import views as views_module
from bakeoff.training.features import frozen_features
from bakeoff.training.head import LinearHead, fit_head
from bakeoff.training.inference import compile_forward, predict_logits
from bakeoff.training.probe import probe
from bakeoff.training.task import open_task
from factories import make_record

PROBE = Run().revised(
    model={"name": "lenet", "size": 32},
    augment={"policy": "crop"},
    train={"epochs": None, "mode": "probe", "subset": 300, "probe_views": 2},
)


@pytest.fixture
def begin(shards, tmp_path):
    def open_with(*, wall_seconds=None, **changes):
        return open_task(PROBE.revised(**changes), tmp_path, shards, lambda _: None, wall_seconds=wall_seconds)

    return open_with


def _split(count=10):
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), np.uint8)
    return Split(images, np.arange(count, dtype=np.int32), [str(number) for number in range(count)])


def _show(view, split):
    return view.of(split).images[0 : len(split)]


def test_the_first_view_is_the_mirror_image_if_the_policy_flips():
    split = _split()
    first, second = list_views(Augment(policy="flip-crop"), 2, 0)
    np.testing.assert_array_equal(_show(first, split), split.images[:, :, ::-1])
    assert first.is_mirror
    assert not second.is_mirror
    assert not np.array_equal(_show(second, split), split.images[:, :, ::-1])
    assert not any(view.is_mirror for view in list_views(Augment(policy="crop"), 2, 0))


def test_a_view_shows_the_same_at_each_reading_and_another_view_or_seed_shows_other_images():
    split = _split()
    first, second = list_views(Augment(policy="crop"), 2, 0)
    other = list_views(Augment(policy="crop"), 2, 1)[0]
    np.testing.assert_array_equal(_show(first, split), _show(first, split))
    shown = [_show(view, split).tobytes() for view in (first, second, other)]
    assert len({*shown, split.images.tobytes()}) == 4
    assert len({json.dumps(view.key) for view in (first, second, other)}) == 3


def test_slices_that_are_read_again_are_the_same_and_labels_stay_with_their_images():
    split = _split()
    shown = View(2, Augment(policy="crop"), 0).of(split)
    parts = [shown.images[start : start + 4] for start in (0, 4, 8)]
    again = [shown.images[start : start + 4] for start in (8, 4, 0)][::-1]
    for part, same in zip(parts, again, strict=True):
        np.testing.assert_array_equal(part, same)
    assert np.array_equal(shown.labels, split.labels)
    assert shown.images.shape == split.images.shape
    assert len(shown.images[3:3]) == 0


def test_a_view_mixes_no_images():
    images = np.stack([np.full((8, 8, 3), 10 * number, np.uint8) for number in range(10)])
    split = Split(images, np.arange(10, dtype=np.int32), [str(number) for number in range(10)])
    (view,) = list_views(Augment(policy="crop-mixup-cutmix"), 1, 0)
    np.testing.assert_array_equal(_show(view, split), images)


@pytest.mark.parametrize("policy", ["none", "mixup-cutmix"])
def test_a_policy_that_changes_no_image_has_no_views(policy):
    with pytest.raises(ConfigError, match=r"remove train\.probe_views"):
        list_views(Augment(policy=policy), 1, 0)
    assert list_views(Augment(policy=policy), 0, 0) == []


@pytest.mark.parametrize("balance", ["none", "effective"])
def test_a_view_that_shows_the_images_as_they_are_changes_no_head(balance):
    rng = np.random.default_rng(0)
    labels = np.sort(rng.integers(0, 3, 90)).astype(np.int32)
    features = (rng.normal(size=(90, 8)) + np.eye(8)[labels]).astype(np.float32)
    plain = fit_head(features, labels, 3, balance)
    both = fit_head(np.concatenate([features, features]), labels, 3, balance, views=1)
    np.testing.assert_allclose(both.logits(features), plain.logits(features), atol=0.02)


def test_views_are_for_probes_that_are_scored_on_validation():
    with pytest.raises(ValueError, match="remove probe_views, or set mode = probe"):
        Train(epochs=1, probe_views=2)
    with pytest.raises(ValueError, match="remove probe_views or folds"):
        Train(mode="probe", probe_views=2, folds=3)


def test_the_id_of_a_run_without_views_or_matrices_holds():
    assert run_id(Run(), "data", "weights") == "378065384fd4"
    ids = [
        run_id(run, "data", "weights")
        for run in (PROBE, PROBE.revised(train={"probe_views": 0}), PROBE.revised(model={"lora": 2}))
    ]
    assert len(set(ids)) == 3


def _score(task, head):
    (val,) = frozen_features(task, task.val)
    return (head.logits(val.values).argmax(1) == task.val.labels).mean()


@pytest.mark.kernels
def test_the_better_head_is_kept_and_the_note_says_which(begin):
    outcome = probe(task := begin())
    values = frozen_features(task, task.train)[0].values
    plain = _score(task, fit_head(values, task.train.labels, task.classes))
    assert (outcome.val_logits.argmax(1) == task.val.labels).mean() >= plain
    assert outcome.head_views in (0, 2)
    kept = "also fitted on 2 augmented views of each image" if outcome.head_views else "fitted on the images alone"
    assert outcome.note.startswith(f"its head was {kept}: top-1 ")
    assert outcome.images_seen == 3 * 300
    again = predict_logits(compile_forward(outcome.model), task.val)
    assert np.allclose(outcome.val_logits, again, atol=1e-4)


ZERO = LinearHead(np.zeros((200, 10), np.float32), np.zeros(10, np.float32))


@pytest.mark.kernels
@pytest.mark.parametrize(
    ("module", "views", "words"),
    [
        (
            probe_module,
            2,
            ("also fitted on 2 augmented views of each image: top-1 ", " on validation, top-1 ", " without"),
        ),
        (
            views_module,
            0,
            ("the images alone: top-1 ", " on validation, top-1 ", " also with 2 augmented views of each"),
        ),
    ],
)
def test_a_head_that_is_worse_is_not_kept(begin, monkeypatch, module, views, words):
    monkeypatch.setattr(module, "fit_head", lambda *_, **__: ZERO)
    outcome = probe(task := begin())
    assert outcome.head_views == views
    assert (outcome.val_logits.argmax(1) == task.val.labels).mean() > 0.5
    assert all(word in outcome.note for word in words)


@pytest.mark.kernels
def test_of_equally_good_heads_the_one_with_less_loss_is_kept(begin):
    task = begin()
    logits = np.eye(10, dtype=np.float32)[task.val.labels]
    surer, less = (views_module._rate(scale * logits, task.val.labels, task.run.train.metric) for scale in (9, 3))
    assert surer[0] == less[0] == 1.0
    assert surer > less


@pytest.mark.kernels
def test_features_of_views_are_cached_each_for_itself(begin):
    probe(begin())
    files = sorted(path.name for path in (cache_dir() / "features").glob("*.npy"))
    assert len(files) == 4
    probe(begin(train={"probe_views": 3}))
    more = {path.name for path in (cache_dir() / "features").glob("*.npy")}
    assert more > set(files)
    assert len(more) == 5
    probe(begin(augment={"crop": 0.2}))
    assert len([*(cache_dir() / "features").glob("*.npy")]) == 7


@pytest.mark.kernels
def test_a_probe_that_learns_validation_keeps_the_views_that_its_config_names(begin):
    outcome = probe(task := begin(train={"with_val": True}))
    assert outcome.val_logits is None
    assert outcome.head_views == 2
    assert outcome.note == "its head was also fitted on 2 augmented views of each image"
    views = list_views(task.run.augment, 2, task.run.seed)
    parts = [frozen_features(task, task.train, task.val, view=view) for view in (None, *views)]
    rows = np.concatenate([each.values for part in parts for each in part])
    labels = np.concatenate([task.train.labels, task.val.labels])
    expected = fit_head(rows, labels, task.classes, views=2)
    np.testing.assert_allclose(outcome.model.layers[-1].get_weights()[0], expected.kernel, atol=1e-6)


@pytest.mark.kernels
def test_a_probe_whose_time_is_over_makes_no_views_and_says_so(begin):
    outcome = probe(begin(wall_seconds=1e-3))
    assert outcome.head_views == 0
    assert outcome.images_seen == 300
    assert outcome.note == "its head was fitted without augmented views: there was no time for the 2 that were planned"


def test_the_memory_of_views_is_predicted(begin):
    alone, views = (begin(train={"probe_views": count}).memory_modelled_bytes for count in (0, 8))
    width = 200
    assert views - alone >= 8 * 300 * width * 4


@pytest.mark.usefixtures("workers_here")
@pytest.mark.kernels
def test_the_record_says_how_many_views_the_head_has_seen(shards, tmp_path):
    record = launch(PROBE, stage=Stage.TRAIN, out=tmp_path, data=shards)
    assert record.head_views in (0, 2)
    assert "its head was fitted on" in record.reason
    plain = launch(PROBE.revised(train={"probe_views": 0}), stage=Stage.TRAIN, out=tmp_path, data=shards)
    assert (plain.head_views, plain.reason) == (0, "")
    assert record.id != plain.id


def test_a_probe_with_views_says_the_same_of_the_machine_as_one_without():
    seen = []
    for views in (0, 4):
        # Forward 100 images a second, a head in 0.2 s for each 1,000 images.
        images, fits = 1000 * (1 + views), (2 + views if views else 1)
        took = Seconds(start=5.0, data=1.0, train=(images + 500) / 100 + fits * 0.2, fit=fits * 0.2)
        total = took.start + took.data + took.train
        record = make_record(
            mode="probe",
            n=500,
            images_seen=images,
            images_per_second=100.0,
            seconds=took.model_copy(update={"total": total}),
        )
        config = record.config.revised(train={"probe_views": views})
        seen.append(observe(record.model_copy(update={"config": config}), threads=2))
    assert seen[1].overhead == pytest.approx(seen[0].overhead)
    assert seen[1].fitted_per_second == pytest.approx(seen[0].fitted_per_second)
