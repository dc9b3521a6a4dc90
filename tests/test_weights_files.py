"""Files that people have: what Keras 2 and Keras 3 wrote of each network, bare or inside a classifier, is loaded."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import ml_dtypes
import numpy as np
import pytest

from bakeoff.networks.backbone import Backbone, build_backbone
from bakeoff.networks.table import TABLE
from bakeoff.networks.weights import WeightsSource, load_weights, locate_weights
from bakeoff.networks.weights.match import list_layers
from keras_calls import without_xla


def rows(*fast: str) -> list[Any]:
    """All networks; the others are slow."""
    return [pytest.param(row, id=row.name, marks=() if row.name in fast else pytest.mark.slow) for row in TABLE]


pytestmark = pytest.mark.filterwarnings("ignore:.*HDF5 file.*")


def shuffled(row: Backbone) -> Any:
    """A network whose tensors are all different, and small enough to compute with."""
    side = max(row.min_size, 32)
    backbone = build_backbone(row, (side, side, 3))
    rng = np.random.default_rng(3)
    for weight in backbone.weights:
        weight.assign(rng.uniform(0.5, 1, weight.shape) / max(1.0, np.sqrt(np.prod(weight.shape[:-1]))))
    return backbone


def classifiers(backbone: Any) -> Iterator[tuple[str, Any]]:
    """The ways in which people build on a backbone; the last one is a class of their own."""
    pool = [keras.layers.GlobalAveragePooling2D()] if len(backbone.output.shape) == 4 else []
    x = backbone.output
    for layer in pool:
        x = layer(x)
    yield "inlined", keras.Model(backbone.input, keras.layers.Dense(19)(keras.layers.Dense(8)(x)))
    augment = keras.Sequential([keras.layers.RandomFlip(), keras.layers.RandomContrast(0.1)])
    yield (
        "nested",
        keras.Sequential([keras.Input(backbone.input.shape[1:]), augment, backbone, *pool, keras.layers.Dense(19)]),
    )
    yield "own class", Own(backbone, pool)


class Own(keras.Model):
    def __init__(self, backbone: Any, pool: list[Any]) -> None:
        super().__init__()
        self.body, self.pool, self.top = backbone, pool, keras.layers.Dense(19)
        self(np.zeros((1, *backbone.input.shape[1:]), np.float32))

    def get_config(self) -> dict[str, Any]:
        return {}

    def call(self, x: Any) -> Any:
        x = self.body(x)
        for layer in self.pool:
            x = layer(x)
        return self.top(x)


def assert_loads(path: Path, row: Backbone, backbone: Any, what: str) -> None:
    """Loading a file of a backbone's own weights restores all of them."""
    saved = backbone.get_weights()
    for weight in backbone.weights:
        weight.assign(np.zeros(weight.shape))
    report = load_weights(backbone, row, WeightsSource("file", "x", path))
    assert (report.matched, report.total) == (len(saved), len(saved)), what
    for old, new in zip(saved, backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old, err_msg=what)
    path.unlink()


@pytest.mark.parametrize("row", rows("lenet"))
def test_a_file_that_keras_3_wrote_of_a_network_is_loaded_whatever_is_around_it(tmp_path: Path, row: Backbone) -> None:
    saved = without_xla(shuffled(row))
    pixels = np.random.default_rng(1).uniform(0, 1, (1, *saved.input.shape[1:])).astype(np.float32)
    before = saved.predict_on_batch(pixels)
    for kind, model in [("bare", saved), *classifiers(saved)]:
        for suffix in (".weights.h5", ".keras", ".h5"):
            path = tmp_path / f"a{suffix}"
            if kind == "own class" and suffix == ".h5":
                continue  # Keras does not write it.
            (model.save_weights if suffix == ".weights.h5" else model.save)(path)
            assert_loads(path, row, saved, f"{kind}{suffix}")
    np.testing.assert_allclose(saved.predict_on_batch(pixels), before, rtol=1e-5, atol=1e-5)


def keras_2_name(name: str) -> str:
    """What tf_keras 2.21 calls a layer of DenseNet or MobileNetV3 (checked against its files)."""
    name = re.sub(r"^conv1_(conv|bn)$", r"conv1/\1", name)
    if re.match(r"(conv|expanded_conv)(_|$)", name):
        name = re.sub(r"_bn$", "/BatchNorm", name)
        name = re.sub(r"_(expand|depthwise|project|squeeze_excite)(?=/|_|$)", r"/\1", name)
        name = re.sub(r"squeeze_excite_conv", "squeeze_excite/Conv", name)
        name = re.sub(r"^conv", "Conv", name)
    return name


def write_legacy(group: Any, layers: list[tuple[str, list[Any]]], owner: str = "") -> None:
    """Keras 2: `layer_names`, and the weights of each layer under LAYER/WEIGHT:0."""
    group.attrs["layer_names"] = [name.encode() for name, _ in layers]
    for name, inside in layers:
        member = group.create_group(name)
        paths = []
        for layer in inside:
            called = keras_2_name(layer.name)
            for weight in layer.weights:
                paths.append(f"{owner}{called}/{weight.name}:0")
                member[paths[-1]] = weight.numpy()
        member.attrs["weight_names"] = [path.encode() for path in paths]


def inside(layer: Any) -> list[Any]:
    return [each.layer for each in list_layers(layer)] if hasattr(layer, "layers") else [layer]


@pytest.mark.parametrize("row", rows("lenet", "mobilenet-v3-small"))
def test_a_file_that_keras_2_wrote_of_a_network_is_loaded_whatever_is_around_it(tmp_path: Path, row: Backbone) -> None:
    saved = shuffled(row)
    top = keras.layers.Dense(5, name="predictions")
    top.build((None, 7))
    layers = [(keras_2_name(layer.name), inside(layer)) for layer in saved.layers]
    forms = {
        "bare": (layers, ""),
        "inlined": ([*layers, ("predictions", [top])], ""),
        "nested": ([(saved.name, inside(saved)), ("predictions", [top])], ""),
        "own class": ([(saved.name, inside(saved)), ("predictions", [top])], "own/"),
    }
    for kind, (written, owner) in forms.items():
        with h5py.File(tmp_path / "a.h5", "w") as file:
            write_legacy(file.create_group("model_weights") if kind == "nested" else file, written, owner)
        assert_loads(tmp_path / "a.h5", row, saved, kind)


@pytest.mark.parametrize("row", rows("lenet"))
def test_a_file_without_names_is_loaded_whatever_is_around_the_network(tmp_path: Path, row: Backbone) -> None:
    """The .keras and .weights.h5 of Keras 2, and of Keras 3 before 3.9."""
    saved = shuffled(row)
    for kind, model in [("bare", saved), *classifiers(saved)]:
        model.save_weights(tmp_path / "a.weights.h5")
        with h5py.File(tmp_path / "a.weights.h5", "r+") as file:
            file.visititems(lambda _, node: node.attrs.clear())
        assert_loads(tmp_path / "a.weights.h5", row, saved, kind)


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "float64"])
def test_tensors_of_other_types_are_loaded(tmp_path: Path, kind: str) -> None:
    row = TABLE[0]
    saved = shuffled(row)
    saved.save_weights(tmp_path / "a.weights.h5")
    dtype = ml_dtypes.bfloat16 if kind == "bfloat16" else np.dtype(kind)
    with h5py.File(tmp_path / "a.weights.h5", "r+") as file:
        paths: list[str] = []
        file.visititems(lambda path, node: paths.append(path) if isinstance(node, h5py.Dataset) else None)
        for path in paths:
            values = file[path][()].astype(dtype)
            del file[path]
            file.create_dataset(path, data=values)
            if kind == "bfloat16":
                file[path].attrs["dtype"] = "bfloat16"  # as Keras marks it
    fresh = build_backbone(row, saved.input.shape[1:])
    load_weights(fresh, row, WeightsSource("file", "x", tmp_path / "a.weights.h5"))
    for old, new in zip(saved.get_weights(), fresh.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old.astype(dtype).astype(np.float32))


@pytest.mark.parametrize("inside", ["weights.h5", "keras"])
@pytest.mark.parametrize("way", [{}, {"shuffle": True, "fletcher32": True}], ids=["plain", "all"])
def test_tensors_that_are_compressed_with_gzip_are_loaded(tmp_path: Path, way: dict[str, Any], inside: str) -> None:
    saved = shuffled(TABLE[0])
    path = tmp_path / f"a.{inside}"
    (saved.save if inside == "keras" else saved.save_weights)(path)
    if inside == "keras":
        with zipfile.ZipFile(path) as archive:
            archive.extractall(tmp_path)
    plain = tmp_path / "model.weights.h5" if inside == "keras" else path
    with h5py.File(plain, "r+") as file:
        paths: list[str] = []
        file.visititems(lambda name, node: paths.append(name) if isinstance(node, h5py.Dataset) else None)
        for name in paths:
            values = file[name][()]
            del file[name]
            file.create_dataset(name, data=values, compression="gzip", **way)
    if inside == "keras":
        with zipfile.ZipFile(path, "w") as archive:
            for name in ("config.json", "model.weights.h5"):
                archive.write(tmp_path / name, name)
    assert_loads(path, TABLE[0], saved, inside)


def numbered(inputs: Any, x: Any) -> Any:
    """A network whose layers Keras names by numbers, with a model inside, as in ConvNeXt."""
    for filters in (4, 4, 8):
        x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
    x = keras.Sequential([keras.layers.Conv2D(8, 1, name="inner_conv"), keras.layers.LayerNormalization()])(x)
    return keras.Model(inputs, keras.layers.LayerNormalization()(x))


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
def test_numbered_layers_are_found_behind_a_layer_of_ones_own(tmp_path: Path, suffix: str, named: bool) -> None:
    grey, colour = keras.Input((8, 8, 1)), keras.Input((8, 8, 3))
    saved, fresh = numbered(grey, keras.layers.Conv2D(3, 1)(grey)), numbered(colour, colour)
    rng = np.random.default_rng(4)
    for weight in saved.weights:
        weight.assign(rng.uniform(0.5, 1, weight.shape))
    path = tmp_path / f"m{suffix}"
    (saved.save_weights if suffix == ".weights.h5" else saved.save)(path)
    if suffix == ".weights.h5" and not named:
        with h5py.File(path, "r+") as file:
            file.visititems(lambda _, node: node.attrs.clear())
    report = load_weights(fresh, TABLE[0], WeightsSource("file", "x", path))
    assert report.matched == report.total
    for old, new in zip(saved.get_weights()[2:], fresh.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
def test_numbered_layers_of_branches_are_found_beside_named_ones(tmp_path: Path, suffix: str) -> None:
    """As in InceptionResNetV2, where a model lists the layers of its branches in another order than their numbers."""

    def build() -> Any:
        inputs = keras.Input((8, 8, 3))
        short = keras.layers.Conv2D(4, 1)(inputs)
        long = keras.layers.Conv2D(5, 1)(inputs)
        for _ in range(2):
            long = keras.layers.Conv2D(5, 3, padding="same")(long)
        x = keras.layers.Concatenate()([short, long])
        return keras.Model(inputs, keras.layers.Conv2D(6, 1, name="block_conv")(x))

    saved, fresh = build(), build()
    for weight in saved.weights:
        weight.assign(np.random.default_rng(4).uniform(0.5, 1, weight.shape))
    path = tmp_path / f"m{suffix}"
    (saved.save_weights if suffix == ".weights.h5" else saved.save)(path)
    report = load_weights(fresh, TABLE[0], WeightsSource("file", "x", path))
    assert report.matched == report.total == len(saved.weights)
    for old, new in zip(saved.get_weights(), fresh.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
def test_one_numbered_layer_may_have_a_name_in_the_file(tmp_path: Path, suffix: str) -> None:
    """As the last layer of ConvNeXt in the whole classifier."""

    def build(name: str | None, top: bool) -> Any:
        x = inputs = keras.Input((8, 8, 3))
        x = keras.layers.Conv2D(4, 3, name="stem")(x)
        x = keras.layers.LayerNormalization(name="block_layernorm")(x)
        x = keras.layers.Conv2D(6, 3, name="block_conv")(x)
        x = keras.layers.LayerNormalization(name=name)(x)
        return keras.Model(inputs, keras.layers.Dense(5, name="head_dense")(x) if top else x)

    saved, fresh = build("tiny_head_layernorm", top=True), build(None, top=False)
    for weight in saved.weights:
        weight.assign(np.random.default_rng(4).uniform(0.5, 1, weight.shape))
    path = tmp_path / f"m{suffix}"
    (saved.save_weights if suffix == ".weights.h5" else saved.save)(path)
    report = load_weights(fresh, TABLE[0], WeightsSource("file", "x", path))
    # There, it comes after the pooling.
    assert f"the classifier in {path.name} normalises after pooling" in report.note
    for old, new in zip(saved.get_weights()[:-2], fresh.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


class Named(keras.layers.Dense):
    """A layer that stores its tensors under names, as Keras allows."""

    def save_own_variables(self, store: Any) -> None:
        store["kernel"], store["bias"] = self.kernel.numpy(), self.bias.numpy()


class Sized(keras.Model):
    """A class whose settings have `layers` that are not the layers."""

    def __init__(self, body: Any, layers: Any) -> None:
        super().__init__()
        self.body, self.sizes, self.top = body, layers, Named(3)
        self(np.zeros((1, *body.input.shape[1:]), np.float32))

    def get_config(self) -> dict[str, Any]:
        return {"layers": self.sizes}

    def call(self, x: Any) -> Any:
        return self.top(self.body(x))


@pytest.mark.parametrize("layers", [2, [64, 32], ["a"], [{"class_name": "A"}], [None], {"a": 1}, "dense"], ids=repr)
def test_settings_and_tensors_of_ones_own_class_do_not_matter(tmp_path: Path, layers: Any) -> None:
    saved = shuffled(TABLE[0])
    Sized(saved, layers).save(tmp_path / "a.keras")
    assert_loads(tmp_path / "a.keras", TABLE[0], saved, repr(layers))


def test_a_compressed_keras_file_is_loaded(tmp_path: Path) -> None:
    saved = shuffled(TABLE[0])
    saved.save(tmp_path / "a.keras")
    with (
        zipfile.ZipFile(tmp_path / "a.keras") as old,
        zipfile.ZipFile(tmp_path / "b.keras", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert_loads(tmp_path / "b.keras", TABLE[0], saved, "compressed")


def test_weights_in_parts_are_one_file_everywhere_else(tmp_path: Path) -> None:
    row = TABLE[0]
    saved = shuffled(row)
    saved.save_weights(tmp_path / "a.weights.json", max_shard_size=2.3e-3)
    assert len(list(tmp_path.glob("*.h5"))) > 1
    source = locate_weights(row, str(tmp_path / "a.weights.json"))
    assert source.path is not None
    assert source == locate_weights(row, str(tmp_path / "a.weights.json"))
    before = source.path.read_bytes()
    assert_loads(source.path, row, saved, "parts")
    # Joined again, it is the same file, so the runs have the same ids.
    assert locate_weights(row, str(tmp_path / "a.weights.json")).hash == source.hash
    assert source.path.read_bytes() == before
    # Another part is another file.
    with h5py.File(tmp_path / "a_00000.weights.h5", "r+") as file:
        file["layers/conv2d/vars/0"][...] = 0
    assert locate_weights(row, str(tmp_path / "a.weights.json")).hash != source.hash
