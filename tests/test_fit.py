"""Pictures that are not square: how they become square, decided once, for training as for predicting."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bakeoff.data.batches import load_split
from bakeoff.data.pixels import PAD_COLOUR, decode
from bakeoff.data.shards import Dataset, find_dataset, open_dataset, prepare_cached, read_manifest
from bakeoff.deploy.bundle import (
    BundleFacts,
    Format,
    ImageInput,
    Quantize,
    open_bundle,
    predict,
    read_facts,
    write_facts,
)
from bakeoff.files import hash_json
from bakeoff.report.facts import describe_recipe
from bakeoff.runs.calibration import softmax
from bakeoff.runs.config import Data, Fit
from bakeoff.runs.record import DataFacts, RunRecord, read_record
from factories import make_record
from running import run_cli
from test_docs import ROOT, blocks

Sizes = list[tuple[int, int]]
WIDE, TALL, SQUARE, PHOTO = (400, 100), (100, 400), (100, 100), (160, 120)
ORIENTATION, ROTATED_BY_90 = 0x0112, 6


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Two classes, each with a PNG of noise of each of these (width, height)."""

    def make(sizes: Sizes, name: str = "pictures") -> Path:
        rng = np.random.default_rng(0)
        for label in ("a", "b"):
            (tmp_path / name / label).mkdir(parents=True)
            for number, (width, height) in enumerate(sizes):
                noise = rng.integers(0, 256, (height, width, 3), np.uint8)
                Image.fromarray(noise).save(tmp_path / name / label / f"{number}.png")
        return tmp_path / name

    return make


def view(folder: Path, fit: Fit = Fit.AUTO) -> Dataset:
    return open_dataset(prepare_cached(Data(source=str(folder))), fit=fit)


@pytest.mark.parametrize(
    ("sizes", "fit", "side", "note"),
    [
        ([WIDE] * 5, Fit.PAD, 160, "the centre crop would cut off 75 % of the median picture, so pictures are padded"),
        ([TALL] * 5, Fit.PAD, 160, "would cut off 75 %"),
        ([WIDE] * 2 + [TALL] * 3, Fit.PAD, 160, "would cut off 75 %"),
        ([PHOTO] * 5, Fit.PAD, 160, "would cut off 25 %"),
        ([(60, 20)] * 5, Fit.PAD, 60, "would cut off 66.7 %"),
        ([(100, 95)] * 5, Fit.CROP, 95, ""),
        ([SQUARE] * 4 + [WIDE], Fit.CROP, 100, "the centre crop cuts off more than a tenth of 2 of the 10 pictures"),
        ([SQUARE] * 5, Fit.CROP, 100, ""),
        ([(1, 1)] * 5, Fit.CROP, 1, ""),
    ],
    ids=["wide", "tall", "wide and tall", "photographs", "small", "nearly square", "one wide", "square", "a pixel"],
)
def test_the_default_pads_where_the_crop_would_cut_off_more_than_a_tenth_and_says_so(
    make: Callable[..., Path], sizes: Sizes, fit: Fit, side: int, note: str
) -> None:
    dataset = view(make(sizes))
    assert (dataset.fit, dataset.side) == (fit, side)
    assert load_split(dataset, "train").images.shape[1:] == (side, side, 3)
    said = [text for text in dataset.notes if "centre crop" in text]
    assert len(said) == bool(note)
    assert note in "".join(said)


def test_each_fit_has_its_side_its_pixels_and_its_fingerprint(make: Callable[..., Path]) -> None:
    folder = make([WIDE] * 5)
    views = {fit: view(folder, fit) for fit in (Fit.CROP, Fit.PAD, Fit.SQUASH)}
    assert {fit: dataset.side for fit, dataset in views.items()} == {Fit.CROP: 100, Fit.PAD: 160, Fit.SQUASH: 160}
    for fit, dataset in views.items():
        split = load_split(dataset, "train")
        for image, key in zip(split.images[:], split.ids, strict=True):
            assert np.array_equal(image, decode((folder / key).read_bytes(), dataset.side, fit))
        assert find_dataset(dataset.fingerprint, fit=fit) == dataset
    assert (load_split(views[Fit.PAD], "train").images[:, :60] == PAD_COLOUR).all()
    assert not any("padded" in note for note in views[Fit.PAD].notes)  # it was asked for
    (cut,) = (note for note in views[Fit.CROP].notes if "centre crop" in note)
    assert cut == "the centre crop cuts off 75 % of the median picture; --fit pad|squash shows all of it"
    manifest = read_manifest(views[Fit.CROP].folder)
    # What a bakeoff without fits computed.
    assert views[Fit.CROP].fingerprint == hash_json([manifest.fingerprint, ["a", "b"], [0, 1]])
    assert len({dataset.fingerprint for dataset in views.values()}) == 3
    assert view(folder).fingerprint == views[Fit.PAD].fingerprint


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JPEGs of 4:1, half of them stored upright with an EXIF rotation; their class shows away from the centre."""
    folder, rng = tmp_path_factory.mktemp("pictures") / "wide", np.random.default_rng(0)
    for label, colour in (("red", (220, 40, 40)), ("green", (40, 190, 60)), ("blue", (40, 60, 220))):
        (folder / label).mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(100, 156, (24, 96, 3), np.uint8)
            pixels[6:18, 2:20] = colour
            picture, exif = Image.fromarray(pixels), Image.Exif()
            if number % 2:
                picture, exif[ORIENTATION] = picture.transpose(Image.Transpose.ROTATE_90), ROTATED_BY_90
            picture.save(folder / label / f"{number}.jpg", exif=exif)
    return folder


@pytest.fixture(scope="module")
def learned(wide: Path) -> Any:
    """A LeNet that has seen them padded, and smaller than they are stored."""
    from learned import learn

    return learn("lenet", 32, view(wide))


@pytest.mark.parametrize("model_format", Format)
def test_a_bundle_answers_for_files_what_the_run_predicted_for_them(
    wide: Path, learned: Any, model_format: Format, tmp_path: Path
) -> None:
    from bakeoff.deploy.export import write_bundle

    facts = write_bundle(learned, tmp_path / "bundle", model_format)
    assert (facts.fit, facts.side) == (Fit.PAD, 96)
    card = (tmp_path / "bundle" / "model_card.md").read_text()
    assert "`pad` (resize the longer side to 96, then centre the picture on the colour (124, 116, 104))" in card
    bundle, keys = open_bundle(tmp_path / "bundle"), load_split(learned.dataset, "val").ids
    answers = list(predict(bundle, [ImageInput.of(wide / key) for key in keys], top=1))
    assert facts.calibration is not None
    expected = softmax(learned.predictions["val"].logits / np.float32(facts.calibration.temperature))
    for answer, row in zip(answers, expected, strict=True):
        assert answer.top[0].label == bundle.class_names[row.argmax()]
        assert answer.top[0].probability == pytest.approx(row.max(), abs=1e-4)


@pytest.mark.parametrize("model_format", [Format.ONNX, Format.LITERT])
def test_the_integers_of_a_quantised_bundle_make_large_images_smaller_too(
    learned: Any, model_format: Format, tmp_path: Path
) -> None:
    from bakeoff.deploy.export import write_bundle

    parity = write_bundle(learned, tmp_path / "bundle", model_format, Quantize.INT8).parity
    assert parity is not None
    assert parity.mean_gap < 0.05


def test_a_bundle_of_an_older_bakeoff_crops(tmp_path: Path) -> None:
    write_facts(tmp_path, BundleFacts(run="r", candidate="lenet@32", side=8, fit=Fit.PAD, bakeoff="0", files={}))
    assert read_facts(tmp_path).fit is Fit.PAD
    written = json.loads((tmp_path / "bundle.json").read_text())
    del written["fit"]
    (tmp_path / "bundle.json").write_text(json.dumps(written))
    assert read_facts(tmp_path).fit is Fit.CROP


def test_the_fingerprint_of_square_images_is_that_of_an_older_bakeoff(shards: Path) -> None:
    study = json.loads((ROOT / "tests" / "assets" / "study-0.1" / "study.json").read_text())
    assert open_dataset(shards).fingerprint == study["data"]["fingerprint"]


def test_the_report_says_how_pictures_became_square() -> None:
    config = make_record().config
    for fit, words in ((Fit.CROP, "96 by 96 pixels"), (Fit.PAD, "96 by 96 pixels, pictures padded to a square")):
        fitted = config.model_copy(update={"data": Data(fit=fit)})
        assert ("Input", words) in describe_recipe(fitted)


@pytest.mark.parametrize("fit", [Fit.CROP, Fit.PAD, Fit.SQUASH])
def test_the_documented_reading_without_bakeoff_gives_the_same_pixels(tmp_path: Path, fit: Fit) -> None:
    page = ROOT / "docs" / "how-to" / "predict.md"
    (code,) = (block for block in blocks(page, "python") if "def read_image" in block)
    names: dict[str, Any] = {}
    exec(code, names)
    rng = np.random.default_rng(0)
    for side in (7, 32):
        write_facts(tmp_path, BundleFacts(run="r", candidate="lenet@32", side=side, fit=fit, bakeoff="0", files={}))
        for width, height in ((400, 100), (101, 380), (64, 64), (33, 20), (500, 3), (side, side)):
            for suffix in ("png", "jpg"):
                path = tmp_path / f"picture.{suffix}"
                exif = Image.Exif()
                exif[ORIENTATION] = ROTATED_BY_90
                Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(path, exif=exif)
                expected = decode(path.read_bytes(), side, fit)
                assert np.array_equal(names["read_image"](str(path), str(tmp_path))[0], expected)


def test_a_picture_that_is_wide_after_its_rotation_is_padded_above_and_below(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = ROTATED_BY_90
    for label, colour in (("a", "red"), ("b", "blue")):
        (tmp_path / "rotated" / label).mkdir(parents=True)
        for number in range(5):
            tall = Image.new("RGB", (100, 400 + number), colour)
            tall.save(tmp_path / "rotated" / label / f"{number}.jpg", exif=exif)
    dataset = view(tmp_path / "rotated")
    assert (dataset.fit, dataset.side) == (Fit.PAD, 160)
    images = load_split(dataset, "train").images[:]
    assert (images[:, [0, -1]] == PAD_COLOUR).all()
    assert (images[:, 80, [0, -1]] != PAD_COLOUR).any(axis=-1).all()


def test_shards_of_an_older_bakeoff_are_read_as_they_were(make: Callable[..., Path]) -> None:
    shards = prepare_cached(Data(source=str(make([WIDE] * 5))))
    path = shards / "manifest.json"
    now = json.loads(path.read_text())
    path.write_text(
        json.dumps({name: now[name] for name in now if name not in ("whole_side", "cut_area", "cut_images")})
    )
    assert (open_dataset(shards).fit, open_dataset(shards).side) == (Fit.CROP, 100)
    assert open_dataset(shards, fit=Fit.PAD).side == 100


def test_pictures_are_read_as_large_as_the_input_where_they_have_the_pixels(make: Callable[..., Path]) -> None:
    dataset = view(make([(400, 300)] * 5))
    assert (dataset.side, dataset.largest_side) == (160, 400)
    for input_side, side in ((96, 160), (160, 160), (224, 224), (500, 400)):
        larger = dataset.at_input(input_side)
        assert larger.side == load_split(larger, "train").images[:].shape[1] == side
        assert (larger.decoded_key == dataset.decoded_key) == (side == 160)
        assert larger.fingerprint == dataset.fingerprint
    sides = {fit: replace(dataset, asked_fit=fit).largest_side for fit in (Fit.SQUASH, Fit.CROP)}
    assert sides == {Fit.SQUASH: 400, Fit.CROP: 300}


def test_small_images_and_shards_of_an_older_bakeoff_are_not_read_larger(make: Callable[..., Path]) -> None:
    small = view(make([(48, 48)] * 5))
    assert small.largest_side == small.at_input(224).side == 48
    large = view(make([(400, 400)] * 5, "large"))
    older = replace(large, manifest=large.manifest.model_copy(update={"large_sides": None}))
    assert older.largest_side == older.at_input(224).side == 160


def test_an_older_run_saw_cropped_pictures() -> None:
    record = make_record()
    older = record.model_dump(mode="json", by_alias=True)
    del older["data"]["fit"], older["config"]["data"]["fit"]
    read = RunRecord.model_validate(older)
    assert (read.config.data.fit, read.view.fit) == (Fit.AUTO, Fit.CROP)
    padded = record.model_copy(update={"data": DataFacts(**record.data.model_dump() | {"fit": "pad"})})
    assert RunRecord.model_validate(padded.model_dump(mode="json", by_alias=True)).view.fit is Fit.PAD


def test_very_long_pictures_are_told_to_be_small_when_padded(make: Callable[..., Path]) -> None:
    folder = make([(2000, 40)] * 5)
    assert view(folder).notes[0] == (
        "the centre crop would cut off 98 % of the median picture, so pictures are padded; --fit crop|squash"
    )
    small = "when padded, the shorter side of the median picture has 3 of 160 pixels; --fit squash shows more of it"
    assert view(folder).notes[1] == view(folder, Fit.PAD).notes[0] == small
    assert small not in view(folder, Fit.SQUASH).notes


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "note: the centre crop would cut off 75 % of the median picture, so pictures are padded"),
        (["--fit", "crop"], "note: the centre crop cuts off 75 % of the median picture; --fit pad|squash"),
        (["--fit", "squash"], ""),
    ],
    ids=["by default", "crop", "squash"],
)
def test_every_verb_on_images_says_what_happens_to_them(
    make: Callable[..., Path], tmp_path: Path, options: list[str], said: str
) -> None:
    folder = make([WIDE] * 5)
    for verb, *more in (
        ("prepare",),
        ("show", "--out", str(tmp_path / "sheet.png")),
        ("check", "--no-near", "--no-labels", "--out", str(tmp_path / "checked")),
    ):
        done = run_cli("data", verb, folder, *options, *more)
        assert done.returncode == 0
        assert "pictures: 2 classes (a, b)" in done.stderr
        assert ("centre crop" in done.stderr) == bool(said)
        assert said in done.stderr


@pytest.mark.usefixtures("workers_here")
@pytest.mark.parametrize(("fit", "came_to"), [("crop", Fit.CROP), ("auto", Fit.PAD)])
def test_a_run_and_its_evaluation_see_the_same_pictures(wide: Path, tmp_path: Path, fit: str, came_to: Fit) -> None:
    settings = ["model.name=lenet", "model.size=32", "train.images=32", f"data.fit={fit}"]
    done = run_cli("train", wide, *(f"--set={setting}" for setting in settings), "--out", tmp_path)
    assert done.returncode == 0
    assert "centre crop" in done.stderr
    (run,) = (tmp_path / "runs").iterdir()
    record = read_record(run)
    assert (record.config.data.fit, record.data.fit) == (fit, came_to)
    assert record.data.fingerprint == view(wide, came_to).fingerprint
    assert run_cli("evaluate", run).returncode == 0
    assert (run / "test-logits.npz").is_file()
