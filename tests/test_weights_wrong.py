"""The wrong weight file is refused before anything is trained, with what it is and what to do."""

import re
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from bakeoff.api import runs
from bakeoff.data.shards import Dataset
from bakeoff.errors import WeightsError
from bakeoff.networks.backbone import build_backbone
from bakeoff.networks.find import find_network
from bakeoff.networks.table import TABLE
from bakeoff.networks.weights import WeightsSource, load_weights, locate_weights
from bakeoff.networks.weights.known import CONVOLUTIONS
from bakeoff.runs.config import WeightsChoice
from running import run_cli

VGG = find_network("vgg-16")

pytestmark = pytest.mark.filterwarnings("ignore:.*HDF5 file.*")


def vgg(blocks: dict[int, int], filters: int = 4, top: bool = False, norm: bool = False) -> Any:
    """A narrow VGG with so many convolutions in each block, named as Keras names them."""
    x = inputs = keras.Input((32, 32, 3))
    for block, count in blocks.items():
        for number in range(1, count + 1):
            x = keras.layers.Conv2D(filters, 3, padding="same", name=f"block{block}_conv{number}")(x)
            if norm:
                x = keras.layers.BatchNormalization(name=f"block{block}_bn{number}")(x)
    if top:
        x = keras.layers.GlobalAveragePooling2D()(x)
        x = keras.layers.Dense(7, name="fc1")(x)
    return keras.Model(inputs, x)


def save(model: Any, path: Path) -> WeightsSource:
    (model.save_weights if path.name.endswith(".weights.h5") else model.save)(path)
    return WeightsSource("file", "x", path)


def forget_names(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.visititems(lambda _, node: node.attrs.clear())


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
@pytest.mark.parametrize("top", [False, True])
def test_layers_of_a_deeper_network_between_those_of_the_network_are_refused(
    tmp_path: Path, suffix: str, top: bool
) -> None:
    source = save(vgg({1: 2, 2: 4, 3: 2}, top=top), tmp_path / f"a{suffix}")
    backbone = vgg({1: 2, 2: 2, 3: 2})
    before = backbone.get_weights()
    with pytest.raises(WeightsError, match=r"all tensors of vgg-16, and between them .*: block2_conv3, block2_conv4"):
        load_weights(backbone, VGG, source)
    assert all(np.array_equal(old, new) for old, new in zip(before, backbone.get_weights(), strict=True))
    if suffix == ".weights.h5":
        forget_names(tmp_path / "a.weights.h5")
        with pytest.raises(WeightsError, match=r"of the 12 tensors|nothing of vgg-16"):
            load_weights(backbone, VGG, source)
        return
    # It is no part of the network either, so --partial-weights does not help.
    with pytest.raises(WeightsError, match="between them"):
        load_weights(backbone, VGG, source, partial=True)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
def test_a_part_of_a_deeper_network_is_taken_with_the_names_of_the_layers_between(tmp_path: Path, suffix: str) -> None:
    source = save(vgg({1: 2, 2: 4, 3: 2}), tmp_path / f"a{suffix}")
    report = load_weights(vgg({0: 1, 1: 2, 2: 2, 3: 2}), VGG, source, partial=True)
    assert (report.matched, report.total) == (10, 14)
    assert report.note.endswith(f"a{suffix} has others, which were not: block2_conv3, block2_conv4")


@pytest.mark.parametrize(
    "frozen",
    ["", "block1", "block1|block2_(conv|bn)[1-3]", "block[12]", "block", ".*bn", "fc1"],
    ids=lambda name: name or "-",
)
def test_the_head_of_a_classifier_inside_a_model_is_left_out_whatever_was_frozen(tmp_path: Path, frozen: str) -> None:
    """Keras' `.h5` lists the tensors of an inner model that train before those that were frozen."""
    for blocks in ({1: 2, 2: 2, 3: 2}, {1: 2, 2: 4, 3: 2}):
        inner = vgg(blocks, top=True, norm=True)
        for layer in inner.layers:
            layer.trainable = not (frozen and re.match(frozen, layer.name))
        source = save(keras.Sequential([keras.Input((32, 32, 3)), inner]), tmp_path / "a.h5")
        backbone = vgg({1: 2, 2: 2, 3: 2}, norm=True)
        if blocks[2] == 2:
            assert load_weights(backbone, VGG, source).matched == 36
            np.testing.assert_array_equal(backbone.get_weights()[6], inner.get_weights()[6])
        else:
            with pytest.raises(WeightsError, match=r"between them layers .*block2_conv[34]"):
                load_weights(backbone, VGG, source)


def test_the_head_of_a_classifier_is_left_out(tmp_path: Path) -> None:
    source = save(vgg({1: 2, 2: 2}, top=True), tmp_path / "a.weights.h5")
    assert load_weights(vgg({1: 2, 2: 2}), VGG, source).matched == 8


@pytest.mark.parametrize("named", [True, False])
def test_a_wider_network_is_refused_with_the_first_layer_that_differs(tmp_path: Path, named: bool) -> None:
    source = save(vgg({1: 2, 2: 2}, filters=8), tmp_path / "a.weights.h5")
    if not named:
        forget_names(tmp_path / "a.weights.h5")
    with pytest.raises(WeightsError, match=r"0 of the 8|holds nothing of vgg-16"):
        load_weights(vgg({1: 2, 2: 2}), VGG, source)


def siblings() -> list[Any]:
    fast = [("vgg-16", "vgg-19")]
    slow = [
        ("resnet-50", "resnet-101"),
        ("resnet-50", "resnet-152"),
        ("efficientnet-b0", "efficientnet-b1"),
        ("efficientnet-b0", "efficientnet-b2"),
        ("efficientnet-v2-b0", "efficientnet-v2-b1"),
        ("mobilenet-v3-small", "mobilenet-v3-large"),
        ("densenet-121", "densenet-169"),
        ("convnext-tiny", "convnext-small"),
        ("vgg-19", "vgg-16"),
        ("resnet-152-v2", "resnet-101-v2"),
        ("inception-v3", "inception-resnet-v2"),
        ("xception", "mobilenet-v2"),
    ]
    cases = [(*case, ()) for case in fast] + [(*case, pytest.mark.slow) for case in slow]
    return [pytest.param(name, other, id=f"{other} for {name}", marks=marks) for name, other, marks in cases]


@pytest.mark.parametrize(("name", "other"), siblings())
def test_another_network_is_refused_and_recognised(tmp_path: Path, name: str, other: str) -> None:
    path = tmp_path / "a.weights.h5"
    build_backbone(find_network(other), (96, 96, 3)).save_weights(path)
    row = find_network(name)
    backbone = build_backbone(row, (None, None, 3))
    for _ in range(2):
        with pytest.raises(WeightsError, match=f"it looks like .*{other}"):
            load_weights(backbone, row, WeightsSource("file", "x", path))
        forget_names(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_every_network_of_keras_is_known_by_its_convolutions(name: str) -> None:
    with keras.StatelessScope():
        model = build_backbone(find_network(name), (None, None, 3))
    sizes = [int(np.prod(weight.shape)) for weight in model.weights if len(weight.shape) == 4]
    assert CONVOLUTIONS[name] == (len(sizes), sum(sizes))


def test_the_networks_that_are_known_by_their_convolutions_are_those_of_keras() -> None:
    assert list(CONVOLUTIONS) == [row.name for row in TABLE if row.builder.startswith("keras.")]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_with_the_first_layer_that_has_them(
    tmp_path: Path, value: float
) -> None:
    model = vgg({1: 2, 2: 2})
    for name in ("block1_conv2", "block2_conv1"):
        kernel, bias = model.get_layer(name).get_weights()
        bias[2] = value
        model.get_layer(name).set_weights([kernel, bias])
    source = save(model, tmp_path / "a.weights.h5")
    with pytest.raises(WeightsError, match="not finite, first in block1_conv2"):
        load_weights(vgg({1: 2, 2: 2}), VGG, source)


def numbered(count: int) -> Any:
    x = inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(3, 3, padding="same", name="stem")(x)
    for _ in range(count):
        x = keras.layers.Conv2D(3, 3, padding="same")(x)
    return keras.Model(inputs, x)


def test_a_part_is_taken_by_name_and_never_by_number(tmp_path: Path) -> None:
    source = save(numbered(3), tmp_path / "a.weights.h5")
    with pytest.raises(WeightsError, match="of the 10 tensors of vgg-16"):
        load_weights(numbered(4), VGG, source)
    report = load_weights(numbered(4), VGG, source, partial=True)
    assert (report.matched, report.total) == (2, 10)
    forget_names(tmp_path / "a.weights.h5")
    with pytest.raises(WeightsError, match="nothing of vgg-16 by name"):
        load_weights(numbered(4), VGG, source, partial=True)


def test_layers_in_several_places_that_fit_are_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="of the 8 tensors of vgg-16"):
        load_weights(numbered(3), VGG, save(numbered(4), tmp_path / "a.weights.h5"))


def test_a_saved_model_and_a_checkpoint_of_tensorflow_are_named(tmp_path: Path) -> None:
    (tmp_path / "ckpt.index").touch()
    for path in (tmp_path, tmp_path / "ckpt"):
        with pytest.raises(WeightsError, match=r"is a SavedModel, a checkpoint .* save a \.keras or \.weights\.h5"):
            locate_weights(VGG, str(path))


@pytest.mark.usefixtures("workers_here")
@pytest.mark.parametrize("verb", [("train", "--set", "model.name=lenet"), ("compare", "--candidates", "lenet")])
def test_a_wrong_file_ends_a_command_before_anything_is_trained(tmp_path: Path, verb: tuple[str, ...]) -> None:
    build_backbone(find_network("cnn-small"), (32, 32, 3)).save_weights(tmp_path / "a.weights.h5")
    weights = f"lenet={tmp_path}/a.weights.h5" if verb[0] == "compare" else f"{tmp_path}/a.weights.h5"
    done = run_cli(verb[0], "digits", *verb[1:], "--weights", weights, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "lenet" in done.stderr
    assert "a.weights.h5 holds" in done.stderr
    assert not list(tmp_path.glob("out/runs/*"))


def test_a_part_of_a_network_is_taken_by_train_if_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: Dataset
) -> None:
    asked_for = list[bool]()

    def provide_weights(_: Any, choice: WeightsChoice, *__: Any) -> None:
        asked_for.append(choice.partial)
        raise WeightsError("that is enough")

    monkeypatch.setattr(runs, "prepare_data", lambda *_: (tmp_path, digits))
    monkeypatch.setattr(runs, "provide_weights", provide_weights)
    for more in ([], ["--partial-weights"]):
        done = run_cli("train", "digits", "--set", "model.name=vgg-16", "--weights", "part.h5", *more)
        assert done.stderr.endswith("bakeoff: that is enough\n")
    assert asked_for == [False, True]
