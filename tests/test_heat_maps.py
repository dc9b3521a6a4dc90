"""Where a model looked: Grad-CAM and occlusion find the part that decides, and the report shows it or says why not."""

import base64
import io
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import bakeoff
from bakeoff.deploy.explain import heat_maps as explain
from bakeoff.deploy.explain.grad_cam import compile_grad_cam
from bakeoff.deploy.explain.heat_maps import draw_heat_maps, explain_images
from bakeoff.deploy.explain.occlusion import COARSE_GRID, GRID
from bakeoff.networks.find import find_network
from bakeoff.networks.model import build_network
from bakeoff.report import write_report
from bakeoff.report.gallery import show_images
from bakeoff.runs.config import Model
from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.heat_maps import HeatMaps, MapMethod, choose_images, read_heat_maps, write_heat_maps
from bakeoff.runs.predictions import Predictions, read_predictions
from bakeoff.runs.record import write_record
from bakeoff.training.inference import compile_forward

SIDE = 32
CORNERS = [(0, 0), (0, 1), (1, 0), (1, 1)]


def look_at(row: int, column: int, tail: str = "pool") -> keras.Model:
    """A network that sees only one quarter of an image: the brighter it is, the likelier the first class."""
    half = SIDE // 2
    images = keras.Input((SIDE, SIDE, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.Cropping2D(((row * half, half - row * half), (column * half, half - column * half)))(x)
    x = keras.layers.ZeroPadding2D(((row * half, half - row * half), (column * half, half - column * half)))(x)
    brightness = keras.layers.Conv2D(4, 1, use_bias=False, kernel_initializer="ones", activation="relu")
    sides = {"pool": 4, "flatten": 4, "small": 16}
    body = keras.Sequential([keras.Input((SIDE, SIDE, 3)), brightness, keras.layers.AveragePooling2D(sides[tail])])
    x = body(x)
    x = keras.layers.Flatten()(x) if tail == "flatten" else keras.layers.GlobalAveragePooling2D()(x)
    head = keras.layers.Dense(2, use_bias=False)
    logits = head(keras.layers.Dropout(0.5)(x))
    head.set_weights([np.tile(np.float32([0.1, -0.1]), (x.shape[1], 1))])
    return keras.Model(images, logits)


@pytest.fixture(scope="module")
def noise() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)


def quarters(heat: NDArray[Any]) -> NDArray[np.float64]:
    """The mean of each quarter of a map, (2, 2)."""
    half = len(heat) // 2
    return np.array([[heat[r * half :][:half, c * half :][:, :half].mean() for c in (0, 1)] for r in (0, 1)])


def explain_one(model: keras.Model, image: NDArray[np.uint8], flip: bool = False) -> tuple[Any, NDArray[np.uint8]]:
    found = explain_images(model, {"a": image}, {"a": 0}, flip=flip)
    return found.method, found.maps["a"]


@pytest.mark.parametrize("corner", CORNERS, ids=str)
@pytest.mark.parametrize("tail", ["pool", "flatten"])
def test_grad_cam_is_hot_where_the_network_looks_and_cold_elsewhere(
    noise: NDArray[np.uint8], corner: tuple[int, int], tail: str
) -> None:
    method, heat = explain_one(look_at(*corner, tail), noise[0])
    assert (method, heat.shape, heat.max()) == ("grad-cam", (8, 8), 255)
    found = quarters(heat)
    assert found[corner] > 100
    assert found.sum() == found[corner]


@pytest.mark.parametrize("corner", CORNERS, ids=str)
def test_where_the_last_map_is_too_small_occlusion_is_hot_there(
    noise: NDArray[np.uint8], corner: tuple[int, int]
) -> None:
    bright = noise[0] // 4
    rows, columns = (slice(place * SIDE // 2, (place + 1) * SIDE // 2) for place in corner)
    bright[rows, columns] = 240
    method, heat = explain_one(look_at(*corner, "small"), bright)
    assert (method, heat.shape, heat.max()) == ("occlusion", (GRID, GRID), 255)
    found = quarters(heat)
    assert found[corner] > 100
    assert found[1 - corner[0], 1 - corner[1]] < 20
    assert found.argmax() == 2 * corner[0] + corner[1]


@pytest.mark.parametrize(("tail", "method"), [("pool", "grad-cam"), ("small", "occlusion")])
def test_a_model_with_a_mirrored_pass_looked_at_both_sides(noise: NDArray[np.uint8], tail: str, method: str) -> None:
    bright = noise[0] // 4
    bright[: SIDE // 2] = 240
    used, heat = explain_one(look_at(0, 0, tail), bright, flip=True)
    found = quarters(heat)
    assert used == method
    assert found[0, 0] == pytest.approx(found[0, 1], rel=0.1)
    assert found[0].min() > 5 * found[1].max()


def test_nothing_stands_out_where_the_class_has_no_evidence(noise: NDArray[np.uint8]) -> None:
    found = explain_images(look_at(0, 0), {"a": noise[0]}, {"a": 1}, flip=False)
    assert found.maps["a"].max() == 0


def test_occlusion_stops_when_it_would_take_too_long(noise: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "SECONDS", -1.0)
    found = explain_images(look_at(0, 0, "small"), {"a": noise[0], "b": noise[1]}, {"a": 0, "b": 0}, flip=False)
    assert found.maps == {}
    assert found.missing == "2 of 2 maps not drawn, because that would have taken too long."


@pytest.mark.parametrize(("seconds", "side"), [(0.1, GRID), (4.0, COARSE_GRID)], ids=["fast", "slow"])
def test_occlusion_maps_are_coarser_where_fine_ones_would_take_too_long(
    noise: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, seconds: float, side: int
) -> None:
    # The start, and a trial of four images; then the clock stands still.
    times = iter([0.0, 0.0, seconds])
    monkeypatch.setattr(explain, "time", SimpleNamespace(monotonic=lambda: next(times, 0.0)))
    found = explain_images(look_at(0, 0, "small"), {"a": noise[0], "b": noise[1]}, {"a": 0, "b": 0}, flip=False)
    assert {heat.shape for heat in found.maps.values()} == {(side, side)}
    assert found.missing == ""


@pytest.mark.parametrize(
    ("name", "size", "sides"),
    [("lenet", 32, (6, 6)), ("cnn-small", 32, (4, 4)), ("vgg-16", 96, None)],
)
def test_networks_of_the_table_have_a_last_map(name: str, size: int, sides: tuple[int, int] | None) -> None:
    network = build_network(find_network(name), Model(name=name, size=size), side=32, classes=3)
    model = network.model(size)
    grad_cam = compile_grad_cam(model)
    if sides is None:
        assert grad_cam is None
        return
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    assert grad_cam is not None
    maps = grad_cam(images, np.array([0, 1, 2], np.int32))
    assert maps.shape == (3, *sides)
    assert np.isfinite(maps).all()
    assert maps.min() >= 0


def test_grad_cam_of_a_pooled_map_is_the_head_applied_to_each_place() -> None:
    """With average pooling and one dense layer it is CAM (Zhou et al. 2016): the class's weights times the map."""
    keras.utils.set_random_seed(0)
    images = keras.Input((16, 16, 3), dtype="uint8")
    feature_map = keras.layers.Conv2D(5, 3, strides=2, padding="same")(keras.layers.Rescaling(1 / 255)(images))
    head = keras.layers.Dense(3)
    model = keras.Model(images, head(keras.layers.GlobalAveragePooling2D()(feature_map)))
    batch = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    grad_cam = compile_grad_cam(model)
    assert grad_cam is not None
    labels = np.array([2, 0], np.int32)
    maps = compile_forward(keras.Model(images, feature_map))(batch)
    expected = np.einsum("nhwc,cn->nhw", maps, head.kernel.numpy()[:, labels]) / 64
    np.testing.assert_allclose(grad_cam(batch, labels), np.maximum(expected, 0), rtol=1e-4, atol=1e-6)


def test_maps_inside_the_network_that_are_pooled_for_its_channels_are_not_the_last() -> None:
    """As in the blocks of EfficientNet and MobileNetV3 (squeeze and excitation)."""
    images = keras.Input((SIDE, SIDE, 3), dtype="uint8")
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(keras.layers.Rescaling(1 / 255)(images))
    share = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    share = keras.layers.Conv2D(4, 1, activation="hard_sigmoid")(share)
    squeezed = keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(x))
    x = keras.layers.Multiply()([keras.layers.Multiply()([x, share]), keras.layers.Reshape((1, 1, 4))(squeezed)])
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(6, 3, strides=2, padding="same")(x))
    model = keras.Model(images, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
    grad_cam = compile_grad_cam(model)
    assert grad_cam is not None
    maps = grad_cam(np.zeros((1, SIDE, SIDE, 3), np.uint8), np.zeros(1, np.int32))
    assert maps.shape == (1, 8, 8)


def test_a_network_of_tokens_or_of_several_maps_has_no_last_map() -> None:
    images = keras.Input((SIDE, SIDE, 3), dtype="uint8")
    patches = keras.layers.Conv2D(4, 4, strides=4)(keras.layers.Rescaling(1 / 255)(images))
    tokens = keras.layers.Reshape((64, 4))(patches)
    tokens = keras.layers.GlobalAveragePooling1D()(keras.layers.Dense(4)(tokens))
    assert compile_grad_cam(keras.Model(images, keras.layers.Dense(2)(tokens))) is None
    pool = keras.layers.GlobalAveragePooling2D
    scales = [pool()(patches), pool()(keras.layers.Conv2D(4, 3)(patches))]
    both = keras.layers.Concatenate()(scales)
    assert compile_grad_cam(keras.Model(images, keras.layers.Dense(2)(both))) is None


def test_maps_are_stored_with_how_they_were_drawn(tmp_path: Path) -> None:
    assert read_heat_maps(tmp_path) is None
    heat = np.arange(16, dtype=np.uint8).reshape(4, 4)
    write_heat_maps(tmp_path, HeatMaps(MapMethod.OCCLUSION, {"a": heat}, "1 of 2"))
    found = read_heat_maps(tmp_path)
    assert found is not None
    assert (found.method, found.missing) == ("occlusion", "1 of 2")
    assert np.array_equal(found.maps["a"], heat)
    write_heat_maps(tmp_path, HeatMaps(None, missing="it failed"))
    assert read_heat_maps(tmp_path) == HeatMaps(None, {}, "it failed")
    RunFolder(tmp_path).heat_maps.write_bytes(b"PK half a file")
    assert read_heat_maps(tmp_path) is None


@pytest.fixture
def study(finished: SimpleNamespace, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A copy of a finished study whose shards are in the cache."""
    out = shutil.copytree(finished.out, tmp_path / "study")
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path / "cache"))
    shutil.copytree(shards, tmp_path / "cache" / "data" / "digits")
    return SimpleNamespace(out=out, record=finished.record, folder=run_dir(out, finished.record.id), shards=shards)


def _page(out: Path) -> str:
    return (out / "report.html").read_text(encoding="utf-8")


def test_the_report_lays_the_maps_over_its_pictures(study: SimpleNamespace) -> None:
    write_report(study.out)
    assert "No heat maps were drawn." in _page(study.out)
    draw_heat_maps(study.folder, study.shards)
    found, predictions = read_heat_maps(study.folder), read_predictions(study.folder, "val")
    assert found is not None
    assert found.method == "grad-cam"
    assert set(found.maps) == {predictions.ids[place] for places in choose_images(predictions) for place in places}
    before = len(_page(study.out))
    write_report(study.out)
    page = _page(study.out)
    assert "Grad-CAM, Selvaraju et al. 2017" in page
    assert "No heat maps were drawn." not in page
    maps = re.findall(r'<image href="data:image/png;base64,([^"]+)" x="100"', page)
    hot = [heat for heat in found.maps.values() if heat.any()]
    assert len(maps) == len(hot) > 10
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(maps[0]))))
    assert drawn.shape[2] == 4
    assert drawn[..., 3].max() == round(0.85 * 255)
    # A map is small: less than a kilobyte with its markup.
    assert len(page) - before < 1000 * len(maps) + 1000


def test_a_picture_without_a_map_says_so(study: SimpleNamespace) -> None:
    predictions = read_predictions(study.folder, "val")
    mistakes, _ = choose_images(predictions)
    first, second = (predictions.ids[place] for place in mistakes[:2])
    maps = {first: np.zeros((4, 4), np.uint8), second: np.full((4, 4), 255, np.uint8)}
    write_heat_maps(study.folder, HeatMaps(MapMethod.OCCLUSION, maps, "22 of 24 maps were not drawn."))
    shown = show_images(study.out, study.record)
    assert shown is not None
    assert [picture.no_heat for picture in shown.mistakes[:3]] == ["no part stands out", "", "no heat map"]
    assert [bool(picture.heat) for picture in shown.mistakes[:3]] == [False, True, False]
    write_report(study.out)
    assert "22 of 24 maps were not drawn." in _page(study.out)
    assert "occlusion, Zeiler and Fergus 2014" in _page(study.out)


def test_maps_that_fail_say_why_on_the_page(study: SimpleNamespace) -> None:
    RunFolder(study.folder).model.write_bytes(b"no model")
    draw_heat_maps(study.folder, study.shards)
    write_report(study.out)
    assert "The heat maps could not be drawn: " in _page(study.out)
    assert "is not the model that this run wrote" in _page(study.out)


def test_the_maps_of_a_refit_are_of_the_run_that_it_repeats(
    study: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its validation images are mistakes of that run; the refit has learned them."""
    refit = study.record.model_copy(update={"id": "f" * 12, "refit_of": study.record.id})
    write_record(run_dir(study.out, refit.id), refit)
    drawn = []
    monkeypatch.setattr(explain, "open_run", lambda folder, _: drawn.append(folder))
    monkeypatch.setattr(explain, "_draw", lambda _: HeatMaps(None, missing="none"))
    draw_heat_maps(run_dir(study.out, refit.id), study.shards)
    assert drawn == [study.folder]
    assert read_heat_maps(study.folder) == HeatMaps(None, {}, "none")
    assert not RunFolder(run_dir(study.out, refit.id)).heat_maps.exists()


@pytest.mark.usefixtures("workers_here")
@pytest.mark.slow
def test_report_draws_maps_that_are_not_there_and_deletes_them_if_asked(
    study: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    bakeoff.load(study.out).report(progress=False)
    drawn = RunFolder(study.folder).heat_maps.read_bytes()
    assert 'class="pair"' in _page(study.out)
    monkeypatch.setattr("bakeoff.report.heat_maps.draw_heat_maps", lambda *_: pytest.fail("they are there"))
    bakeoff.load(study.out).report(progress=False)
    assert RunFolder(study.folder).heat_maps.read_bytes() == drawn
    bakeoff.load(study.out).report(maps=False, progress=False)
    assert not RunFolder(study.folder).heat_maps.exists()
    assert 'class="pair"' not in _page(study.out)
    assert "No heat maps were drawn." in _page(study.out)


def test_mistakes_are_chosen_by_confidence_and_hits_by_the_lack_of_it() -> None:
    logits = np.array([[5, 0], [1, 0], [3, 0], [0, 2], [0, 9]], np.float32)
    predictions = Predictions(logits, np.array([0, 0, 1, 0, 1], np.int32))
    mistakes, right = choose_images(predictions)
    assert mistakes.tolist() == [2, 3]
    assert right.tolist() == [1, 0, 4]
