from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bakeoff.data.contact_sheet import choose_path, draw_sheet
from bakeoff.data.contact_sheet.classes import _augment_samples, _collect, _fill_panels, _fit_to_aspect, _Row, _title
from bakeoff.data.pixels import PAD_COLOUR
from bakeoff.data.shards import Dataset, open_dataset, prepare
from bakeoff.data.sources import open_source
from bakeoff.errors import DataError, OutputError
from bakeoff.runs.config import Augment, Data, Fit


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("sheet") / "digits"
    prepare(open_source(Data(source="digits")), folder)
    return open_dataset(folder)


def groups(superclasses: int, classes: int) -> list[list[_Row]]:
    return [
        [_Row(f"super {number}", None)] + [_Row(f"class {label}", label) for label in range(classes)]
        for number in range(superclasses)
    ]


def test_a_sheet_is_an_image_that_is_not_blank(digits: Dataset, tmp_path: Path) -> None:
    draw_sheet(digits, tmp_path / "sheet.png")
    picture = Image.open(tmp_path / "sheet.png")
    assert picture.format == "PNG"
    assert len(np.unique(np.asarray(picture))) > 16


def test_more_columns_make_it_wider_and_fewer_classes_lower(digits: Dataset, tmp_path: Path) -> None:
    draw_sheet(digits, tmp_path / "ten.png", rows=10)
    draw_sheet(digits, tmp_path / "twenty.png", rows=10, columns=20)
    draw_sheet(open_dataset(digits.folder, "3,4,5"), tmp_path / "three.png", rows=10)
    ten, twenty, three = (Image.open(tmp_path / f"{name}.png").size for name in ("ten", "twenty", "three"))
    assert (twenty[0] - ten[0], twenty[1]) == (10 * 52, ten[1])
    assert ten[1] - three[1] == 7 * 52


def test_the_same_view_gives_the_same_image(digits: Dataset, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw_sheet(digits, tmp_path / name, split="val")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_sheet_takes_the_place_of_a_sheet_and_of_no_other_file(digits: Dataset, tmp_path: Path) -> None:
    usual = tmp_path / "photos.png"
    draw_sheet(digits, usual, columns=1)
    assert choose_path(usual) == (usual, [])
    Image.new("RGB", (8, 8)).save(usual)
    beside, (note,) = choose_path(usual)
    assert beside == tmp_path / "photos.2.png"
    assert note.startswith("photos.png is another file, or a picture of an earlier version")
    draw_sheet(digits, beside, columns=1)
    assert choose_path(usual) == (beside, [note])


def test_a_class_with_too_few_images_leaves_its_places_empty(digits: Dataset, tmp_path: Path) -> None:
    draw_sheet(digits, tmp_path / "wide.png", split="val", columns=40, rows=10)
    corner = np.asarray(Image.open(tmp_path / "wide.png"))[64 + 20, -28 - 28]
    assert corner.tolist() == [0xF1, 0xF3, 0xF6]


@pytest.mark.parametrize("fit", [Fit.CROP, Fit.PAD, Fit.SQUASH])
def test_a_sheet_shows_and_names_what_the_network_sees(tmp_path: Path, fit: Fit) -> None:
    for label, colour in (("a", "red"), ("b", "blue")):
        (tmp_path / "wide" / label).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (96, 24 + number), colour).save(tmp_path / "wide" / label / f"{number}.png")
    prepare(open_source(Data(source=str(tmp_path / "wide"))), tmp_path / "shards")
    dataset = open_dataset(tmp_path / "shards", fit=fit)
    words = {
        Fit.CROP: "25x25 pixels, centre crop",
        Fit.PAD: "96x96 pixels, padded",
        Fit.SQUASH: "96x96 pixels, squashed",
    }
    assert _title(dataset, "train", None)[1].endswith(words[fit])
    assert words[fit].partition(", ")[2] in _title(dataset, "train", Augment())[1]
    draw_sheet(dataset, tmp_path / "sheet.png", columns=1)
    colours = {tuple(pixel) for pixel in np.asarray(Image.open(tmp_path / "sheet.png")).reshape(-1, 3).tolist()}
    assert (PAD_COLOUR in colours) == (fit is Fit.PAD)


def test_superclasses_are_never_split_between_panels() -> None:
    panels = _fill_panels(groups(4, 5), 12)
    assert [sum(row.label is None for row in panel) for panel in panels] == [2, 2]
    assert all(panel[0].label is None for panel in panels)


def test_a_superclass_larger_than_a_panel_has_a_panel_to_itself() -> None:
    assert [len(panel) for panel in _fill_panels(groups(2, 9), 4)] == [10, 10]


def test_a_hundred_classes_are_wider_than_high() -> None:
    panels = _fit_to_aspect(groups(20, 5), 660)
    height = max(sum(row.height for row in panel) for panel in panels)
    assert 1.2 < len(panels) * 660 / height < 2.4
    assert sum(len(panel) for panel in panels) == 120


def test_augmented_images_are_shown_beside_the_original(digits: Dataset, tmp_path: Path) -> None:
    stored = [images[0] for images in _collect(digits, "train", 1)]
    still = _augment_samples(digits, "train", 4, Augment(policy="none"))
    turned = _augment_samples(digits, "train", 4, Augment(policy="rotate-cutmix"))
    for label, image in enumerate(stored):
        assert all(np.array_equal(other, image) for other in still[label])
        assert np.array_equal(turned[label][0], image)
        assert not any(np.array_equal(other, image) for other in turned[label][1:])
    path = tmp_path / "sheet.png"
    draw_sheet(digits, path, columns=4, augment=Augment(policy="rotate-cutmix"))
    assert Image.open(path).width > 100


def test_the_locked_split_is_not_shown(digits: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="locked"):
        draw_sheet(digits, tmp_path / "sheet.png", split="test")
    assert list(tmp_path.iterdir()) == []


def test_a_sheet_without_rows_or_columns_is_an_error(digits: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="of at least 1"):
        draw_sheet(digits, tmp_path / "sheet.png", columns=0)


def test_a_place_that_cannot_be_written_is_an_output_error(digits: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        draw_sheet(digits, tmp_path / "file" / "sheet.png")
