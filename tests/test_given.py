"""Data that are given in Python: a DataFrame, or images and labels as arrays."""

import inspect
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import bakeoff
from bakeoff.api.arguments import describe_call, read_data
from bakeoff.data.shards import Edits, open_dataset, prepare_cached
from bakeoff.data.shards.plan import plan_shards
from bakeoff.data.sources import open_source
from bakeoff.errors import ConfigError, DataError
from bakeoff.files import cache_dir

COUNT = 30
LABELS = [("cat", "dog", "emu")[number % 3] for number in range(COUNT)]


@pytest.fixture
def pictures():
    """uint8 (30, 20, 24, 3)."""
    return np.random.default_rng(0).integers(0, 256, (COUNT, 20, 24, 3), np.uint8)


@pytest.fixture
def photos(tmp_path, pictures):
    """The same as files, named by their numbers."""
    (tmp_path / "photos").mkdir()
    for number, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number:03d}.png")
    return tmp_path / "photos"


def _data(data, **options):
    return read_data(data, None, None, None, **options)


def _read(data, **options):
    source = open_source(_data(data, **options))
    return source, list(source.records())


def _pixels(record):
    return np.frombuffer(record.data, np.uint8).reshape(*record.shape, 3)


def test_arrays_are_read_as_they_are(pictures):
    source, records = _read((pictures, np.array(LABELS)))
    assert source.name == "arrays"
    assert source.notes == ("arrays (30, 20, 24, 3), given in Python",)
    assert [source.class_names[record.label] for record in records] == LABELS
    assert all((_pixels(record) == picture).all() for record, picture in zip(records, pictures, strict=True))
    assert [record.key for record in source.fetch(["00007", "00002"])] == ["00007", "00002"]


@pytest.mark.parametrize("form", [lambda grey: grey, lambda grey: grey[..., None]], ids=["n-h-w", "n-h-w-1"])
def test_grey_arrays_become_rgb_and_say_so(pictures, form):
    grey = pictures[..., 0]
    source, records = _read((form(grey), LABELS))
    assert "grey images, each channel the same: 30" in source.notes[0]
    assert all((_pixels(r) == g[..., None]).all() for r, g in zip(records, grey, strict=True))


def test_arrays_may_have_different_sizes(pictures):
    several = [picture[: 10 + number % 5] for number, picture in enumerate(pictures)]
    several[4] = several[4][..., 0]
    source, records = _read((several, pd.Series(LABELS, dtype="category")))
    assert source.notes == ("30 arrays, given in Python; grey images, each channel the same: 1",)
    assert [record.shape for record in records] == [picture.shape[:2] for picture in several]
    assert (_pixels(records[29]) == several[29]).all()
    assert _data((pd.Series(several), LABELS)) == _data((several, LABELS))


@pytest.mark.parametrize(
    "labels",
    [
        np.arange(COUNT) % 11,
        (np.arange(COUNT) % 11)[:, None],
        np.arange(COUNT) % 11 * 1.0,
        [number % 11 for number in range(COUNT)],
        pd.Series(np.arange(COUNT) % 11),
        np.array([str(number % 11) for number in range(COUNT)]),
    ],
    ids=["ints", "column", "floats", "list", "series", "texts"],
)
def test_labels_that_are_numbers_keep_their_order(pictures, labels):
    source, records = _read((pictures, labels))
    assert source.class_names == tuple(map(str, range(11)))
    assert [record.label for record in records] == [number % 11 for number in range(COUNT)]


def test_names_that_may_be_mistakes_are_told(pictures):
    names = ["cat", "Cat", "caf\u00e9", "cafe\u0301", "nan"]
    source, _ = _read((pictures, [names[number % 5] for number in range(COUNT)]))
    assert source.class_names == ("Cat", "caf\u00e9", "cat", "nan")
    assert any("the text nan" in note for note in source.notes)
    assert any("differ only in case" in note for note in source.notes)


FLOAT = np.full((4, 8, 8, 3), 0.5, np.float32)
GOOD = np.zeros((4, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (FLOAT, "abab", r"float32 from 0\.5 to 0\.5; if 1 is white, give \(255 \* images\)\.round\(\)\.astype"),
        (FLOAT * 200, "abab", r"if 255 is white, give images\.round\(\)\.astype\('uint8'\)"),
        (FLOAT - 2, "abab", r"from -1\.5 to -1\.5; give uint8 pixels from 0 to 255"),
        (GOOD.astype(bool), "abab", r"images is bool; if True is white, give \(255 \* images\)"),
        (GOOD[0, 0], "ab", r"images has shape \(8, 3\)"),
        (GOOD.transpose(0, 3, 1, 2), "abab", r"\(3, 8, 8\).*channels last"),
        (np.zeros((4, 8, 8, 4), np.uint8), "abab", r"\(8, 8, 4\).*give RGB"),
        ([GOOD[0], FLOAT[0]], "ab", r"images\[1\] is float32"),
        ([GOOD[0], GOOD], "ab", r"images\[1\] has shape \(4, 8, 8, 3\)"),
        ("photos/", "ab", "images is a str"),
        ([Image.new("P", (8, 8))] * 2, "ab", r"images\[0\] is a Image; give uint8 arrays"),
        ([[[0, 1]]] * 2, "ab", r"images\[0\] is a list; give uint8 arrays"),
        (GOOD, "aba", "4 images and 3 labels"),
        (GOOD, "aaaa", "all labels are a; give images of at least two classes"),
        (GOOD, np.eye(4), r"labels has shape \(4, 4\).*argmax"),
        (GOOD, ["a", None, "b", "a"], r"labels\[1\] is empty"),
        (GOOD, pd.Series(["a", None, "b", "a"], dtype="string"), r"labels\[1\] is empty"),
        ([], [], "all labels are missing"),
    ],
    ids=["unit", "float", "centred", "bool", "flat", "channels-first", "rgba", "list", "nested", "text", "pillow",
         "numbers", "lengths",
         "one-class", "one-hot", "empty", "missing", "nothing"],
)  # fmt: skip
def test_arrays_that_would_have_to_be_guessed_are_refused(images, labels, said):
    with pytest.raises(DataError, match=said) as caught:
        _data((images, list(labels) if isinstance(labels, str) else labels))
    assert "\n" not in str(caught.value)
    assert not (cache_dir() / "given").exists()


def test_a_frame_is_read_like_a_table(photos):
    frame = pd.DataFrame({"path": [f"/elsewhere/photos/{n:03d}.png" for n in range(COUNT)], "label": LABELS})
    source, records = _read(frame, image_folder=photos)
    assert source.name == "photos"
    assert source.notes[0] == "labels from DataFrame of 30 rows: column path -> label"
    assert [source.class_names[record.label] for record in records] == LABELS


def test_a_frame_may_hold_each_label_in_a_list_or_an_array(photos):
    names = [f"{number:03d}" for number in range(COUNT)]
    for make in (list, np.array):
        labels = [make([label]) for label in LABELS]
        source, records = _read(pd.DataFrame({"id": names, "label": labels}), image_folder=photos)
        assert [source.class_names[record.label] for record in records] == LABELS
        labels[2] = make(["cat", "dog"])
        with pytest.raises(DataError, match=r"row 3 has several labels \(cat, dog\)"):
            _read(pd.DataFrame({"id": names, "label": labels}), image_folder=photos)


def test_the_index_of_a_frame_may_name_the_images(photos):
    names = pd.Index([f"{number:03d}" for number in range(COUNT)])
    assert _read(pd.DataFrame({"label": LABELS}, index=names), image_folder=photos)[0].count == COUNT
    numbers = pd.Index(range(COUNT), name="photo")
    frame = pd.DataFrame({"label": [*LABELS[:-1], None], "weight": 1.5}, index=numbers)
    source, _ = _read(frame, image_folder=photos, label="label")
    assert source.count == COUNT - 1
    assert "columns not used: weight" in source.notes[0]
    # Mere numbers of rows are no column.
    frame = pd.DataFrame({"id": [f"{n:03d}" for n in range(COUNT)], "animal": LABELS, "keep": True})
    assert _read(frame[frame["keep"]].drop(columns="keep"), image_folder=photos)[0].notes[0].endswith("id -> animal")


def test_the_same_data_have_the_same_address_and_others_another(pictures, photos):
    frame = pd.DataFrame({"id": [f"{number:03d}" for number in range(COUNT)], "label": LABELS})
    for one, others in (
        ((frame, photos), [(frame.assign(label=LABELS[::-1]), photos)]),
        (((pictures, LABELS), None), [((pictures, LABELS[::-1]), None), ((pictures[::-1], LABELS), None)]),
    ):
        addresses = [_data(data, image_folder=folder).source for data, folder in (one, one, *others)]
        assert addresses[0] == addresses[1]
        assert len(set(addresses)) == 1 + len(others)
    assert _data((pictures, LABELS)).source.startswith("arrays (30, 20, 24, 3) #")


def test_shards_are_found_when_the_arrays_are_gone(pictures):
    data = _data((pictures, LABELS))
    folder = prepare_cached(data)
    dataset = open_dataset(folder)
    assert dataset.counts == {"train": 24, "val": 3, "test": 3}
    assert "arrays (30, 20, 24, 3), given in Python" in dataset.manifest.notes
    shutil.rmtree(cache_dir() / "given")
    assert prepare_cached(data) == folder
    shutil.rmtree(folder)
    with pytest.raises(
        DataError, match=r"arrays \(30, 20, 24, 3\) #\w+ are no longer in the cache; give them to bakeoff"
    ):
        prepare_cached(data)


def test_a_frame_that_is_gone_is_asked_for(photos):
    data = _data(pd.DataFrame({"id": ["000"] * 3, "label": "a"}), image_folder=photos)
    shutil.rmtree(cache_dir() / "given")
    with pytest.raises(DataError, match=r"DataFrame of 3 rows #\w+ is no longer in the cache"):
        open_source(data)


def test_a_call_with_data_is_written_without_them(pictures):
    for data, text in (
        (pd.DataFrame({"a": range(1000)}), "bakeoff.check(frame, near=False)"),
        ((pictures, LABELS), "bakeoff.check((images, labels), near=False)"),
    ):
        arguments = {name: p.default for name, p in inspect.signature(bakeoff.check).parameters.items()}
        assert describe_call(bakeoff.check, arguments | {"data": data, "near": False}) == text


def test_what_does_not_go_with_such_data_is_refused(pictures):
    frame = pd.DataFrame({"id": ["1"], "label": "a"})
    with pytest.raises(ConfigError, match="image_folder=None: give the folder of the images"):
        _data(frame)
    with pytest.raises(ConfigError, match=r"a tuple of 3; give \(images, labels\)"):
        _data((pictures, LABELS, LABELS))
    with pytest.raises(ConfigError, match="data is a int: give a name, a path, a pandas DataFrame, or a tuple"):
        _data(3)
    for options in ({"label": "x"}, {"layout": "classes"}, {"group": "folder"}, {"image_folder": "photos"}):
        with pytest.raises(ConfigError, match="have neither folders nor a table; leave it out"):
            open_source(_data((pictures, LABELS), **options))


def test_a_data_set_is_checked_from_arrays(tmp_path, pictures):
    pictures[3] = pictures[0]
    result = bakeoff.check((pictures, LABELS), labels=False, out=tmp_path / "check", progress=False)
    assert result.counts["same image twice"] == 1


def test_lists_that_a_spreadsheet_has_saved_name_arrays_too(pictures):
    edits = Edits({"3": "listed", "4.0": "listed"}, {"6": "dog"})
    plan = plan_shards(open_source(_data((pictures, LABELS))), 0.1, 0, edits)
    assert [bad.key for bad in plan.quarantined] == ["00003", "00004"]
    assert [(one.key, one.given, one.label) for one in plan.relabelled] == [("00006", "cat", "dog")]
