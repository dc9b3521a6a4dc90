"""Freezing: a share of a transformer is a share of its blocks, wherever they lie."""

import keras
import numpy as np
import pytest
from keras import layers

from attention import build_dinov2, build_flat, build_swin, build_vit
from bakeoff.errors import ConfigError
from bakeoff.networks.blocks import freeze, list_parts
from bakeoff.networks.find import find_network
from bakeoff.networks.model import build_network
from bakeoff.runs.config import BatchNorm, Model, Optim, override
from bakeoff.runs.config.run import Run
from bakeoff.training.optimizer import rate_multipliers

BUILDERS = {
    "flat": lambda: build_flat((32, 32, 3)),
    "vit": build_vit,
    "dinov2": build_dinov2,
    "swin": build_swin,
}


@pytest.fixture(scope="module")
def backbones():
    made = {}

    def get(name):
        if name not in made:
            if name != "flat":
                pytest.importorskip("keras_hub")
            made[name] = BUILDERS[name]()
        return made[name]

    return get


def _trained(backbone):
    """The paths of the parts that are trained, which are those whose weights Keras trains."""
    parts = [part for part in list_parts(backbone) if part.layer.weights]
    learning = {id(weight) for weight in backbone.trainable_weights}
    found = [part for part in parts if part.layer.trainable]
    assert learning == {id(weight) for part in found for weight in part.layer.trainable_weights}
    return [part.path for part in found]


@pytest.mark.parametrize(
    ("name", "unfreeze", "first", "last"),
    [
        ("flat", 0.5, "block3_norm1", "norm"),
        ("flat", 0.97, "block1_norm1", "norm"),
        ("flat", "block4", "block4_norm1", "norm"),
        ("vit", 0.25, "vit_encoder/transformer_block_4", "vit_encoder/ln"),
        ("vit", 0.01, "vit_encoder/transformer_block_4", "vit_encoder/ln"),
        ("vit", 0.97, "vit_encoder/transformer_block_1", "vit_encoder/ln"),
        ("vit", "transformer_block_2", "vit_encoder/transformer_block_2", "vit_encoder/ln"),
        ("vit", "vit_encoder", "vit_encoder/transformer_block_1", "vit_encoder/ln"),
        ("dinov2", 0.5, "encoder/layers_2", "layernorm"),
        ("dinov2", "layers_3", "encoder/layers_3", "layernorm"),
        ("swin", 0.5, "stage_1/blocks_0", "norm"),
        ("swin", 0.75, "stage_0/blocks_1", "norm"),
        ("swin", "stage_1", "stage_1/blocks_0", "norm"),
        ("swin", "stage_0/blocks_1", "stage_0/blocks_1", "norm"),
    ],
)
def test_a_transformer_is_trained_from_a_block_on(backbones, name, unfreeze, first, last):
    backbone = backbones(name)
    freeze(backbone, unfreeze, BatchNorm.TRAIN)
    found = _trained(backbone)
    assert found[0].endswith(first)
    assert found[-1].endswith(last)
    parts = [part.path for part in list_parts(backbone) if part.layer.weights]
    assert found == parts[-len(found) :]


@pytest.mark.parametrize("name", BUILDERS)
def test_embeddings_and_their_tokens_are_trained_only_with_everything(backbones, name):
    backbone = backbones(name)
    freeze(backbone, 1.0, BatchNorm.TRAIN)
    everything = {id(weight) for weight in backbone.trainable_weights}
    first = next(part.layer for part in list_parts(backbone) if part.layer.weights)
    assert {id(weight) for weight in first.trainable_weights} <= everything
    assert first.trainable_weights
    freeze(backbone, 0.99, BatchNorm.TRAIN)
    assert first.trainable_weights == []
    freeze(backbone, 0.0, BatchNorm.TRAIN)
    assert backbone.trainable_weights == []
    freeze(backbone, 1.0, BatchNorm.TRAIN)
    assert {id(weight) for weight in backbone.trainable_weights} == everything


def test_a_block_that_is_not_there_is_refused_with_those_there_are(backbones):
    with pytest.raises(ConfigError, match=r"no block 'block9'; its last ones are block1, block2, block3, block4$"):
        freeze(backbones("flat"), "block9", BatchNorm.TRAIN)
    with pytest.raises(ConfigError, match=r"transformer_block_3, transformer_block_4$"):
        freeze(backbones("vit"), "transformer_block_9", BatchNorm.TRAIN)
    with pytest.raises(ConfigError, match="stage_0/blocks_1, stage_1/blocks_0"):
        freeze(backbones("swin"), "blocks_9", BatchNorm.TRAIN)


def test_what_is_frozen_inside_a_layer_does_not_move(backbones):
    backbone = backbones("vit")
    freeze(backbone, 0.5, BatchNorm.TRAIN)
    images = keras.Input((32, 32, 3))
    model = keras.Model(images, layers.Dense(3)(layers.GlobalAveragePooling1D()(backbone(images))))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
    learning = {id(weight) for weight in model.trainable_weights}
    before = {id(weight): np.array(weight) for weight in model.weights}
    model.train_on_batch(np.random.default_rng(0).normal(size=(6, 32, 32, 3)).astype(np.float32), np.arange(6) % 3)
    for weight in model.weights:
        if id(weight) not in learning:
            np.testing.assert_array_equal(weight, before[id(weight)])
    moved = [not np.array_equal(weight, before[id(weight)]) for weight in model.trainable_weights]
    assert sum(moved) > 0.8 * len(moved)


class _Stage(layers.Layer):
    """Two equal layers made of layers, and a weight of its own."""

    def build(self, shape):
        self.own = self.add_weight(shape=(1,), name="own")
        self.steps = [_Step(name=f"step_{number}") for number in range(2)]
        for step in self.steps:
            step.build(shape)

    def call(self, x):
        for step in self.steps:
            x = step(x)
        return x + self.own


class _Step(layers.Layer):
    def build(self, shape):
        self.convolution = layers.Conv2D(shape[-1], 1, name="convolution")
        self.convolution.build(shape)
        self.norm = layers.BatchNormalization(name="norm")
        self.norm.build(shape)

    def call(self, x):
        return self.norm(self.convolution(x))


def test_normalisations_inside_layers_are_frozen_too_and_weights_of_no_block_with_the_first_one():
    images = keras.Input((8, 8, 3))
    backbone = keras.Model(images, _Stage(name="stage")(images))
    stage = backbone.get_layer("stage")
    freeze(backbone, 1.0, BatchNorm.FROZEN)
    assert [step.norm.trainable for step in stage.steps] == [False, False]
    assert [step.convolution.trainable for step in stage.steps] == [True, True]
    assert stage.own.trainable
    freeze(backbone, "step_1", BatchNorm.TRAIN)
    assert [step.norm.trainable for step in stage.steps] == [False, True]
    assert not stage.own.trainable
    freeze(backbone, 1.0, BatchNorm.TRAIN)
    assert stage.own.trainable


def test_a_convolutional_network_has_its_layers_as_parts():
    network = build_network(find_network("efficientnet-lite0"), Model(size=32), side=32, classes=3)
    parts = list_parts(network.backbone)
    assert [part.layer for part in parts] == network.backbone.layers
    assert not any(part.block for part in parts)


def test_the_layers_of_a_network_inside_the_backbone_are_its_parts():
    images = keras.Input((32, 32, 3))
    inner = build_network(find_network("cnn-small"), Model(name="cnn-small", size=32), side=32, classes=3).backbone
    backbone = keras.Model(images, inner(images))
    freeze(backbone, "conv3", BatchNorm.TRAIN)
    assert [layer.name for layer in inner.layers if layer.trainable] == ["conv3", "flatten", "dense1"]


def test_learning_rates_rise_from_block_to_block(backbones):
    backbone = backbones("vit")
    freeze(backbone, 1.0, BatchNorm.TRAIN)

    class Network:
        pass

    network = Network()
    network.backbone = backbone
    multipliers = rate_multipliers(Optim(first_layer=0.1), network)
    of_blocks = [
        {multipliers[weight.path] for weight in part.layer.trainable_weights}
        for part in list_parts(backbone)
        if part.block
    ]
    assert [len(each) for each in of_blocks] == [1, 1, 1, 1]
    rates = [each.pop() for each in of_blocks]
    assert rates == sorted(rates)
    assert 0.1 < rates[0] < rates[-1] < 1.0


@pytest.mark.parametrize("block", ["transformer_block_11", "stage_2/blocks_1", "block5"])
def test_a_block_is_given_by_name(block):
    assert override(Run(), [f"model.unfreeze={block}"]).model.unfreeze == block


@pytest.mark.parametrize("block", ["2/3", "/block", "block 1"])
def test_what_is_no_name_is_refused(block):
    with pytest.raises(ConfigError, match="neither a fraction from 0 to 1 nor the name of a block"):
        override(Run(), [f"model.unfreeze={block}"])
