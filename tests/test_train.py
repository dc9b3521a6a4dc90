"""The training loop, in this process, on a few images."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from bakeoff.cache import list_others
from bakeoff.data.batches import load_split, train_batches
from bakeoff.errors import ConfigError, WeightsError
from bakeoff.files import cache_dir
from bakeoff.networks.backbone import build_backbone
from bakeoff.networks.find import find_network
from bakeoff.runs.config import Metric, Run
from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.history import read_history
from bakeoff.runs.metrics import score
from bakeoff.training import features as features_module
from bakeoff.training import loop as loop_module
from bakeoff.training import probe as probe_module
from bakeoff.training.features import frozen_features
from bakeoff.training.head import LinearHead, fit_head
from bakeoff.training.inference import compile_forward, predict_logits
from bakeoff.training.loop import train
from bakeoff.training.probe import probe
from bakeoff.training.task import open_task

pytestmark = pytest.mark.kernels

LENET = Run().revised(
    model={"name": "lenet", "size": 32},
    augment={"policy": "crop"},
    train={"epochs": None, "images": 1920, "batch": 32, "evaluations": 3},
)
FEWER = {"images": 320}


@pytest.fixture
def begin(shards, tmp_path):
    def open_with(*, wall_seconds=None, **changes):
        return open_task(LENET.revised(**changes), tmp_path, shards, lambda _: None, wall_seconds=wall_seconds)

    return open_with


@pytest.fixture(scope="module")
def trained(shards, tmp_path_factory):
    """LENET, trained: its task, the outcome, and a file with its model."""
    folder = tmp_path_factory.mktemp("trained")
    task = open_task(LENET, folder, shards, lambda _: None)
    outcome = train(task)
    outcome.model.save(folder / "model.keras")
    return SimpleNamespace(task=task, outcome=outcome, model=str(folder / "model.keras"))


@pytest.fixture(scope="module")
def logits(shards, tmp_path_factory):
    """The logits of LENET after fewer images."""
    task = open_task(LENET.revised(train=FEWER), tmp_path_factory.mktemp("logits"), shards, lambda _: None)
    return train(task).val_logits


def test_training_learns_and_its_logits_are_the_models(trained):
    task, outcome = trained.task, trained.outcome
    again = predict_logits(compile_forward(outcome.model), task.val)
    assert np.allclose(outcome.val_logits, again, atol=1e-5)
    assert (again.argmax(1) == task.val.labels).mean() > 0.5
    assert outcome.images_seen == 1920
    losses = [row.train_loss for row in read_history(task.folder)]
    assert losses == sorted(losses, reverse=True)


def test_the_same_run_twice_gives_the_same_logits(begin, logits):
    assert np.allclose(logits, train(begin(train=FEWER)).val_logits, atol=1e-4)


def test_another_seed_gives_other_logits(begin, logits):
    assert not np.allclose(logits, train(begin(seed=1, train=FEWER)).val_logits, atol=1e-2)


def test_a_run_in_seconds_ends_on_time_with_its_rate_at_zero(begin):
    task = begin(train={"images": None, "seconds": 2.0})
    outcome = train(task)
    # The clock is read between steps, so a run may be one step too long.
    assert 2.0 <= outcome.seconds.train < 4.0
    assert read_history(task.folder)[-1].learning_rate < 0.1 * task.run.optim.learning_rate


@pytest.mark.parametrize(
    "length", [{"images": 6400}, pytest.param({"images": None, "seconds": 20.0}, marks=pytest.mark.slow)]
)
def test_a_run_whose_time_is_over_is_shortened_and_its_rate_still_falls_to_zero(begin, length):
    # Its limit has passed before the first step.
    task = begin(wall_seconds=1e-3, train=length)
    outcome = train(task)
    planned = task.run.train.images or task.run.train.seconds
    done = outcome.images_seen if task.run.train.images else outcome.seconds.train
    assert 0.1 * planned <= done < 0.6 * planned
    assert outcome.note.startswith("trained ")
    assert outcome.note.endswith("planned, to end in its time")
    last = read_history(task.folder)[-1]
    assert last.progress == 1.0
    assert last.learning_rate < 0.1 * task.run.optim.learning_rate
    assert outcome.scored_per_second > 0


def test_a_deterministic_run_is_not_shortened_and_says_so(begin):
    task = begin(wall_seconds=0.4, train=FEWER)
    # Only the length is tried here: deterministic operations would stay on in this process.
    task = replace(task, run=task.run.revised(train={"deterministic": True}))
    outcome = train(task)
    assert outcome.images_seen == 320
    assert outcome.note == "its limit of 0.4 s of wall clock was ignored, because it is deterministic"


def test_early_stopping_ends_a_run_without_improvement_and_restores_its_best_weights(begin):
    task = begin(
        train={"images": 16_000, "patience": 2, "evaluations": 50},
        optim={"learning_rate": 0.5, "warmup": 0.0, "ema": 0.0, "clip_norm": 1.0},
    )
    outcome = train(task)
    history = read_history(task.folder)
    assert outcome.images_seen < 16_000
    assert "stopped early" in outcome.note
    probabilities = np.exp(outcome.val_logits - outcome.val_logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    loss = -np.log(np.clip(probabilities[np.arange(len(task.val)), task.val.labels], 1e-12, 1)).mean()
    assert loss == pytest.approx(min(row.val_loss for row in history), rel=1e-3)


def test_early_stopping_can_monitor_top1(begin):
    task = begin(
        train={"images": 16_000, "patience": 2, "evaluations": 50, "monitor": "val_top1"},
        optim={"learning_rate": 0.5, "warmup": 0.0, "ema": 0.0, "clip_norm": 1.0},
    )
    outcome = train(task)
    top1 = (outcome.val_logits.argmax(1) == task.val.labels).mean()
    assert top1 == pytest.approx(max(row.val_top1 for row in read_history(task.folder)))


@pytest.mark.parametrize("metric", ["macro-f1", pytest.param("auroc", marks=pytest.mark.slow)])
def test_early_stopping_follows_the_metric_that_decides(begin, metric):
    task = begin(
        train={"images": 16_000, "patience": 2, "evaluations": 50, "monitor": "metric", "metric": metric},
        optim={"learning_rate": 0.5, "warmup": 0.0, "ema": 0.0, "clip_norm": 1.0},
    )
    outcome = train(task)
    history = [row.read(Metric(metric)) for row in read_history(task.folder)]
    reached = score(outcome.val_logits, task.val.labels, None).read(Metric(metric))
    assert reached.value == pytest.approx(max(history))
    assert len(history) == 3 + history.index(max(history))


@pytest.mark.parametrize(("metric", "kept"), [("top1", False), ("log-loss", True)])
def test_the_starting_weights_are_kept_if_training_made_the_metric_that_decides_worse(begin, trained, metric, kept):
    # Labels that are almost uniform make the network unsure: its loss becomes worse, its top-1 does not.
    length = {"images": 3840, "evaluations": 1, "metric": metric}
    second = train(begin(model={"start": trained.model}, train=length, optim={"label_smoothing": 0.8}))
    assert ("starting point was kept" in second.note) == kept


def test_the_moving_average_is_saved(begin, trained):
    plain = train(begin(optim={"ema": 0.0}))
    assert trained.task.run.optim.ema == 0.99
    assert not np.allclose(plain.val_logits, trained.outcome.val_logits, atol=1e-2)


@pytest.mark.slow
def test_a_pretrained_network_starts_from_a_probe_and_a_small_input(begin):
    task = begin(
        model={"name": "efficientnet-lite0", "size": 64, "unfreeze": 0.2},
        train={"images": 64, "batch": 16, "probe_images": 100, "count_probe": False, "sizes": [32], "evaluations": 2},
    )
    frozen = [layer for layer in task.network.backbone.layers if not layer.trainable and layer.weights]
    before = [layer.get_weights() for layer in frozen]
    outcome = train(task)
    assert len(frozen) > 50
    for layer, old in zip(frozen, before, strict=True):
        assert all(np.array_equal(*pair) for pair in zip(layer.get_weights(), old, strict=True)), layer.name
    assert [row.size for row in read_history(task.folder)] == [32, 64]
    assert outcome.params_trainable < outcome.params_total
    assert (outcome.val_logits.argmax(1) == task.val.labels).mean() > 0.3


def _costs():
    """What cached features have cost, of each file and machine."""
    files = (cache_dir() / "features").glob("*[0-9a-f].json")  # not those of a run's start, which end with -start
    return [cost for path in files for cost in json.loads(path.read_text()).values()]


@pytest.mark.slow
def test_a_counted_probe_takes_the_same_budget_with_cached_features(begin):
    changes = {
        "model": {"name": "efficientnet-lite0", "size": 32},
        "train": {"images": 164, "batch": 16, "probe_images": 100, "evaluations": 1},
    }
    first, second = train(begin(**changes)), train(begin(**changes))
    assert first.images_seen == second.images_seen == 164
    costs = [cost["seconds"] for cost in _costs()]
    assert min(first.seconds.train, second.seconds.train) > sum(costs)
    short = begin(**changes | {"train": changes["train"] | {"images": None, "seconds": 0.01}})
    assert train(short).images_seen <= 100 + 2 * 16  # one step compiles, and one is trained


def test_a_run_can_start_from_the_model_of_another(begin, trained):
    start = {"start": trained.model}
    second = train(begin(model=start, train={"images": 32}, optim={"learning_rate": 1e-9, "ema": 0.0}))
    assert np.allclose(second.val_logits, trained.outcome.val_logits, atol=1e-3)


def test_a_run_whose_only_step_has_a_rate_of_0_says_that_it_learned_nothing(begin):
    said = "it learned nothing: its only step is the first of the warm-up, at rate 0; lengthen it"
    assert train(begin(train={"images": 32})).note == said
    assert train(begin(train={"images": 32}, optim={"warmup": 0.0})).note == ""


def test_a_run_that_got_worse_keeps_its_starting_weights(begin, trained):
    harmful = {"learning_rate": 1.0, "warmup": 0.0, "ema": 0.0}
    second = train(begin(model={"start": trained.model}, train={"images": 64}, optim=harmful))
    assert "starting point was kept" in second.note
    assert np.allclose(second.val_logits, trained.outcome.val_logits, atol=1e-5)


@pytest.mark.parametrize(("flip", "passes"), [(False, ["start", "end"]), (True, ["start", "end", "mirrored end"])])
def test_at_its_end_a_run_scores_the_same_images_once(begin, trained, monkeypatch, flip, passes):
    scored = []

    def predict(forward, split, **options):
        scored.append(len(split))
        return predict_logits(forward, split, **options)

    monkeypatch.setattr("bakeoff.training.loop.predict_logits", predict)
    start = {"start": trained.model}
    task = begin(model=start, train={"images": 32, "evaluations": 1, "flip_test": flip}, wall_seconds=1000.0)
    train(task)
    assert scored == [len(task.val)] * len(passes)


def test_the_model_of_another_network_is_refused_as_a_start(begin, finished):
    other = RunFolder(run_dir(finished.out, finished.record.id)).model
    with pytest.raises(WeightsError, match="is not lenet"):
        begin(model={"start": str(other)})


def test_a_malformed_memory_limit_is_refused(begin, monkeypatch):
    monkeypatch.setenv("BAKEOFF_RUN_MEMORY_BYTES", "4G")
    with pytest.raises(ConfigError, match="'4G'; give a number of bytes"):
        begin()


def test_keys_for_pretrained_networks_are_refused_from_scratch(begin):
    with pytest.raises(ConfigError, match="from scratch"):
        begin(train={"probe_images": 100})


def test_a_probe_scores_frozen_features_and_reads_them_from_the_cache_next_time(begin):
    changes = {
        "model": {"name": "efficientnet-lite0", "size": 32},
        "train": {"mode": "probe", "images": None, "subset": 300},
    }
    first = probe(begin(**changes))
    second = probe(begin(**changes))
    assert np.array_equal(first.val_logits, second.val_logits)
    assert first.images_seen == 300
    assert first.params_trainable == 1280 * 10 + 10
    # The second run reports the time of computing the features, not of reading them.
    assert second.images_per_second == first.images_per_second
    kept = _costs()
    assert len(kept) == 2
    assert second.memory_peak_bytes >= max(cost["memory_peak_bytes"] for cost in kept)
    assert second.seconds.train >= sum(cost["seconds"] for cost in kept)


@pytest.mark.parametrize("flips", [False, True])
def test_the_model_of_a_probe_predicts_what_the_probe_predicts(begin, flips):
    task = begin(train={"mode": "probe", "images": None, "subset": 300, "flip_test": flips})
    outcome = probe(task)
    again = predict_logits(compile_forward(outcome.model), task.val, flip=flips)
    assert np.allclose(outcome.val_logits, again, atol=1e-4)
    assert (again.argmax(1) == task.val.labels).mean() > 0.5


WITH_VAL = {"with_val": True, "evaluations": 3}


def _ids(task):
    train, val, test = (load_split(task.dataset, name, unlock=True).ids for name in ("train", "val", "test"))
    assert not set(test) & {*train, *val}
    return train, val


def test_a_run_with_validation_learns_its_images_never_those_of_test_and_scores_none(begin, monkeypatch):
    task = begin(train=FEWER | WITH_VAL)
    learned = []

    def batches(split, *arguments, **options):
        learned.extend(split.ids)
        assert len(split.images[np.arange(len(split))]) == len(split)
        return train_batches(split, *arguments, **options)

    monkeypatch.setattr(loop_module, "train_batches", batches)
    outcome = train(task)
    train_ids, val_ids = _ids(task)
    assert learned == [*train_ids, *val_ids]
    assert outcome.val_logits is None
    assert outcome.epochs == 320 / len(learned)
    assert read_history(task.folder) == []


def test_a_probe_with_validation_is_fitted_on_both_splits(begin):
    settings = {"mode": "probe", "images": None}
    alone, both = probe(begin(train=settings)), probe(task := begin(train=settings | WITH_VAL))
    assert both.val_logits is None
    assert both.images_seen == alone.images_seen + len(task.val)
    features = np.concatenate([each.values for each in frozen_features(task, task.train, task.val)])
    expected = fit_head(features, np.concatenate([task.train.labels, task.val.labels]), task.classes)
    assert np.allclose(both.model.layers[-1].get_weights()[0], expected.kernel, atol=1e-6)
    assert not np.allclose(alone.model.layers[-1].get_weights()[0], expected.kernel, atol=1e-6)


def test_a_head_that_starts_from_a_probe_learns_validation_too(begin, monkeypatch):
    model = {"name": "efficientnet-lite0", "size": 32}
    task = begin(model=model, train=FEWER | WITH_VAL | {"probe_images": 100})
    fitted = []
    monkeypatch.setattr(probe_module, "fit_head", lambda _, labels, *__: fitted.append(labels) or HEAD)
    assert probe_module.initialise_head(task).images == 100 + len(task.val)
    assert np.array_equal(fitted[0][100:], task.val.labels)


HEAD = LinearHead(np.zeros((1280, 10), np.float32), np.zeros(10, np.float32))


def _spy_on_features(monkeypatch):
    """The numbers of images whose features are computed from now on."""
    computed = []

    def predict(forward, split, **options):
        computed.append(len(split))
        return predict_logits(forward, split, **options)

    monkeypatch.setattr(features_module, "predict_logits", predict)
    monkeypatch.setattr(features_module, "MEASURED_IMAGES", 140)
    return computed


def test_of_features_that_another_machine_has_computed_only_the_time_is_measured_again(begin, monkeypatch):
    task, computed = begin(), _spy_on_features(monkeypatch)
    (here,) = frozen_features(task, task.val)
    monkeypatch.setenv("TF_NUM_INTEROP_THREADS", "97")
    (free,) = frozen_features(task, task.val, timed=False)
    assert computed == [len(task.val)]
    assert (free.seconds, free.images_per_second) == (0.0, 0.0)
    (there,), (again,) = (frozen_features(task, task.val) for _ in range(2))
    assert computed == [len(task.val), 140]
    assert np.array_equal(here.values, there.values)
    assert (there.seconds, there.images_per_second) == (again.seconds, again.images_per_second)
    assert there.seconds > (len(task.val) - 140) / there.images_per_second > 0
    assert there.images_per_second != here.images_per_second
    monkeypatch.delenv("TF_NUM_INTEROP_THREADS")
    assert frozen_features(task, task.val)[0].seconds == here.seconds
    assert list_others() == []


def test_features_of_a_version_that_named_no_machine_are_kept_and_their_time_is_measured(begin, monkeypatch):
    task, computed = begin(), _spy_on_features(monkeypatch)
    frozen_features(task, task.val)
    (path,) = (cache_dir() / "features").glob("*.json")
    path.write_text('{"seconds": 1e6, "images_per_second": 1e-6, "memory_peak_bytes": 7}')
    assert frozen_features(task, task.val)[0].seconds < 1e6
    assert computed == [len(task.val), 140]


def test_features_of_weights_that_are_partly_random_are_kept_for_each_seed(begin, tmp_path):
    import h5py

    build_backbone(find_network("lenet"), (32, 32, 3)).save_weights(tmp_path / "a.weights.h5")
    with h5py.File(tmp_path / "a.weights.h5", "r+") as file:
        del file["layers/dense"]
    changes = {"model": {"weights": str(tmp_path / "a.weights.h5"), "partial_weights": True}}
    tasks = [begin(**changes, seed=seed) for seed in (0, 1, 0)]
    assert [task.loaded.matched for task in tasks] == [6] * 3
    first, other, again = (frozen_features(task, task.val)[0].values for task in tasks)
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_a_fitted_head_separates_separable_classes():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300).astype(np.int32)
    features = (rng.normal(size=(300, 20)) + 3 * np.eye(20)[labels]).astype(np.float32)
    head = fit_head(features, labels, 3)
    assert (head.logits(features).argmax(1) == labels).mean() > 0.9


@pytest.mark.parametrize("present", [[0, 1], [0, 2], [1, 2, 3]])
def test_a_class_without_images_is_never_predicted(present):
    rng = np.random.default_rng(0)
    labels = rng.choice(present, 200).astype(np.int32)
    features = (rng.normal(size=(200, 8)) + 3 * np.eye(8)[labels]).astype(np.float32)
    predicted = fit_head(features, labels, 5).logits(features).argmax(1)
    assert set(predicted) <= set(present)
    assert (predicted == labels).mean() > 0.9


def test_a_head_is_fitted_once_and_again_if_its_file_is_damaged(monkeypatch):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60).astype(np.int32)
    features = rng.normal(size=(60, 8)).astype(np.float32)
    first, seconds = probe_module._read_or_fit_head(features, labels, 3)
    (path,) = (cache_dir() / "features").glob("*-head.npz")
    assert list_others() == []
    with monkeypatch.context() as patched:
        patched.setattr(probe_module, "fit_head", lambda *_: pytest.fail("it is in the cache"))
        again, seconds_again = probe_module._read_or_fit_head(features, labels, 3)
    assert np.array_equal(first.kernel, again.kernel)
    assert np.array_equal(first.bias, again.bias)
    assert seconds_again == seconds > 0
    monkeypatch.setenv("TF_NUM_INTEROP_THREADS", "97")
    with monkeypatch.context() as patched:
        patched.setattr(probe_module, "fit_head", lambda *_: pytest.fail("its time is not asked for"))
        assert probe_module._read_or_fit_head(features, labels, 3, timed=False)[1] == 0.0
    assert probe_module._read_or_fit_head(features, labels, 3)[1] != seconds
    path.write_bytes(path.read_bytes()[:-100])
    repaired, _ = probe_module._read_or_fit_head(features, labels, 3)
    assert np.array_equal(first.kernel, repaired.kernel)
    probe_module._read_or_fit_head(features + 1, labels, 3)
    assert len(list(path.parent.glob("*-head.npz"))) == 2


def test_no_feature_that_is_almost_always_zero_decides_alone():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300).astype(np.int32)
    features = (rng.normal(size=(300, 20)) + 3 * np.eye(20)[labels]).astype(np.float32)
    features[:, 19] = 0
    features[0, 19] = 1e-4
    head = fit_head(features, labels, 3)
    features[:, 19] = 1
    assert (head.logits(features).argmax(1) == labels).mean() > 0.9


def _count_compilations(monkeypatch, *, fails):
    """Whether XLA compiles each step of the runs from now on; such a step may fail when it is taken."""
    compiled = []

    def compile_step(*arguments, jit_compile, **options):
        compiled.append(jit_compile)

        def refuse(*_):
            raise tf.errors.InvalidArgumentError(None, None, "Detected unsupported operations")

        if fails and jit_compile:
            return refuse
        return loop_compile_step(*arguments, **options)

    loop_compile_step = loop_module.compile_step
    monkeypatch.setattr(loop_module, "compile_step", compile_step)
    # On CPUs XLA is refused.
    monkeypatch.setattr("bakeoff.training.task.find_gpu", lambda: "GPU:0")
    return compiled


SHORT = {"xla": True, "images": 64, "evaluations": 1}


def test_a_run_whose_step_xla_cannot_compile_trains_without_it_and_says_so(begin, monkeypatch):
    compiled = _count_compilations(monkeypatch, fails=True)
    outcome = train(begin(train=SHORT))
    assert compiled == [True, False]
    assert outcome.images_seen == 64
    assert outcome.note.count("it trained without XLA, which could not compile its step; its log says why") == 1


def test_a_run_on_several_devices_trains_without_xla_and_says_so(begin, monkeypatch):
    compiled = _count_compilations(monkeypatch, fails=False)
    task = begin(train=SHORT)
    task.replicas.count = 2
    outcome = train(task)
    assert compiled == [False]
    assert "it trained without XLA, which does not compile a step on several devices" in outcome.note


def test_a_step_that_takes_too_much_memory_with_xla_ends_the_run(begin, monkeypatch):
    _count_compilations(monkeypatch, fails=False)

    def exhaust(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "no room")

    monkeypatch.setattr(loop_module, "compile_step", lambda *_, **__: exhaust)
    with pytest.raises(tf.errors.ResourceExhaustedError):
        train(begin(train=SHORT))
