"""Every fact in the table of networks is checked against the network."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bakeoff.errors import ConfigError
from bakeoff.networks.backbone import Backbone, Origin, Scaling, build_backbone, check_size
from bakeoff.networks.find import find_network
from bakeoff.networks.table import TABLE

QUICK = {"lenet", "cnn-small", "cnn-custom", "efficientnet-lite0", "vgg-16"}
ROWS = [pytest.param(row, id=row.name, marks=() if row.name in QUICK else pytest.mark.slow) for row in TABLE]


def total_with_head(backbone: Any, classes: int = 100) -> int:
    return int(backbone.count_params()) + (backbone.output_shape[-1] + 1) * classes


@pytest.mark.parametrize("row", ROWS)
def test_parameters_are_as_stated_and_the_smallest_size_gives_features(row: Backbone) -> None:
    backbone = build_backbone(row, (row.min_size, row.min_size, 3))
    features = backbone.predict_on_batch(np.full((2, row.min_size, row.min_size, 3), 0.5, np.float32))
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


MODULES = {
    "vgg-16": "vgg16",
    "vgg-19": "vgg19",
    "mobilenet-v2": "mobilenet_v2",
    "mobilenet-v3-small": "mobilenet_v3",
    "resnet-50": "resnet",
    "resnet-152-v2": "resnet_v2",
    "xception": "xception",
    "inception-v3": "inception_v3",
    "densenet-121": "densenet",
    "densenet-169": "densenet",
    "densenet-201": "densenet",
    "efficientnet-b0": "efficientnet",
    "efficientnet-b7": "efficientnet",
    "efficientnet-v2-b0": "efficientnet_v2",
    "convnext-tiny": "convnext",
}


@pytest.mark.parametrize("row", [row for row in TABLE if Origin.HUB in row.weight_origins], ids=lambda row: row.name)
def test_scaling_is_what_keras_itself_does_for_the_network(row: Backbone) -> None:
    assert row.scaling is applications_scaling(MODULES[row.name])


@pytest.mark.parametrize(
    "name",
    ["mobilenet-v3-small"]
    + [
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("efficientnet-v2-b0", "efficientnet-b0", "convnext-tiny")
    ],
)
def test_a_network_that_scales_for_itself_begins_with_a_layer_that_does(name: str) -> None:
    layers = build_backbone(find_network(name), (32, 32, 3)).layers[:4]
    assert {type(layer).__name__ for layer in layers} & {"Rescaling", "Normalization"}


@pytest.mark.parametrize("row", [param for param in ROWS if Origin.HUB in param.values[0].weight_origins])
def test_the_hub_file_is_the_one_that_keras_asks_for(row: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    import keras
    from keras.src.utils import file_utils

    class AskedError(Exception):
        pass

    def get_file(fname: str, *_: Any, **__: Any) -> None:
        raise AskedError(fname)

    monkeypatch.setattr(file_utils, "get_file", get_file)
    build = getattr(keras.applications, row.builder.partition(":")[2])
    with pytest.raises(AskedError) as asked:
        build(include_top=False, input_shape=(224, 224, 3))
    assert str(asked.value) == row.hub_file


def test_every_spec_is_consistent() -> None:
    assert len({row.name for row in TABLE}) == len(TABLE)
    for row in TABLE:
        assert row.name == row.name.lower().replace("_", "-")
        assert row.min_size <= row.native_size
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
