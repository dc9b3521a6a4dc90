"""LoRA: only the rank matrices and the head are trained, and what is saved is a plain network."""

import math
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

from attention import FLAT, build_dinov2, build_flat, build_swin, build_vit
from bakeoff.errors import ConfigError
from bakeoff.launch import launch
from bakeoff.networks import find
from bakeoff.networks.blocks import freeze
from bakeoff.networks.find import find_network
from bakeoff.networks.lora import enable_lora, list_adapted, merge_lora, tried_lora
from bakeoff.networks.model import build_network, count_parameters
from bakeoff.runs.config import BatchNorm, Data, Mode, Model, Run, WeightsChoice
from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.record import Stage, State
from bakeoff.study import default_run, default_space
from bakeoff.training.inference import compile_forward, predict_logits
from bakeoff.training.loop import train
from bakeoff.training.memory import predict_memory
from bakeoff.training.model import open_run
from bakeoff.training.task import open_task

pytestmark = pytest.mark.kernels

BUILDERS = {
    "flat": lambda: build_flat((32, 32, 3)),
    "vit": build_vit,
    "dinov2": build_dinov2,
    "swin": build_swin,
}
RANK = 3
IMAGES = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)


@pytest.fixture
def flat(monkeypatch):
    """A small transformer among the networks that are known by name."""
    monkeypatch.setitem(find._BY_NAME, "flat", FLAT)
    return FLAT


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.slow if name in ("swin", "dinov2") else ()) for name in BUILDERS]
)
def backbone(request):
    if request.param != "flat":
        pytest.importorskip("keras_hub")
    keras.utils.set_random_seed(0)
    made = BUILDERS[request.param]()
    freeze(made, 1.0, BatchNorm.FROZEN)
    return made


def _fill(backbone):
    """Matrices that change the outputs; one of them is zero at first."""
    rng = np.random.default_rng(1)
    for layer in list_adapted(backbone):
        layer.lora_kernel_b.assign(rng.normal(size=layer.lora_kernel_b.shape, scale=0.3))


def _outputs(model):
    return np.array(model(IMAGES, training=False))


def test_at_first_nothing_changes_and_only_rank_matrices_are_trainable(backbone):
    before, count = _outputs(backbone), backbone.count_params()
    enable_lora(backbone, RANK)
    np.testing.assert_allclose(_outputs(backbone), before, atol=1e-6)
    names = {weight.name for weight in backbone.trainable_weights}
    assert names == {"lora_kernel_a", "lora_kernel_b"}
    adapted = list_adapted(backbone)
    added = sum(math.prod(layer.kernel.shape[:-1]) * RANK + RANK * layer.kernel.shape[-1] for layer in adapted)
    assert sum(math.prod(weight.shape) for weight in backbone.trainable_weights) == added
    assert backbone.count_params() == count + added
    assert not any("mlp" in layer.path or "fc" in layer.path for layer in adapted)


def test_merged_it_computes_the_same_and_is_plain(backbone, tmp_path):
    plain = [tuple(weight.shape) for weight in backbone.weights]
    start = _outputs(backbone)
    enable_lora(backbone, RANK)
    _fill(backbone)
    adapted = _outputs(backbone)
    assert np.abs(adapted - start).max() > 0.01
    merge_lora(backbone)
    np.testing.assert_allclose(_outputs(backbone), adapted, atol=1e-5)
    assert [tuple(weight.shape) for weight in backbone.weights] == plain
    assert list_adapted(backbone) == []
    merge_lora(backbone)
    np.testing.assert_allclose(_outputs(backbone), adapted, atol=1e-5)
    backbone.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(_outputs(again), adapted, atol=1e-5)
    assert [tuple(weight.shape) for weight in again.weights] == plain
    assert list_adapted(again) == []


def test_a_saved_model_of_a_merged_network_has_no_matrices(tmp_path):
    backbone = build_flat((32, 32, 3))
    freeze(backbone, 1.0, BatchNorm.FROZEN)
    enable_lora(backbone, RANK)
    merge_lora(backbone)
    backbone.export(tmp_path / "saved", format="tf_saved_model", verbose=False)
    import tensorflow as tf

    variables = tf.train.list_variables(str(tmp_path / "saved" / "variables" / "variables"))
    assert variables
    assert not any("lora" in name for name, _ in variables)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_under_mixed_precision_the_merged_kernel_is_the_sum_in_float32(precision):
    keras.config.set_dtype_policy(precision)
    backbone = build_flat((32, 32, 3))
    freeze(backbone, 1.0, BatchNorm.FROZEN)
    enable_lora(backbone, RANK)
    _fill(backbone)
    adapted, outputs = list_adapted(backbone), _outputs(backbone).astype(np.float32)
    sums = [
        np.array(layer._kernel) + np.matmul(np.array(layer.lora_kernel_a), np.array(layer.lora_kernel_b))
        for layer in adapted
    ]
    merge_lora(backbone)
    for layer, expected in zip(adapted, sums, strict=True):
        assert layer.kernel.dtype == "float32"
        np.testing.assert_allclose(layer.kernel, expected, atol=1e-6)
    np.testing.assert_allclose(_outputs(backbone).astype(np.float32), outputs, atol=0.1)


def test_only_the_blocks_that_are_trained_get_matrices():
    backbone = build_flat((32, 32, 3))
    freeze(backbone, 0.5, BatchNorm.FROZEN)
    enable_lora(backbone, RANK)
    blocks = {weight.path.partition("_")[0] for weight in backbone.trainable_weights}
    assert blocks == {"block3", "block4"}


def test_a_network_without_attention_and_a_frozen_one_are_refused():
    lenet = build_network(find_network("lenet"), Model(name="lenet", size=32), side=32, classes=3)
    with pytest.raises(ConfigError, match=r"^model\.lora adapts attention layers, and lenet has none: remove it$"):
        enable_lora(lenet.backbone, RANK)
    backbone = build_flat((32, 32, 3))
    freeze(backbone, 0.0, BatchNorm.FROZEN)
    with pytest.raises(ConfigError, match=r"leaves no attention layer of flat to train"):
        enable_lora(backbone, RANK)


def test_moving_averages_stay_as_they_are():
    images = keras.Input((8, 4))
    x = layers.BatchNormalization()(images)
    backbone = keras.Model(images, layers.MultiHeadAttention(2, 4)(x, x))
    freeze(backbone, 1.0, BatchNorm.TRAIN)
    enable_lora(backbone, RANK)
    before = [np.array(weight) for weight in backbone.layers[1].weights]
    backbone(np.random.default_rng(0).normal(size=(16, 8, 4), loc=3).astype(np.float32), training=True)
    for weight, old in zip(backbone.layers[1].weights, before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_trying_leaves_nothing_behind():
    backbone = build_flat((32, 32, 3))
    freeze(backbone, 0.5, BatchNorm.FROZEN)
    count = len(backbone.weights)
    with tried_lora(backbone, RANK):
        assert len(backbone.trainable_weights) == 2 * 4 * 2
        with tried_lora(backbone, RANK):
            assert len(backbone.trainable_weights) == 2 * 4 * 2
    assert len(backbone.weights) == count
    with tried_lora(backbone, 0):
        assert len(backbone.weights) == count
    enable_lora(backbone, RANK)
    assert len(backbone.trainable_weights) == 2 * 4 * 2


def test_it_needs_less_memory_than_training_the_weights_and_more_than_training_the_head():
    needs = {}
    for name, unfreeze, lora in (("all", 1.0, 0), ("lora", 1.0, 2), ("more", 1.0, 64), ("head", 0.0, 0)):
        config = Model(name="flat", size=32, unfreeze=unfreeze, lora=lora)
        with keras.StatelessScope():
            network = build_network(FLAT, config, side=32, classes=3)
            freeze(network.backbone, unfreeze, BatchNorm.FROZEN)
            needs[name] = predict_memory(network, Run(model=config))
        assert not list_adapted(network.backbone)
    assert needs["head"] < needs["lora"] < needs["all"]
    assert needs["lora"] < needs["more"]


LORA = Run().revised(
    model={"name": "flat", "size": 32, "weights": "none", "lora": RANK},
    augment={"policy": "crop"},
    optim={"learning_rate": 0.01, "ema": 0.9},
    train={"epochs": None, "images": 320, "batch": 32, "evaluations": 2},
)


@pytest.fixture
def begin(flat, shards, tmp_path):  # noqa: ARG001
    def open_with(report=lambda _: None, **changes):
        return open_task(LORA.revised(**changes), tmp_path, shards, report)

    return open_with


@pytest.fixture(scope="module")
def trained(shards, tmp_path_factory):
    """A run with LoRA: its outcome, what was there before, and what the network computed before it was merged."""
    found = SimpleNamespace(folder=tmp_path_factory.mktemp("trained"))

    def merge(backbone):
        found.matrices = count_parameters(backbone)[1]
        found.unmerged = predict_logits(compile_forward(task.network.model(32)), task.val)
        merge_lora(backbone)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(find._BY_NAME, "flat", FLAT)
        patch.setattr("bakeoff.training.loop.merge_lora", merge)
        task = open_task(LORA, found.folder, shards, lambda _: None)
        found.backbone = task.network.backbone
        weights = [weight for weight in found.backbone.weights if "lora" not in weight.name]
        found.before = {weight.path: np.array(weight) for weight in weights}
        found.task, found.outcome = task, train(task)
    found.model = str(found.folder / "model.keras")
    found.outcome.model.save(found.model)
    return found


def test_a_run_trains_the_matrices_and_the_head_alone_and_ends_with_a_plain_model(trained):
    outcome = trained.outcome
    assert outcome.params_trainable == trained.matrices + 16 * 10 + 10
    assert outcome.params_total == count_parameters(outcome.model)[0]
    assert not any("lora" in weight.name for weight in outcome.model.weights)
    after = {weight.path: np.array(weight) for weight in trained.backbone.weights}
    assert after.keys() == trained.before.keys()
    changed = {path for path, old in trained.before.items() if not np.array_equal(old, after[path])}
    assert len(changed) == 2 * 4
    assert all("attention" in path and path.endswith("kernel") for path in changed)


def test_the_logits_of_a_run_are_those_of_the_merged_model_and_of_the_one_before(trained):
    logits = predict_logits(compile_forward(trained.outcome.model), trained.task.val)
    np.testing.assert_allclose(trained.outcome.val_logits, logits, atol=1e-5)
    np.testing.assert_allclose(trained.outcome.val_logits, trained.unmerged, atol=1e-5)


class _KilledError(Exception):
    pass


@pytest.mark.slow
def test_an_interrupted_run_ends_as_an_uninterrupted_one(begin, trained, monkeypatch):
    monkeypatch.setenv("BAKEOFF_CHECKPOINT_SECONDS", "0")
    steps = []

    def report(progress):
        steps.append(progress.doing == "train")
        if sum(steps) > 4:
            raise _KilledError

    with pytest.raises(_KilledError):
        train(begin(report))
    torn = train(begin())
    assert torn.images_seen == trained.outcome.images_seen
    np.testing.assert_allclose(torn.val_logits, trained.outcome.val_logits, atol=2e-3)


def test_a_run_that_got_worse_keeps_its_start(begin, trained):
    harmful = {"learning_rate": 5.0, "warmup": 0.0, "ema": 0.0}
    task = begin(model={"start": trained.model}, optim=harmful, train={"images": 64, "metric": "log-loss"})
    outcome = train(task)
    assert outcome.start_kept
    np.testing.assert_allclose(outcome.val_logits, trained.outcome.val_logits, atol=1e-5)


def test_a_probe_has_nothing_to_adapt(begin):
    with pytest.raises(ConfigError, match=r"remove model\.lora"):
        begin(train={"mode": "probe", "images": None})


@pytest.mark.usefixtures("workers_here", "flat")
def test_a_finished_run_is_opened_like_any_other(shards, tmp_path):
    record = launch(LORA, stage=Stage.TRAIN, out=tmp_path, data=shards)
    assert record.state is State.COMPLETE, record.reason
    opened = open_run(run_dir(tmp_path, record.id), shards)
    assert count_parameters(opened.model)[0] == record.params_total
    assert record.params_trainable < 0.5 * record.params_total
    assert not RunFolder(run_dir(tmp_path, record.id)).checkpoint.exists()


@pytest.mark.usefixtures("workers_here")
def test_a_run_of_a_network_without_attention_fails_with_one_line(shards, tmp_path):
    run = LORA.revised(model={"name": "lenet"})
    record = launch(run, stage=Stage.TRAIN, out=tmp_path, data=shards)
    assert record.state is State.FAILED
    assert record.reason == "model.lora adapts attention layers, and lenet has none: remove it"


def test_the_default_recipe_of_a_transformer_trains_half_of_its_blocks(flat):
    run = default_run(flat, 32, Data(), WeightsChoice(), 0)
    assert (run.model.unfreeze, run.model.lora) == (flat.trained_share, 0) == (0.5, 0)
    assert run.optim.first_layer < 0.1
    assert run.train.mode is Mode.FIT
    random = default_run(flat, 32, Data(), WeightsChoice(default="none"), 0)
    assert random.model.unfreeze == 1.0


def test_a_search_may_adapt_a_transformer_and_no_other_network(flat, monkeypatch):
    choices = {}
    for spec in (flat, find_network("efficientnet-lite0")):
        base = default_run(spec, 96, Data(), WeightsChoice(), 0)
        choices[spec.name] = {parameter.key: parameter.choices for parameter in default_space(base).parameters}
    assert choices["flat"]["model.lora"] == (0, 4, 16)
    assert "model.batch_norm" not in choices["flat"]
    assert "model.lora" not in choices["efficientnet-lite0"]
    assert choices["flat"]["model.size"] == (64, 96, 128)
    monkeypatch.setitem(find._BY_NAME, "flat", replace(flat, size_step=14, min_size=28))
    base = default_run(flat, 70, Data(), WeightsChoice(), 0)
    (sizes,) = (each.choices for each in default_space(base).parameters if each.key == "model.size")
    assert sizes == (56, 70, 84, 126)
