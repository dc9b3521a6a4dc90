"""Networks of presets: the same features as KerasHub's own network, in models that Keras alone opens."""

import importlib.metadata
import json
import re
import shutil
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras_hub")

import keras
import tensorflow as tf

from bakeoff.cache import list_others
from bakeoff.deploy.contract.learning import check_freezing
from bakeoff.deploy.contract.subject import make_subject
from bakeoff.errors import ConfigError, WeightsError
from bakeoff.networks.backbone import Features
from bakeoff.networks.blocks import freeze
from bakeoff.networks.find import find_network
from bakeoff.networks.fuse import fuse
from bakeoff.networks.model import Network, build_network
from bakeoff.networks.weights import is_known_to_fit, load_weights, locate_weights, note_fit
from bakeoff.runs.config import BatchNorm, Model
from bakeoff.training.inference import compile_forward
from bakeoff.training.memory.walk import walk
from keras_calls import without_xla
from presets import FAMILIES, OFFSET, SCALE, SIDE, save_preset
from running import run_cli

# A transformer and a convolutional network.
QUICK = {"vit", "resnet"}
# Their layers are KerasHub's.
WITH_KERASHUB = {"swin"}
EACH = [pytest.param(family, marks=() if family in QUICK else pytest.mark.slow) for family in FAMILIES]
FEW = [pytest.param(family, marks=() if family == "vit" else pytest.mark.slow) for family in FAMILIES]


@pytest.fixture
def preset(request: pytest.FixtureRequest, make_once: Any) -> tuple[str, Path, Any]:
    """A family, the folder of its preset, and KerasHub's network."""
    kept: list[Any] = []
    folder = make_once(f"preset-{request.param}", lambda folder: kept.append(save_preset(request.param, folder)))
    if not kept:
        import keras_hub

        kept.append(keras_hub.models.Backbone.from_preset(str(folder)))
    return request.param, folder, kept[0]


def build(folder: Path, size: int | None = None) -> Network:
    """The network of a preset, with its weights, for stored images of SIDE pixels, or as few as it takes."""
    spec = find_network(f"hub:{folder}")
    side = max(SIDE, spec.min_size)
    network = build_network(spec, Model(name=spec.name, size=size or side), side=side, classes=3)
    report = load_weights(network.backbone, spec, locate_weights(spec, "auto"))
    assert report.matched == report.total > 0
    return network


def draw_images(count: int = 2, side: int = SIDE) -> Any:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


def features_of_kerashub(model: Any, images: Any, features: Features) -> Any:
    """What KerasHub's own network makes of scaled images, as one vector each."""
    scaled = images.astype(np.float32) * np.array(SCALE, np.float32) + np.array(OFFSET, np.float32)
    if type(model).__name__ == "SigLIPBackbone":
        model = model.vision_encoder
    output = without_xla(model).predict({"images": scaled} if isinstance(model.input, dict) else scaled, verbose=0)
    if isinstance(output, dict):
        output = list(output.values())[-1]
    if output.ndim == 3 and features is Features.CLASS_TOKEN:
        return output[:, 0]
    return output.mean(axis=tuple(range(1, output.ndim - 1))) if output.ndim > 2 else output


@pytest.mark.parametrize("preset", EACH, indirect=True)
def test_features_are_those_of_kerashub(preset: tuple[str, Path, Any]) -> None:
    _, folder, model = preset
    network = build(folder)
    images = draw_images(side=network.side)
    expected = features_of_kerashub(model, images, network.spec.features)
    found = without_xla(network.features(network.side)).predict(images, verbose=0)
    assert found.shape == expected.shape
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)
    assert np.ptp(found, axis=0).max() > 1e-6  # of different images


@pytest.mark.parametrize("preset", FEW, indirect=True)
def test_the_compiled_model_gives_the_same(preset: tuple[str, Path, Any]) -> None:
    _, folder, _ = preset
    network = build(folder)
    images, model = draw_images(side=network.side), network.model(network.side)
    expected = without_xla(model).predict(images, verbose=0)
    np.testing.assert_allclose(np.asarray(compile_forward(model)(images)), expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("preset", FEW, indirect=True)
def test_a_saved_model_has_layers_of_keras_alone(preset: tuple[str, Path, Any], tmp_path: Path) -> None:
    family, folder, _ = preset
    network = build(folder)
    images, model = draw_images(side=network.side), network.model(network.side)
    model.save(tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras", compile=False)
    found, expected = (without_xla(each).predict(images, verbose=0) for each in (opened, model))
    np.testing.assert_array_equal(found, expected)
    text = opened.to_json()
    assert ("keras_hub" in text) == (family in WITH_KERASHUB)


@pytest.mark.parametrize("preset", EACH, indirect=True)
def test_a_network_learns_where_it_is_not_frozen(preset: tuple[str, Path, Any]) -> None:
    _, folder, _ = preset
    network = build(folder)
    freeze(network.backbone, 0.3, BatchNorm.FROZEN)
    model = network.model(network.side)
    some, all_of_it = len(model.trainable_weights), len(model.weights)
    assert 2 < some < all_of_it
    objective = keras.losses.SparseCategoricalCrossentropy(True)
    model.compile(keras.optimizers.SGD(0.01), objective, jit_compile=False)
    before = [np.asarray(weight) for weight in model.non_trainable_weights]
    loss = model.train_on_batch(draw_images(4, network.side), np.array([0, 1, 2, 0]))
    assert np.isfinite(loss)
    for old, weight in zip(before, model.non_trainable_weights, strict=True):
        np.testing.assert_array_equal(old, np.asarray(weight), weight.path)


@pytest.mark.parametrize("preset", ["vit", pytest.param("dinov2", marks=pytest.mark.slow)], indirect=True)
def test_blocks_of_a_transformer_are_frozen_by_their_names(preset: tuple[str, Path, Any]) -> None:
    _, folder, _ = preset
    backbone = build(folder).backbone
    freeze(backbone, "block2", BatchNorm.TRAIN)
    learning = {layer.name.split("_")[0] for layer in backbone.layers if layer.trainable and layer.weights}
    assert learning == {"block2", "norm"}
    with pytest.raises(ConfigError, match=r"has no block 'block7'; its last ones are .*block2"):
        freeze(backbone, "block7", BatchNorm.TRAIN)


@pytest.mark.parametrize(
    "preset", ["vit", *(pytest.param(family, marks=pytest.mark.slow) for family in ("dinov2", "swin"))], indirect=True
)
def test_positions_are_fitted_to_another_input_size(preset: tuple[str, Path, Any]) -> None:
    family, folder, model = preset
    images = draw_images()
    larger = without_xla(build(folder, 64).features(64)).predict(images, verbose=0)
    at_native = features_of_kerashub(model, images, build(folder).spec.features)
    assert larger.shape == at_native.shape
    if family == "dinov2":  # which KerasHub itself can build for another size
        import keras_hub

        other = keras_hub.models.Backbone.from_preset(str(folder), image_shape=(64, 64, 3))
        big = np.asarray(keras.ops.image.resize(images.astype(np.float32), (64, 64)))
        expected = features_of_kerashub(other, big, Features.CLASS_TOKEN)
        np.testing.assert_allclose(larger, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("preset", ["vit"], indirect=True)
def test_damaged_weights_are_one_line(preset: tuple[str, Path, Any], tmp_path: Path) -> None:
    _, folder, _ = preset
    half = tmp_path / "half"
    half.mkdir()
    for path in folder.iterdir():
        content = path.read_bytes()
        (half / path.name).write_bytes(content[: len(content) // 2] if path.suffix == ".h5" else content)
    with pytest.raises(WeightsError, match=r"has a damaged model\.weights\.h5: .* bytes are there; .*again$") as raised:
        build(half)
    assert "\n" not in str(raised.value)


def change(folder: Path, target: Path, key: str, value: Any) -> str:
    """A copy of a preset whose configuration has another value, wherever the key is; its name."""

    def put(table: dict[str, Any]) -> dict[str, Any]:
        changed = {name: put(each) if isinstance(each, dict) else each for name, each in table.items()}
        return changed | ({key: value} if key in table else {})

    shutil.copytree(folder, target)
    table = json.loads((folder / "config.json").read_text())
    assert put(table) != table
    (target / "config.json").write_text(json.dumps(put(table)))
    return f"hub:{target}"


@pytest.mark.parametrize("preset", EACH, indirect=True)
def test_weights_are_known_to_fit_once_they_were_loaded(preset: tuple[str, Path, Any]) -> None:
    _, folder, _ = preset
    spec = find_network(f"hub:{folder}")
    assert not is_known_to_fit(spec)
    note_fit(spec)
    assert is_known_to_fit(spec)
    assert list_others() == []


FEWER = r"of a larger network than its config.json \([\d,]+ numbers instead of"
DIFFERENT = "KerasHub cannot open .*: the weights in it are damaged, or of another network"
OTHERS = [
    ("vit", "hidden_dim", 32, r"kernel of patches: of tensors of 6,144 numbers 1 are needed, 0 are there\)"),
    ("vit", "mlp_dim", 64, r"\(kernels of dense layers: of tensors of 1,024 numbers 4 are needed"),
    ("vit", "num_layers", 3, r"\(kernels of attention: of tensors of 256 numbers 12 are needed, 8 are"),
    ("vit", "num_layers", 1, "weights of more blocks than the 1 of its config.json"),
    ("vit", "num_heads", 4, DIFFERENT),
    ("vit", "use_mlp_bias", False, DIFFERENT),
    ("deit", "num_layers", 1, "weights of more blocks than the 1 of its config.json"),
    ("dinov2", "num_layers", 1, "weights of more blocks than the 1 of its config.json"),
    ("dinov2", "num_register_tokens", 2, DIFFERENT),
    ("siglip", "image_shape", [64, 64, 3], r"\(positions: of tensors of 1,024 numbers"),
    ("siglip", "num_layers", 1, FEWER),
    ("swin", "depths", [2, 1], FEWER),
    ("swin", "depths", [2, 3], DIFFERENT),
    ("swin", "embed_dim", 16, DIFFERENT),
    ("resnet", "stackwise_num_filters", [64, 64, 32], DIFFERENT),
    ("resnet", "stackwise_num_blocks", [1, 1, 2], DIFFERENT),
    ("densenet", "stackwise_num_repeats", [1, 2, 2], DIFFERENT),
    ("vgg", "stackwise_num_repeats", [1, 1, 1], FEWER),
    ("efficientnet", "stackwise_num_repeats", [1, 1], DIFFERENT),
    ("mobilenet", "last_layer_filter", 40, DIFFERENT),
    ("hgnetv2", "stackwise_stage_filters", [[8, 8, 16, 1, 2, 3], [16, 8, 32, 1, 2, 3]], FEWER),
    ("cspnet", "stackwise_depth", [1, 1], DIFFERENT),
    ("xception", "stackwise_conv_filters", [[8, 8], [16, 16], [24, 32], [32]], DIFFERENT),
]


@pytest.mark.usefixtures("workers_here")
@pytest.mark.parametrize(
    ("preset", "key", "value", "says"),
    [
        pytest.param(*row, id=f"{row[0]} {row[1]} {row[2]}", marks=[] if row[0] == "vit" else [pytest.mark.slow])
        for row in OTHERS
    ],
    indirect=["preset"],
)
def test_weights_of_another_network_are_one_line_before_any_work(
    preset: tuple[str, Path, Any], key: str, value: Any, says: str, tmp_path: Path
) -> None:
    _, folder, _ = preset
    name = change(folder, tmp_path / "other", key, value)
    done = run_cli("run", "digits", "--candidates", name, "--out", tmp_path / "study")
    assert done.returncode == 2
    assert re.search(says, done.stderr)
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "study").exists()


def write_swin(folder: Path, depths: list[int], stored: list[int]) -> str:
    """A Swin as Transformers writes it, with blocks for `stored` and a configuration for `depths`; its name."""
    from safetensors.numpy import save_file

    shapes: dict[str, tuple[int, ...]] = {"classifier.weight": (5, 16), "classifier.bias": (5,)}

    def dense(name: str, taken: int, given: int, *, bias: bool = True) -> None:
        shapes[f"{name}.weight"] = (given, taken)
        shapes.update({f"{name}.bias": (given,)} if bias else {})

    def norm(name: str, width: int) -> None:
        shapes.update({f"swin.{name}.{part}": (width,) for part in ("weight", "bias")})

    shapes["swin.embeddings.patch_embeddings.projection.weight"] = (8, 3, 4, 4)
    shapes["swin.embeddings.patch_embeddings.projection.bias"] = (8,)
    norm("embeddings.norm", 8)
    norm("layernorm", 16)
    for stage, blocks in enumerate(stored):
        width = 8 << stage
        for block in range(blocks):
            place = f"encoder.layers.{stage}.blocks.{block}"
            norm(f"{place}.layernorm_before", width)
            norm(f"{place}.layernorm_after", width)
            for part in ("self.query", "self.key", "self.value", "output.dense"):
                dense(f"swin.{place}.attention.{part}", width, width)
            shapes[f"swin.{place}.attention.self.relative_position_bias_table"] = (49, 1 + stage)
            dense(f"swin.{place}.intermediate.dense", width, 4 * width)
            dense(f"swin.{place}.output.dense", 4 * width, width)
    dense("swin.encoder.layers.0.downsample.reduction", 32, 16, bias=False)
    norm("encoder.layers.0.downsample.norm", 32)
    config = {"model_type": "swin", "image_size": SIDE, "patch_size": 4, "embed_dim": 8, "depths": depths}
    config |= {"num_heads": [1, 2], "window_size": 4, "mlp_ratio": 4.0, "qkv_bias": True, "drop_path_rate": 0.1}
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    images = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "rescale_factor": 1 / 255, "size": SIDE}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps(images))
    rng = np.random.default_rng(0)
    values = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(values, folder / "model.safetensors", {"format": "pt"})
    return f"hub:{folder}"


@pytest.mark.slow
def test_blocks_that_keras_hub_would_leave_unread_are_noticed(tmp_path: Path) -> None:
    assert find_network(write_swin(tmp_path / "right", [2, 1], [2, 1])).params_total > 0
    build(tmp_path / "right")
    write_swin(tmp_path / "more", [2, 1], [2, 2])
    with pytest.raises(WeightsError, match=r"of a larger network than its config.json \(it has no place for swin.enc"):
        build(tmp_path / "more")
    write_swin(tmp_path / "fewer", [2, 2], [2, 1])
    with pytest.raises(WeightsError, match=DIFFERENT):
        build(tmp_path / "fewer")


@pytest.mark.parametrize("preset", ["resnet"], indirect=True)
def test_the_weights_of_a_classifier_beside_those_of_its_network_do_not_count(
    preset: tuple[str, Path, Any], tmp_path: Path
) -> None:
    import keras_hub

    keras_hub.models.ImageClassifier(preset[2], num_classes=3).save_to_preset(str(tmp_path / "task"))
    shutil.copy(preset[1] / "image_converter.json", tmp_path / "task")
    assert (tmp_path / "task" / "task.weights.h5").is_file()
    build(tmp_path / "task")


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["swin"], indirect=True)
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_what_is_frozen_inside_layers_stays(preset: tuple[str, Path, Any], share: float) -> None:
    _, folder, _ = preset
    subject = make_subject(find_network(f"hub:{folder}"))
    found = re.search(r"(\d+) frozen tensors$", check_freezing(subject, share))
    assert found
    assert int(found[1]) > 30  # of the blocks, not only of the layers around them


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["swin"], indirect=True)
def test_swin_drops_paths_in_training(preset: tuple[str, Path, Any]) -> None:
    _, folder, _ = preset
    network = build(folder)
    fused, images = tf.function(fuse(network.model(network.side))), tf.constant(draw_images())
    first, second = (fused(images, True).numpy() for _ in range(2))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(*(fused(images, False).numpy() for _ in range(2)))


@pytest.mark.parametrize("preset", ["vit", pytest.param("swin", marks=pytest.mark.slow)], indirect=True)
def test_memory_is_predicted_from_what_layers_call(preset: tuple[str, Path, Any]) -> None:
    _, folder, _ = preset
    spec = find_network(f"hub:{folder}")
    with keras.StatelessScope():
        network = build_network(spec, Model(name=spec.name, size=SIDE), side=SIDE, classes=3)
        steps = walk(network.model(SIDE), SIDE)
    assert len(steps) > 20
    assert sum(tensor.numbers for step in steps for tensor in step.kept) > 10_000


def test_the_extra_brings_what_kerashub_needs_but_for_its_text_package() -> None:
    def names(requirements: Iterable[str]) -> set[str]:
        return {
            re.split(r"[^\w-]", each)[0].replace("_", "-").lower() for each in requirements if "extra ==" not in each
        }

    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    brought = names([*project["dependencies"], *project["optional-dependencies"]["hub"]])
    assert names(importlib.metadata.requires("keras-hub") or ()) - brought <= {"tensorflow-text"}
