"""What every network must do, pretrained or not: learn, keep still what is frozen, and survive a save."""

import json
from pathlib import Path

import pytest
import tensorflow as tf

from bakeoff.deploy.contract.cost import check_fused, check_half_precision
from bakeoff.deploy.contract.features import check_finite, check_repeatable, check_scaling
from bakeoff.deploy.contract.learning import SHARES, check_freezing, check_learning, check_saving
from bakeoff.deploy.contract.run import try_contract
from bakeoff.deploy.contract.subject import ContractError, Subject, make_subject
from bakeoff.networks.find import find_network
from bakeoff.networks.plugin import forget_plugins
from bakeoff.networks.table import TABLE
from own_networks import SCALE, look_here, write_module
from running import run_cli, run_process

pytestmark = pytest.mark.kernels

QUICK = {"lenet", "cnn-small", "cnn-custom", "efficientnet-lite0"}
# Larger ones take up to 10 GB to train, and have the layers of smaller ones.
MAX_PARAMS = 150_000_000


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(row, id=row.name, marks=() if row.name in QUICK else pytest.mark.slow)
        for row in TABLE
        if row.params_total <= MAX_PARAMS
    ],
)
def network(request: pytest.FixtureRequest) -> Subject:
    """The network with random weights, at 32 pixels or the least that it takes, fed digits of 8 pixels."""
    return make_subject(request.param)


def test_a_few_steps_on_one_batch_lower_its_loss(network: Subject) -> None:
    check_learning(network)


@pytest.mark.parametrize("unfreeze", SHARES)
def test_a_step_moves_what_learns_and_not_a_bit_of_what_is_frozen(network: Subject, unfreeze: float) -> None:
    check_freezing(network, unfreeze)


def test_a_saved_model_opens_with_the_same_weights_and_gives_the_same_logits(network: Subject, tmp_path: Path) -> None:
    check_saving(network, tmp_path)


def test_an_image_has_the_same_features_twice_and_its_input_is_scaled_once(network: Subject) -> None:
    check_repeatable(network)
    check_scaling(network)


HEAD = """
import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from bakeoff.networks import Backbone, Scaling

class Chance(layers.Layer):
    def call(self, x):
        return x + tf.random.normal(tf.shape(x))

class Neighbours(layers.Layer):
    def call(self, x):
        return x - ops.mean(x, axis=0, keepdims=True)

class Stubborn(layers.Layer):
    def build(self, shape):
        self.number = self.add_weight(shape=(), initializer="zeros", trainable=False)
    def call(self, x):
        self.number.assign(self.number + 1.0)
        return x

class Forgets(layers.Layer):
    def __init__(self, width=1.0, **settings):
        super().__init__(**settings)
        self.width = width
    def call(self, x):
        return x * self.width
    def get_config(self):
        return super().get_config()

class Half(layers.Layer):
    def build(self, shape):
        self.factor = self.add_weight(shape=(), initializer="ones", dtype="float16")
    def call(self, x):
        return x * ops.cast(self.factor, x.dtype)

class Stops(layers.Layer):
    def call(self, x):
        return ops.stop_gradient(x)

class Restless(layers.Layer):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.first, self.second = layers.Conv2D(8, 1), layers.Conv2D(8, 1)
    def call(self, x):
        x = self.second(self.first(x))
        self.first.kernel.assign(self.first.kernel * 1.1)
        return x

class Blocks(layers.Layer):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.blocks = [Restless() for _ in range(3)]
    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return x

class Standardised(layers.Conv2D):
    def call(self, x):
        return self.convolution_op(x, self.kernel - ops.mean(self.kernel, (0, 1, 2), keepdims=True)) + self.bias

class Root(layers.Layer):
    def call(self, x):
        return ops.sqrt(x - 0.5)

def build(shape):
    images = keras.Input(shape)
    x = {first}(images)
    x = layers.Conv2D(8, 3, strides=4, activation="relu")(x)
    return keras.Model(images, {last}(x))

NET = Backbone(builder=build, scaling=Scaling.UNIT, native_size=48)
"""
WHOLE = "layers.Activation('linear')"
# What a fused model calls as it is, or replaces alone.
FUSABLE = {
    "a normalisation after a sum": "layers.BatchNormalization()(layers.Add()([x, layers.Conv2D(8, 1)(x)]))",
    "a convolution of another class": "layers.BatchNormalization()(Standardised(8, 3)(x))",
    "weights without a gradient": "Stops()(layers.Conv2D(8, 1)(x))",
}
BROKEN = {
    "chance": (WHOLE, "Chance()", lambda subject, _: check_repeatable(subject), "other features the second time"),
    "batch": (WHOLE, "Neighbours()", lambda subject, _: check_repeatable(subject), "alone and in a batch differ"),
    "scaled twice": (
        "layers.Rescaling(1 / 255, name='own')",
        WHOLE,
        lambda subject, _: check_scaling(subject),
        "layer own scales",
    ),
    "frozen": (WHOLE, "Stubborn()", lambda subject, _: check_freezing(subject, 0.0), "changed although frozen"),
    "frozen inside": (WHOLE, "Blocks()", lambda subject, _: check_freezing(subject, 0.2), "changed although frozen"),
    "no gradient": (WHOLE, "Stops()", lambda subject, _: check_learning(subject), "no gradient reaches"),
    "forgets": (WHOLE, "Forgets(width=3.0)", check_saving, "logits differ .* get_config"),
    "no numbers": ("Root()", WHOLE, lambda subject, _: check_finite(subject.network.spec), "are no numbers"),
    "float16": (WHOLE, "Half()", lambda subject, _: check_half_precision(subject.network.spec), "are not float32"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_network_that_breaks_the_contract_is_told_how(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last, check, words = BROKEN[kind]
    monkeypatch.chdir(tmp_path)
    look_here(monkeypatch)
    write_module(tmp_path, f"broken_{kind.replace(' ', '_')}", HEAD.replace("{first}", first).replace("{last}", last))
    spec = find_network(f"broken_{kind.replace(' ', '_')}:NET")
    with pytest.raises(ContractError, match=words):
        check(make_subject(spec), tmp_path)


@pytest.mark.parametrize("kind", FUSABLE)
def test_a_fused_network_of_ones_own_computes_the_same(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    look_here(monkeypatch)
    module = f"fusable_{len(kind)}"
    write_module(tmp_path, module, HEAD.replace("{first}", WHOLE).replace("{last}(x)", FUSABLE[kind]))
    assert "differ by" in check_fused(make_subject(find_network(f"{module}:NET")))


def test_a_network_of_ones_own_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    look_here(monkeypatch)
    write_module(tmp_path, "kept", SCALE)
    subject = make_subject(find_network("kept:NET"))
    check_finite(subject.network.spec)
    check_learning(subject)
    check_freezing(subject, 0.2)
    check_repeatable(subject)
    check_scaling(subject)
    check_fused(subject)
    check_half_precision(subject.network.spec)
    check_saving(subject, tmp_path)


@pytest.mark.slow
def test_the_command_prints_what_came_of_each_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_module(tmp_path, "kept", SCALE)
    done = run_process("models", "--check", "kept:NET", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    checks = json.loads(done.stdout)
    assert {"memory", "learning", "saving", "export keras", "export litert"} <= {check["name"] for check in checks}
    assert all(set(check) == {"name", "passed", "detail"} for check in checks)
    write_module(tmp_path, "broken", HEAD.replace("{first}", WHOLE).replace("{last}", "Chance()"))
    done = run_process("models", "--check", "broken:NET")
    assert done.returncode == 1
    assert "other features the second time" in " ".join(done.stdout.split())


def test_a_check_that_raises_something_else_is_a_failed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bakeoff.deploy.contract import run

    def explode() -> str:
        raise ValueError("with\nlines")

    monkeypatch.setattr(run, "_list_checks", lambda _: iter([("first", lambda: "fine"), ("second", explode)]))
    try_contract(find_network("lenet"), tmp_path / "contract.json")
    first, second = json.loads((tmp_path / "contract.json").read_text())
    assert first == {"name": "first", "passed": True, "detail": "fine"}
    assert second == {"name": "second", "passed": False, "detail": "ValueError: with lines"}


def test_a_network_is_checked_in_full_float32_on_gpus_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bakeoff.deploy.contract import run

    is_rounded = tf.config.experimental.tensor_float_32_execution_enabled
    monkeypatch.setattr(run, "_list_checks", lambda _: iter([("rounded", lambda: str(is_rounded()))]))
    try_contract(find_network("lenet"), tmp_path / "contract.json")
    (found,) = json.loads((tmp_path / "contract.json").read_text())
    assert (found["detail"], is_rounded()) == ("False", True)


def test_a_network_that_cannot_be_used_at_all_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    forget_plugins()
    done = run_cli("models", "--check", "resnet-5")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
