"""Every fact in the table of networks is checked against the network."""

import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bakeoff.errors import ConfigError
from bakeoff.networks.backbone import (
    Backbone,
    Origin,
    Scaling,
    build_backbone,
    check_size,
)
from bakeoff.networks.families import FAMILIES
from bakeoff.networks.find import find_network
from bakeoff.networks.table import TABLE
from keras_calls import without_xla

QUICK = {"lenet", "cnn-small", "cnn-custom", "efficientnet-lite0", "vgg-16"}
ROWS = [pytest.param(row, id=row.name, marks=() if row.name in QUICK else pytest.mark.slow) for row in TABLE]


def total_with_head(backbone: Any, classes: int = 100) -> int:
    return int(backbone.count_params()) + (backbone.output_shape[-1] + 1) * classes


@pytest.mark.parametrize("row", ROWS)
def test_parameters_are_as_stated_and_the_smallest_size_gives_features(row: Backbone) -> None:
    backbone = build_backbone(row, (row.min_size, row.min_size, 3))
    features = without_xla(backbone).predict_on_batch(np.full((2, row.min_size, row.min_size, 3), 0.5, np.float32))
    assert features.ndim == (2 if row.from_scratch else 4)
    assert features.shape[0] == 2
    assert np.isfinite(features).all()
    if row.from_scratch:  # whose flattened features grow with the input
        backbone = build_backbone(row, (row.native_size, row.native_size, 3))
    assert total_with_head(backbone) == row.params_total


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in TABLE if row.from_scratch])
def test_a_from_scratch_network_below_its_smallest_size_is_an_error(row: Backbone) -> None:
    with pytest.raises(ConfigError, match=f"smallest size is {row.min_size}"):
        build_backbone(row, (row.min_size - 1, row.min_size, 3))


@pytest.mark.parametrize("row", ROWS)
def test_multiply_adds_and_the_size_of_the_download_are_those_of_the_network(row: Backbone) -> None:
    backbone = build_backbone(row, (row.native_size, row.native_size, 3))
    assert multiply_adds(backbone) == row.multiply_adds
    if row.download_bytes:
        # HDF5 takes some kilobytes for each tensor: most in small networks, and a third of MobileNet v1.
        assert 1 < row.download_bytes / (4 * backbone.count_params()) < 1.4


def multiply_adds(layer: Any) -> int:
    """Multiplications of the convolutions and dense layers in a layer or model, for one image."""
    import keras
    from keras import layers

    if isinstance(layer, keras.Model):
        return sum(map(multiply_adds, layer.layers))
    if not isinstance(layer, layers.Dense | layers.Conv2D | layers.DepthwiseConv2D | layers.SeparableConv2D):
        return 0
    kernels = [weight.shape for weight in layer.weights if "kernel" in weight.name]
    return math.prod(layer.output.shape[1:-1]) * sum(map(math.prod, kernels))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nasnet-mobile", "nasnet-large"])
def test_a_network_with_a_size_step_is_that_of_keras_at_every_multiple(name: str) -> None:
    row = find_network(name)
    shared = build_backbone(row, (None, None, 3))
    weighted = [layer.name for layer in shared.layers if layer.weights]
    published = keras_function(row)(include_top=False, weights=None, input_shape=(331, 331, 3))
    # Keras puts the numbers of a file into the layers by their order.
    assert [layer.name for layer in published.layers if layer.weights] == weighted
    assert [weight.shape for weight in published.weights] == [weight.shape for weight in shared.weights]
    for side in (32, 64, 96):
        alone = keras_function(row)(include_top=False, weights=None, input_shape=(side, side, 3))
        alone.set_weights(shared.get_weights())
        images = np.random.default_rng(side).uniform(-1, 1, (2, side, side, 3)).astype(np.float32)
        np.testing.assert_allclose(shared(images), alone(images), rtol=1e-4, atol=1e-5)


def keras_function(row: Backbone) -> Any:
    import keras

    return getattr(keras.applications, row.builder.partition(":")[2])


def applications_scaling(module: str) -> Scaling:
    """What `preprocess_input` of a keras.applications module does to a grey pixel, as a Scaling."""
    import importlib

    preprocess = importlib.import_module(f"keras.applications.{module}").preprocess_input
    first = preprocess(np.full((1, 1, 1, 3), [200.0, 100.0, 50.0]))[0, 0, 0]
    known = {
        Scaling.NONE: [200.0, 100.0, 50.0],
        Scaling.SYMMETRIC: [200 / 127.5 - 1, 100 / 127.5 - 1, 50 / 127.5 - 1],
        Scaling.TORCH: [(200 / 255 - 0.485) / 0.229, (100 / 255 - 0.456) / 0.224, (50 / 255 - 0.406) / 0.225],
        Scaling.CAFFE: [50 - 103.939, 100 - 116.779, 200 - 123.68],
    }
    return next(scaling for scaling, values in known.items() if np.allclose(first, values, atol=1e-3))


@pytest.mark.parametrize("row", [row for row in TABLE if Origin.HUB in row.weight_origins], ids=lambda row: row.name)
def test_scaling_is_what_keras_itself_does_for_the_network(row: Backbone) -> None:
    assert row.scaling is applications_scaling(keras_function(row).__module__.rpartition(".")[2])


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=row.name, marks=() if row.name == "mobilenet-v3-small" else pytest.mark.slow)
        for row in TABLE
        if row.scaling is Scaling.NONE
    ],
)
def test_a_network_that_scales_for_itself_begins_with_a_layer_that_does(row: Backbone) -> None:
    layers = build_backbone(row, (32, 32, 3)).layers[:4]
    assert {type(layer).__name__ for layer in layers} & {"Rescaling", "Normalization"}


def test_the_table_has_all_of_keras_applications() -> None:
    import keras

    functions = {name for name in dir(keras.applications) if name[0].isupper()}
    assert {keras_function(row).__name__ for row in TABLE if Origin.HUB in row.weight_origins} == functions


def test_the_families_are_those_of_the_table_in_its_order() -> None:
    assert list(FAMILIES) == list(dict.fromkeys(row.family for row in TABLE))


def test_every_spec_is_consistent() -> None:
    assert len({row.name for row in TABLE}) == len(TABLE)
    for row in TABLE:
        assert row.name == row.name.lower().replace("_", "-")
        assert row.min_size <= row.native_size
        assert row.min_size % row.size_step == row.native_size % row.size_step == 0
        assert (row.download_bytes is not None) == (Origin.HUB in row.weight_origins)
        assert row.from_scratch == (row.imagenet_top1 is None)
        assert (row.weights_package is not None) == (Origin.PACKAGE in row.weight_origins)
        assert (row.hub_file is not None) == (Origin.HUB in row.weight_origins)


def test_an_unknown_network_gets_the_closest_names_as_a_hint() -> None:
    with pytest.raises(ConfigError, match=r"did you mean .*mobilenet-v2.*bakeoff models"):
        find_network("mobilenetv2")
    with pytest.raises(ConfigError, match="'zzz'; see `bakeoff models`"):
        find_network("zzz")


def test_the_size_error_names_the_network_and_its_minimum() -> None:
    row = find_network("xception")
    check_size(row, 71)
    with pytest.raises(ConfigError, match=r"xception@70.*71"):
        check_size(row, 70)


def test_a_size_between_two_steps_names_those_beside_it() -> None:
    row = replace(find_network("xception"), size_step=14)
    check_size(row, 84)
    with pytest.raises(ConfigError, match=r"multiple of 14 pixels; give 84 or 98"):
        check_size(row, 90)
    with pytest.raises(ConfigError, match=r"give 84$"):
        check_size(row, 75)


def test_the_table_is_read_without_tensorflow() -> None:
    code = "import sys, bakeoff.networks.weights; sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
