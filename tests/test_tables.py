"""Labels in a table: which file a row means, which column holds what, and what is refused instead of guessed."""

import json
import zipfile
from collections import Counter
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from bakeoff.cli.answers import print_csv
from bakeoff.data.sources import open_source
from bakeoff.data.sources.table import read_table
from bakeoff.data.sources.trees import FolderTree
from bakeoff.errors import DataError
from bakeoff.runs.config import Data, FolderLayout

CLASSES = ("cat", "dog", "emu")


def _images(folder, names, offset=0):
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), (offset + number) % 256, np.uint8)).save(path, format="PNG")


def _names(count=12, form="{:04d}.png"):
    return [form.format(number) for number in range(count)]


def _label(number):
    return CLASSES[number % 3]


def _rows(names, *, header="id,label", label=_label):
    return "".join(f"{row}\n" for row in [header, *(f"{name},{label(number)}" for number, name in enumerate(names))])


def _open(source, images="", **options):
    return open_source(Data(source=str(source), image_folder=str(images or ""), **options))


def _found(source):
    """The class and split of each image by its key."""
    return {image.key: (source.class_names[image.label], image.split) for image in source.records()}


def _classes(source):
    return {key: label for key, (label, _) in _found(source).items()}


EXPECTED = {name: _label(number) for number, name in enumerate(_names())}


@pytest.fixture
def photos(tmp_path):
    """Twelve flat images."""
    _images(tmp_path / "photos", _names())
    return tmp_path / "photos"


# What is in a file


@pytest.mark.parametrize(
    ("suffix", "write"),
    [
        ("csv", lambda text: text.encode()),
        ("csv", lambda text: text.replace("\n", "\r\n").encode("utf-8-sig")),
        ("csv", lambda text: text.replace("\n", "\r").encode()),
        ("csv", lambda text: text.replace(",", ";").encode("utf-8-sig")),
        ("csv", lambda text: ("sep=;\n" + text.replace(",", ";")).encode()),
        ("csv", lambda text: ("sep=;\n" + text.replace(",", ";")).replace("\n", "\r").encode()),
        ("csv", lambda text: text.replace(",", "\t").encode("utf-16")),
        ("csv", lambda text: text.replace(",", "\t").encode("utf-16-le")),
        ("tsv", lambda text: text.replace(",", "\t").encode()),
        ("txt", lambda text: text.replace(",", "|").encode()),
        ("csv", lambda text: "".join(f"{line},,\n" for line in text.splitlines()).encode()),
        ("csv", lambda text: text.replace("cat", '"cat"').encode()),
        ("jsonl", lambda text: "\n".join(json.dumps(dict(zip(("id", "label"), line.split(","), strict=True)))
                                         for line in text.splitlines()[1:]).encode()),
        ("jsonl", lambda text: "\r".join(json.dumps({"id": line[:8], "label": line[9:], "note": "\u2028"})
                                         for line in text.splitlines()[1:]).encode()),
        ("json", lambda text: json.dumps([dict(zip(("id", "label"), line.split(","), strict=True))
                                          for line in text.splitlines()[1:]]).encode()),
        ("json", lambda text: json.dumps(dict(line.split(",") for line in text.splitlines()[1:])).encode()),
    ],
    ids=["comma", "bom-crlf", "cr", "semicolon", "sep-line", "sep-line-cr", "utf16", "utf16-without-mark", "tab", "bar",
         "empty-columns", "quotes", "json-lines", "json-lines-cr", "json-objects", "json-mapping"],
)  # fmt: skip
def test_tables_of_many_forms_say_the_same(tmp_path, photos, suffix, write):
    table = tmp_path / f"labels.{suffix}"
    table.write_bytes(write(_rows(_names())))
    assert _classes(_open(table, photos)) == EXPECTED
    if suffix in ("csv", "tsv", "jsonl"):
        assert _classes(_open(photos)) == EXPECTED


def test_a_list_with_spaces_between_its_values_is_read(tmp_path, photos):
    (tmp_path / "val.txt").write_text("".join(f"{name} {number % 3}\n" for number, name in enumerate(_names())))
    source = _open(tmp_path / "val.txt", photos)
    assert (source.count, source.class_names) == (12, ("0", "1", "2"))
    (tmp_path / "names.csv").write_text("name\nred cat\nold dog\n")
    assert read_table("names.csv", (tmp_path / "names.csv").read_bytes()).columns == ("name",)
    assert read_table("names.txt", b"a name,a label\nred cat.png,a b\n").rows[0] == ("red cat.png", "a b")


def test_a_parquet_file_is_read(tmp_path, photos):
    pytest.importorskip("pyarrow")
    import pyarrow
    from pyarrow import parquet

    columns = {"id": _names(), "label": list(map(_label, range(12))), "bytes": [{"bytes": b"x"}] * 12}
    columns["more"] = pyarrow.array([b"x"] * 12, pyarrow.large_binary())
    parquet.write_table(pyarrow.table(columns), tmp_path / "labels.parquet")
    source = _open(tmp_path / "labels.parquet", photos)
    assert _classes(source) == EXPECTED
    assert any("are not read, only files (column bytes, more)" in note for note in source.notes)
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(DataError, match=r"cannot read .*damaged\.parquet"):
        _open(tmp_path / "damaged.parquet", photos)


def test_parquet_names_the_extra_where_pyarrow_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pip install 'bakeoff\[parquet\]'"):
        read_table("labels.parquet", b"PAR1")


def test_cells_may_hold_line_breaks_and_delimiters(tmp_path, photos):
    lines = [f'{name},"a note,\nof two; lines",{_label(number)}' for number, name in enumerate(_names())]
    (tmp_path / "labels.csv").write_text("\n".join(["id,note,label", *lines]))
    assert _classes(_open(tmp_path / "labels.csv", photos)) == EXPECTED


def test_windows_own_encoding_is_read_and_said(tmp_path, photos):
    text = _rows(_names(), label=lambda number: ("Bär", "Maus")[number % 2])
    (tmp_path / "labels.csv").write_bytes(text.encode("cp1252"))
    source = _open(tmp_path / "labels.csv", photos)
    assert source.class_names == ("Bär", "Maus")
    assert any("read as Windows-1252" in note for note in source.notes)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("empty.csv", b"", "has no rows"),
        ("header.csv", b"id,label\n", "has no rows"),
        ("wide.csv", b"id,label\na,b\na,b,c\n", "row 2 of wide.csv has 3 values for 2 columns"),
        ("twice.csv", b"id,label,id\na,b,c\n", "two columns called id"),
        ("open.csv", b'id,label\n1,"cat\n2,dog\n', "cannot read open.csv"),
        ("labels.xlsx", b"PK", "save it as CSV"),
        ("coco.json", b'{"images": [], "annotations": []}', "neither a list of objects"),
        ("torn.jsonl", b'{"id": 1}\n{"id"', "cannot read torn.jsonl"),
        ("deep.json", b"[" * 100_000, "cannot read deep.json"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value and " " not in value else "",
)
def test_a_table_that_cannot_be_read_says_why(name, data, said):
    with pytest.raises(DataError, match=said):
        read_table(name, data)


# Which file a row means


@pytest.mark.parametrize(
    "value",
    [
        "{stem}",
        "{name}",
        "./{name}",
        "{stem}.jpeg",
        "{stem}.JPG",
        "photos/{name}",
        "../photos/{name}",
        r"C:\Users\Ann\photos\{name}",
        r"photos\{name}",
        "/kaggle/input/pets/photos/{name}",
        "file://server/photos/{name}",
    ],
)
def test_a_row_may_name_its_image_in_many_ways(tmp_path, photos, value):
    names = [value.format(name=name, stem=name[:-4]) for name in _names()]
    (tmp_path / "labels.csv").write_text(_rows(names))
    source = _open(tmp_path / "labels.csv", photos)
    assert _classes(source) == EXPECTED
    assert not any("number" in note for note in source.notes)


def test_numbers_that_lost_their_zeros_are_found_and_said(tmp_path, photos):
    (tmp_path / "labels.csv").write_text(_rows(range(12)))
    source = _open(tmp_path / "labels.csv", photos)
    assert _classes(source) == EXPECTED
    assert "images found by their number, without its zeros: 12, such as 0 is 0000.png" in "\n".join(source.notes)
    _images(photos, ["7.png", "007.png"], offset=100)
    assert _classes(_open(tmp_path / "labels.csv", photos))["7.png"] == _label(7)
    (photos / "7.png").unlink()
    with pytest.raises(DataError, match=r"several images can be meant by 7 \(0007.png or 007.png\)"):
        _open(tmp_path / "labels.csv", photos)


@pytest.mark.parametrize(
    ("suffix", "masks"),
    [(".jpg", "masks/{:03d}.png"), (".jpg", "images/{:03d}.PNG"), (".jpg", "masks/{}.png"), ("", "masks/{}.png")],
)
def test_a_missing_picture_is_not_replaced_by_its_mask(tmp_path, suffix, masks):
    _images(tmp_path / "data" / "images", _names(12, "{:03d}.jpg"))
    _images(tmp_path / "data", _names(12, masks), offset=100)
    for number in (3, 10):
        (tmp_path / "data" / "images" / f"{number:03d}.jpg").unlink()
    (tmp_path / "labels.csv").write_text(_rows(_names(12, f"{{:03d}}{suffix}")))
    source = _open(tmp_path / "labels.csv", tmp_path / "data")
    assert {key.rpartition(".")[2] for key in _classes(source)} == {"jpg"}
    assert source.count == 10
    missing = f"rows of {tmp_path / 'labels.csv'} that name no image: 2, such as 003{suffix}, 010{suffix}"
    assert missing in source.notes


def test_a_picture_under_another_suffix_than_most_is_told(tmp_path):
    _images(tmp_path / "photos", [*_names(10, "old/{:03d}.jpg"), "old/IMG_10.JPG", "new/011.png"])
    (tmp_path / "labels.csv").write_text(_rows([*_names(10, "{:03d}.jpg"), "img_10.jpg", "011.jpg"]))
    source = _open(tmp_path / "labels.csv", tmp_path / "photos")
    assert source.count == 12
    told = "other letters than most: 2, such as img_10.jpg is old/IMG_10.JPG, 011.jpg is new/011.png"
    assert f"images found under another suffix or in {told}" in source.notes


def test_a_path_tells_files_of_one_name_apart(tmp_path):
    names = [f"{folder}/{number}.png" for folder in "ab" for number in range(6)]
    _images(tmp_path / "photos", names)
    (tmp_path / "labels.csv").write_text(_rows([f"/elsewhere/photos/{name}" for name in names]))
    expected = {name: _label(number) for number, name in enumerate(names)}
    assert _classes(_open(tmp_path / "labels.csv", tmp_path / "photos")) == expected
    # Folders that all rows share say nothing where they are unknown here.
    (tmp_path / "labels.csv").write_text(_rows([f"/data/old/{name}" for name in names]))
    assert _classes(_open(tmp_path / "labels.csv", tmp_path / "photos")) == expected
    (tmp_path / "labels.csv").write_text(_rows([name.partition("/")[2] for name in names]))
    with pytest.raises(DataError, match=r"can be meant by 0\.png \(a/0\.png or b/0\.png\) and by 11 more rows"):
        _open(tmp_path / "labels.csv", tmp_path / "photos")


def test_a_name_that_is_written_in_two_forms_of_unicode_is_one(tmp_path):
    names = [f"cafe\u0301 {number}.png" for number in range(12)]
    _images(tmp_path / "photos", names)
    (tmp_path / "labels.csv").write_text(_rows([f"caf\u00e9 {number}.png" for number in range(12)]), encoding="utf-8")
    assert _open(tmp_path / "labels.csv", tmp_path / "photos").count == 12


def test_an_index_column_is_not_taken_for_the_images(tmp_path, photos):
    # The numbers of the rows name files as well, but other ones than the column of names.
    names = _names()[::-1]
    lines = [f"{number},{name},{_label(number)}" for number, name in enumerate(names)]
    (tmp_path / "labels.csv").write_text("\n".join([",file,label", *lines]))
    assert _classes(_open(tmp_path / "labels.csv", photos)) == {n: _label(i) for i, n in enumerate(names)}


@pytest.mark.parametrize("header", [",img_id,label", "Unnamed: 0,scan,label", "id,image,label", "id,photo id,label"])
@pytest.mark.parametrize(("lost", "form"), [(0, "{}"), (2, "{}"), (0, "{:03d}")])
def test_the_index_of_a_shuffled_table_is_not_taken_for_images_that_are_numbers(tmp_path, header, lost, form):
    numbers = [(5 * row + 1) % 12 for row in range(12)]
    _images(tmp_path / "photos", _names(12, "{}.png"))
    values = [form.format(number + 50 * (row < lost)) for row, number in enumerate(numbers)]
    lines = [f"{row},{value},{_label(number)}" for row, (value, number) in enumerate(zip(values, numbers, strict=True))]
    (tmp_path / "labels.csv").write_text("\n".join([header, *lines]))
    expected = {f"{number}.png": _label(number) for number in numbers[lost:]}
    assert _classes(_open(tmp_path / "labels.csv", tmp_path / "photos")) == expected


@pytest.mark.parametrize(
    ("header", "first"), [("id,shot no,label", 0), ("shot,scan,label", 5)], ids=["called id", "called neither"]
)
def test_two_columns_that_name_different_images_are_refused(tmp_path, header, first):
    _images(tmp_path / "photos", _names(12, "{}.png"))
    lines = [f"{(row + first) % 12},{(7 * row + 3) % 12},{_label(row)}" for row in range(12)]
    (tmp_path / "labels.csv").write_text("\n".join([header, *lines]))
    one, other, _ = header.split(",")
    with pytest.raises(DataError, match=f"columns {one} and {other} can both name the images, .*remove the column"):
        _open(tmp_path / "labels.csv", tmp_path / "photos")
    assert "column " + other in _open(tmp_path / "labels.csv", tmp_path / "photos", group=one).notes[0]


@pytest.mark.parametrize("header", ["id,age,label", ",age,label", "image,patient,label", "nr,patient,label"])
@pytest.mark.parametrize("other", [lambda row: row % 4 + 3, lambda row: row // 2, lambda row: row * 5 % 8])
def test_the_number_of_a_row_names_its_image_if_no_other_column_does(tmp_path, header, other):
    _images(tmp_path / "photos", _names(12, "{}.png"))
    lines = [f"{row},{other(row)},{_label(row)}" for row in range(12)]
    (tmp_path / "labels.csv").write_text("\n".join([header, *lines]))
    expected = {f"{row}.png": _label(row) for row in range(12)}
    assert _classes(_open(tmp_path / "labels.csv", tmp_path / "photos")) == expected


def test_rows_and_images_that_do_not_fit_are_counted_and_named(tmp_path, photos):
    text = _rows([*_names(10), "lost1", "lost2"], label=lambda number: "" if number == 3 else _label(number))
    (tmp_path / "labels.csv").write_text(text + "0001.png,dog\n,cat\n")
    source = _open(tmp_path / "labels.csv", photos)
    assert source.count == 9
    notes = "\n".join(source.notes)
    assert "that name no image: 3, such as lost1, lost2, a row without a name" in notes
    assert "without a label, whose images are left out: 1, such as 0003.png" in notes
    assert "with the same label: 1, such as 0001.png" in notes
    assert "does not name, left out: 2, such as 0010.png, 0011.png" in notes


def test_an_image_with_two_labels_is_refused(tmp_path, photos):
    (tmp_path / "labels.csv").write_text(_rows(_names()) + "0001.png,emu\n")
    with pytest.raises(DataError, match=r"contradict each other: 0001\.png \(dog and emu\)"):
        _open(tmp_path / "labels.csv", photos)


def test_a_table_of_other_images_is_refused(tmp_path, photos):
    (tmp_path / "labels.csv").write_text(_rows([*_names(5), *_names(7, "other{}.png")]))
    with pytest.raises(DataError, match=r"of 12 rows, 5 name an image in .*photos \(column id; not found: other0\.png"):
        _open(tmp_path / "labels.csv", photos)


# Which column holds what


@pytest.mark.parametrize(
    ("header", "row", "label"),
    [
        ("image,Breed,weight", "{name},{label},{number}", ""),
        ("weight,the kind of it,path", "{number},{label},{name}", "the kind of it"),
        ("file_name,animal", "{name},{label}", ""),
        ("id,class_id,class_name", "{name},{code},{label}", ""),
        ("file,x,y,class", "{name},{number},{number},{label}", ""),
        ("Unnamed: 0,img,animal", "{number},{name},{label}", ""),
    ],
)
def test_columns_are_found_by_what_they_hold(tmp_path, photos, header, row, label):
    lines = [row.format(name=n, label=_label(i), number=i, code=i % 3) for i, n in enumerate(_names())]
    (tmp_path / "labels.csv").write_text("\n".join([header, *lines]))
    assert _classes(_open(tmp_path / "labels.csv", photos, label=label)) == EXPECTED


@pytest.mark.parametrize(
    ("header", "row", "label", "said"),
    [
        ("id,weight,animal", "{name},{number}7,{label}", "", "columns weight, animal are left.*--label COLUMN"),
        ("id,breed,species", "{name},{label},{half}", "", "breed, species can be the labels.*--label COLUMN"),
        ("id,label", "{name},{label}", "lable", "no such column; did you mean label"),
        ("id", "{name}", "", "there is no column of labels"),
        ("id,title", "{name},title {number}", "", "12 different values for 12 images"),
        ("id,label,split", "{name},{label},extra", "", "column split holds extra, which is no split"),
        ("id,label,split", "{name},{label},test", "", "gives no image to train on"),
        ("id,red,round", "{name},1,{half}", "", r"row 2 has several labels \(red, round\)"),
        ("id,red,round", "{name},0,0", "", "row 1 has no label"),
        ("id,label", "{name},", "", "column label has no label for any image"),
    ],
    ids=["unclear", "two", "misspelled", "none", "titles", "odd-split", "no-train", "several", "zeros", "empty"],
)
def test_labels_are_never_guessed(tmp_path, photos, header, row, label, said):
    lines = [row.format(name=n, label=_label(i), number=i, half=i % 2) for i, n in enumerate(_names())]
    (tmp_path / "labels.csv").write_text("\n".join([header, *lines]))
    with pytest.raises(DataError, match=said) as caught:
        _open(tmp_path / "labels.csv", photos, label=label)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([10, 2, 1], ("1", "2", "10")),
        (["1.0", "10.0", "2.0"], ("1", "2", "10")),
        (["1", "1.0", "0"], ("0", "1")),
        (["0.5", "-1", "10"], ("-1", "0.5", "10")),
        (["10", "2", "b"], ("10", "2", "b")),
        (["007", "010", "009"], ("007", "009", "010")),
    ],
    ids=["whole", "floats", "mixed", "fractions", "texts", "zeros"],
)
def test_numbers_as_labels_keep_their_order(tmp_path, photos, labels, classes):
    (tmp_path / "labels.csv").write_text(_rows(_names(), label=lambda number: labels[number % 3]))
    assert _open(tmp_path / "labels.csv", photos).class_names == classes


def test_columns_of_zeros_and_a_one_are_classes(tmp_path, photos):
    hot = ["1.0,0.0,0.0", "0.0,1.0,0.0", "0.0,0.0,1.0"]
    (tmp_path / "labels.csv").write_text(_rows(_names(), header="image,cat,dog,emu", label=lambda n: hot[n % 3]))
    source = _open(tmp_path / "labels.csv", photos)
    assert _classes(source) == EXPECTED
    assert "column image -> the one of 3 columns that is 1" in source.notes[0]


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("Split", {"train": "TRAIN", "val": "validation", "test": "Testing"}),
        ("fold of mine", {"train": "train", "val": "dev", "test": "test"}),
        ("Usage", {"train": "Training", "test": "PublicTest"}),
        ("is_test", {"train": "False", "test": "True"}),
        ("is_valid", {"train": "0.0", "val": "1.0"}),
        ("is_test", {"train": "no", "test": "yes"}),
        ("is_train", {"train": "1", "test": "0"}),
        ("train", {"train": "True", "test": "False"}),
        ("Train,Test", {"train": "Y,N", "test": "N,Y"}),
        ("is_training_image", {"train": "1", "test": "0"}),
        ("is_val,isTest", {"train": "0,0", "val": "1,0", "test": "0,1"}),
        ("is_train,is_val", {"train": "1,0", "val": "0,1", "test": "0,0"}),
        ("is_train,is_test", {"train": "1,0", "val": "0,0", "test": "0,1"}),
        ("is_train,is_val,is_test", {"train": "1,0,0", "val": "0,1,0", "test": "0,0,1"}),
    ],
)
def test_a_column_of_splits_is_kept(tmp_path, photos, header, values):
    splits = list(values)
    lines = [f"{n},{_label(i)},{values[splits[i // 3 % len(splits)]]}" for i, n in enumerate(_names())]
    (tmp_path / "labels.csv").write_text("\n".join([f"id,label,{header}", *lines]))
    source = _open(tmp_path / "labels.csv", photos)
    assert {key: split for key, (_, split) in _found(source).items()} == {
        name: splits[number // 3 % len(splits)] for number, name in enumerate(_names())
    }
    assert any("splits are given by" in note for note in source.notes)


def test_a_column_of_yes_and_no_that_gives_the_splits_is_named(tmp_path, photos):
    lines = [f"{name},{_label(row)},{int(row < 9)}" for row, name in enumerate(_names())]
    (tmp_path / "labels.csv").write_text("\n".join(["id,label,is_train", *lines]))
    assert _open(tmp_path / "labels.csv", photos).notes[0].endswith("column id -> label, splits by is_train")


def test_a_column_called_test_alone_is_the_result_of_one(tmp_path, photos):
    lines = [f"{name},{_label(row)},{int(row < 9)}" for row, name in enumerate(_names())]
    (tmp_path / "labels.csv").write_text("\n".join(["id,label,test", *lines]))
    source = _open(tmp_path / "labels.csv", photos)
    assert source.notes[0].endswith("columns not used: test")
    assert {split for _, split in _found(source).values()} == {None}


def test_a_class_called_train_is_no_column_of_splits(tmp_path, photos):
    hot = ["1,0,0", "0,1,0", "0,0,1"]
    text = _rows(_names(), header="image,plane,train,test", label=lambda number: hot[number % 3])
    (tmp_path / "labels.csv").write_text(text)
    source = _open(tmp_path / "labels.csv", photos)
    assert source.class_names == ("plane", "test", "train")
    assert {split for _, split in _found(source).values()} == {None}


@pytest.mark.parametrize(
    ("header", "values", "said"),
    [
        ("partition", ("0", "1", "2"), "column partition holds 0, 1, 2, which is no split; write train, val or test"),
        ("partition", ("0", "2", "0"), "column partition holds 0, 2, which is no split"),
        ("Subset", ("A", "B", "B"), "column Subset holds A, B, which is no split"),
        ("is_test", ("1", "0", "maybe"), "column is_test holds maybe, which is neither yes nor no; write 1 or 0"),
        ("is_train,is_test", ("1,0", "0,1", "1,1"), "row 3 is in several splits by its columns is_train, is_test"),
        ("is_train,is_val,is_test", ("1,0,0", "0,0,0", "0,1,0"), "row 2 is in no split by its columns"),
        ("is_train", ("0", "0", "0"), "column is_train gives no image to train on"),
    ],
)
def test_a_column_that_must_hold_splits_and_cannot_be_read_is_refused(tmp_path, photos, header, values, said):
    lines = [f"{name},{_label(row)},{values[row % 3]}" for row, name in enumerate(_names())]
    (tmp_path / "labels.csv").write_text("\n".join([f"id,label,{header}", *lines]))
    with pytest.raises(DataError, match=said):
        _open(tmp_path / "labels.csv", photos)


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("dataset", ("here", "there", "there")),
        ("subset", ("all", "all", "all")),
        ("phase", ("1", "2", "3")),
        ("test", ("4", "5", "6")),
        ("is_red", ("1", "0", "maybe")),
        ("valid", ("1", "0", "1")),
    ],
)
def test_a_column_that_may_hold_something_else_than_splits_is_not_used_and_named(tmp_path, photos, header, values):
    lines = [f"{name},{_label(row)},{values[row % 3]}" for row, name in enumerate(_names())]
    (tmp_path / "labels.csv").write_text("\n".join([f"id,label,{header}", *lines]))
    source = _open(tmp_path / "labels.csv", photos)
    assert {split for _, split in _found(source).values()} == {None}
    assert source.notes[0].endswith(f"columns not used: {header}")


@pytest.mark.parametrize(("column", "told"), [("patient_id", True), ("Group", True), ("weight", False)])
def test_a_column_that_may_hold_groups_is_pointed_out(tmp_path, photos, column, told):
    rows = "".join(f"{name},{_label(number)},p{number // 2}\n" for number, name in enumerate(_names()))
    (tmp_path / "t.csv").write_text(f"id,label,{column}\n{rows}")
    notes = " ".join(_open(tmp_path / "t.csv", photos).notes)
    assert (f"--group {column} keeps them together" in notes) == told
    assert "keeps them together" not in " ".join(_open(tmp_path / "t.csv", photos, group=column).notes)


def test_a_column_of_groups_is_kept(tmp_path, photos):
    lines = [f"{n},{_label(i)},p{i // 4}" for i, n in enumerate(_names())]
    (tmp_path / "labels.csv").write_text("\n".join(["id,label,patient", *lines]))
    source = _open(tmp_path / "labels.csv", photos, group="patient")
    assert Counter(image.group for image in source.records()) == {"p0": 4, "p1": 4, "p2": 4}
    assert "columns not used" not in source.notes[0]
    assert _open(tmp_path / "labels.csv", photos).notes[0].endswith("columns not used: patient")


@pytest.mark.parametrize("ways", [("7.0", "7"), ("Zo\u00e9", "Zoe\u0301")])
def test_a_group_that_is_written_in_two_ways_is_one(tmp_path, photos, ways):
    groups = [*ways, "8", "", *["9"] * 8]
    lines = [f"{name},{_label(i)},{group}" for i, (name, group) in enumerate(zip(_names(), groups, strict=True))]
    (tmp_path / "labels.csv").write_text("\n".join(["id,label,patient", *lines]))
    found = [image.group for image in _open(tmp_path / "labels.csv", photos, group="patient").records()]
    assert found[0] == found[1]
    assert found[2:5] == ["8", None, "9"]


@pytest.mark.parametrize("form", ["{:04d}.png", "{:04d}"])
def test_a_table_without_names_of_columns_loses_no_row(tmp_path, photos, form):
    (tmp_path / "labels.csv").write_text(_rows(_names(form=form)).partition("\n")[2])
    source = _open(tmp_path / "labels.csv", photos)
    assert _classes(source) == EXPECTED
    assert any("has no names of columns" in note for note in source.notes)


def test_classes_that_look_like_several_labels_are_told(tmp_path, photos):
    for both in ("cat|dog", "cat dog"):
        labels = ("cat", "dog", both)
        (tmp_path / "labels.csv").write_text(_rows(_names(), label=lambda number, labels=labels: labels[number % 3]))
        notes = _open(tmp_path / "labels.csv", photos).notes
        assert f"classes that look like several labels, each learned as one class: {both}" in notes


@pytest.mark.parametrize("form", ['["{}"]', "['{}']", '["{0}", "{0}"]', "['{0}' '{0}']"])
def test_a_label_that_stands_alone_in_a_list_is_that_label(tmp_path, photos, form):
    cells = [form.format(_label(number)).replace('"', '""') for number in range(12)]
    (tmp_path / "labels.csv").write_text(_rows(_names(), label=lambda number: f'"{cells[number]}"'))
    assert _classes(_open(tmp_path / "labels.csv", photos)) == EXPECTED


def test_an_empty_list_is_no_label(photos):
    rows = [{"file_name": name, "label": [_label(number)][:number]} for number, name in enumerate(_names())]
    (photos / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    source = _open(photos)
    assert _classes(source) == {name: label for name, label in EXPECTED.items() if name != "0000.png"}
    assert any("without a label, whose images are left out: 1, such as 0000.png" in note for note in source.notes)


@pytest.mark.parametrize("cell", ['["cat", "dog"]', "['cat', 'dog']", "['cat' 'dog']", "['cat'\n 'dog']"])
def test_several_labels_in_a_list_are_refused(tmp_path, photos, cell):
    quoted = cell.replace('"', '""')
    (tmp_path / "labels.csv").write_text(_rows(_names(), label=lambda number: f'"{quoted}"' if number == 4 else "cat"))
    with pytest.raises(DataError, match=r"row 5 has several labels \(cat, dog\) in column label.*--label COLUMN"):
        _open(tmp_path / "labels.csv", photos)


def test_several_labels_in_a_list_of_json_or_parquet_are_refused(tmp_path, photos):
    rows = [{"file_name": name, "label": ["cat", "dog"][: 1 + number % 2]} for number, name in enumerate(_names())]
    for name, text in (("labels.jsonl", "\n".join(map(json.dumps, rows))), ("labels.json", json.dumps(rows))):
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match=r"row 2 has several labels \(cat, dog\)"):
            _open(tmp_path / name, photos)
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "labels.parquet")
    with pytest.raises(DataError, match=r"row 2 has several labels \(cat, dog\)"):
        _open(tmp_path / "labels.parquet", photos)


def test_brackets_may_be_a_part_of_a_class(tmp_path, photos):
    classes = ("[cat]", "[dog] 'a'", "[it's]")
    (tmp_path / "labels.csv").write_text(_rows(_names(), label=lambda number: classes[number % 3]))
    assert _open(tmp_path / "labels.csv", photos).class_names == classes


# A table that is found


def test_an_image_of_the_test_folder_never_gets_the_label_of_a_missing_one(tmp_path):
    _images(tmp_path / "train", _names()[1:])
    _images(tmp_path / "test", _names(), offset=100)
    (tmp_path / "train.csv").write_text(_rows(_names()))
    for place in (tmp_path, tmp_path / "train", tmp_path / "train.csv"):
        source = _open(place)
        assert source.count == 11
        assert any("that name no image: 1, such as 0000.png" in note for note in source.notes)
    with pytest.raises(DataError, match="holds images but no class folders"):
        _open(tmp_path / "test")


def test_a_table_of_few_of_its_images_says_so(tmp_path):
    _images(tmp_path / "train", _names(5))
    _images(tmp_path / "test", _names(5), offset=100)
    (tmp_path / "train.csv").write_text(_rows(_names()))
    with pytest.raises(DataError, match=r"train\.csv: of 12 rows, 5 name an image"):
        _open(tmp_path)
    with (
        pytest.raises(DataError, match=r"cannot read .*train\.csv"),
        mock.patch.object(FolderTree, "head", side_effect=PermissionError(13, "Permission denied")),
    ):
        _open(tmp_path)


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("train_images", "test_images"), ("Train", "TEST")])
def test_kaggles_folders_are_read_by_their_table(tmp_path, train, test):
    _images(tmp_path / train, _names())
    _images(tmp_path / test, _names(), offset=100)
    (tmp_path / "train_labels.csv").write_text(_rows(_names()))
    (tmp_path / "test.csv").write_text("id,label\n")
    (tmp_path / "sample_submission.csv").write_text(_rows(_names(), label=lambda _: "cat"))
    for place in (tmp_path, tmp_path / "train_labels.csv", tmp_path / train):
        source = _open(place)
        assert {key.rpartition("/")[2]: label for key, label in _classes(source).items()} == EXPECTED
        assert len(_found(source)) == 12
        assert "train_labels.csv: column id -> label" in source.notes[0]
    (note,) = [note for note in _open(tmp_path).notes if test in note]
    assert "12 images" in note
    assert "bakeoff predict" in note


@pytest.mark.parametrize("table", ["archive/labels.csv", "archive/annotations/labels.csv"])
@pytest.mark.parametrize("images", ["archive/images", "archive/train/train"])
def test_a_table_deeper_inside_is_found(tmp_path, table, images):
    _images(tmp_path / images, _names())
    _images(tmp_path / "archive" / "test" / "test", [f"t{name}" for name in _names(5)], offset=100)
    (tmp_path / table).parent.mkdir(exist_ok=True)
    (tmp_path / table).write_text(_rows(_names()))
    source = _open(tmp_path)
    assert _classes(source) == {f"{images}/{name}": label for name, label in EXPECTED.items()}
    assert any("archive/test (5 images); nothing uses them" in note for note in source.notes)


@pytest.mark.parametrize("place", ["", "images", "labels.csv"])
@pytest.mark.parametrize("header", ["id,label", "Datei,Tierart"])
def test_a_table_beside_a_folder_of_images_is_found(tmp_path, place, header, monkeypatch):
    _images(tmp_path / "images", _names())
    (tmp_path / "labels.csv").write_text(_rows(_names(), header=header))
    assert sorted(_classes(_open(tmp_path / place)).values()) == sorted(EXPECTED.values())
    if place == "images":
        monkeypatch.chdir(tmp_path / "images")
        assert _classes(_open(".")) == EXPECTED


@pytest.mark.parametrize("folder", ["data", ""])
def test_hugging_faces_metadata_is_read(tmp_path, folder):
    for split, count in (("train", 12), ("test", 6)):
        _images(tmp_path / folder / split, _names(count), offset=len(split))
        lines = [json.dumps({"file_name": n, "label": i % 3}) for i, n in enumerate(_names(count))]
        (tmp_path / folder / split / "metadata.jsonl").write_text("\n".join(lines))
    source = _open(tmp_path)
    assert Counter(split for _, split in _found(source).values()) == {"train": 12, "test": 6}
    assert source.class_names == ("0", "1", "2")
    assert any("splits are given by folders: train, test" in note for note in source.notes)


def test_hugging_faces_test_images_may_have_no_labels(tmp_path):
    for split, text in (
        ("train", _rows(_names(), header="file_name,animal")),
        ("test", "\n".join(["file_name", *_names()])),
    ):
        _images(tmp_path / split, _names(), offset=len(split))
        (tmp_path / split / "metadata.csv").write_text(text)
    source = _open(tmp_path)
    assert _classes(source) == {f"train/{name}": label for name, label in EXPECTED.items()}
    assert "not used, for it has other columns: test/metadata.csv" in source.notes


def test_metadata_in_the_folder_itself_is_read(photos):
    (photos / "metadata.csv").write_text(_rows(_names(), header="file_name,label"))
    assert _classes(_open(photos)) == EXPECTED


@pytest.mark.parametrize("header", ["id,label", "id,animal", ""])
def test_a_table_for_each_split_makes_the_splits(tmp_path, header):
    _images(tmp_path / "images", _names(24))
    for number, split in enumerate(("train", "valid", "test")):
        text = _rows(_names(24)[8 * number : 8 * number + 8], header=header)
        (tmp_path / f"{split}_labels.csv").write_text(text.lstrip())
    source = _open(tmp_path)
    assert Counter(split for _, split in _found(source).values()) == {"train": 8, "val": 8, "test": 8}


def test_a_table_of_test_images_without_labels_is_not_used(tmp_path):
    for folder, offset in (("train", 0), ("test", 100)):
        _images(tmp_path / folder, _names(), offset=offset)
    (tmp_path / "train.csv").write_text(_rows(_names(), header="id,animal"))
    (tmp_path / "test.csv").write_text("\n".join(["id", *_names()]))
    source = _open(tmp_path)
    assert source.count == 12
    assert "not used, for it has other columns: test.csv" in source.notes
    assert all(key.startswith("train/") and split is None for key, (_, split) in _found(source).items())
    assert not any(note.startswith("splits are given") for note in source.notes)


def test_a_table_of_other_images_beside_those_of_the_splits_is_not_used(tmp_path):
    for offset, split in enumerate(("Train", "Test", "Meta")):
        names = [f"{split}/{name}" for name in _names()]
        _images(tmp_path, names, offset=20 * offset)
        (tmp_path / f"{split}.csv").write_text(_rows(names, header="Path,ClassId"))
    source = _open(tmp_path)
    assert Counter(split for _, split in _found(source).values()) == {"train": 12, "test": 12}
    assert "not used, for it names other images: Meta.csv" in source.notes
    (tmp_path / "Meta.csv").write_text(_rows([f"Train/{name}" for name in _names()], header="Path,ClassId"))
    with pytest.raises(DataError, match=r"labels can be in Meta\.csv or in Test\.csv or in Train\.csv"):
        _open(tmp_path)


def test_two_tables_of_one_split_are_refused(tmp_path):
    _images(tmp_path / "images", _names(36))
    names = _names(36)
    tables = {"clean_train.csv": names[:12], "noisy_train.csv": names[12:24], "test.csv": names[24:]}
    for table, part in tables.items():
        (tmp_path / table).write_text(_rows(part))
    told = r"labels can be in clean_train\.csv or in noisy_train\.csv or in test\.csv; give one"
    with pytest.raises(DataError, match=told):
        _open(tmp_path)
    other = _rows(names[12:24], header="id,label,annotator", label=lambda number: f"{_label(number)},1")
    (tmp_path / "noisy_train.csv").write_text(other)
    with pytest.raises(DataError, match=told):
        _open(tmp_path)
    (tmp_path / "noisy_train.csv").rename(tmp_path / "noisy_test.csv")
    with pytest.raises(DataError, match=r"clean_train\.csv or in noisy_test\.csv or in test\.csv; give one"):
        _open(tmp_path)


def test_two_tables_of_test_images_without_labels_are_not_used(tmp_path):
    for folder, offset in (("train", 0), ("test", 100)):
        _images(tmp_path / folder, _names(), offset=offset)
    (tmp_path / "train.csv").write_text(_rows(_names(), header="id,animal"))
    for name in ("test", "test_sizes"):
        (tmp_path / f"{name}.csv").write_text("\n".join(["id", *_names()]))
    source = _open(tmp_path)
    assert source.count == 12
    assert [note for note in source.notes if note.startswith("not used, for it has other columns")] == [
        "not used, for it has other columns: test.csv",
        "not used, for it has other columns: test_sizes.csv",
    ]


def test_folders_of_pieces_are_no_classes_beside_a_table(tmp_path):
    for number, name in enumerate(_names()):
        _images(tmp_path / f"scans_images_part_{number % 2}", [name], offset=number)
    (tmp_path / "metadata.csv").write_text(_rows(_names(), header="image_id,dx"))
    assert _open(tmp_path).class_names == CLASSES
    (tmp_path / "metadata.csv").unlink()
    with pytest.raises(DataError, match=r"folders \(scans_images_part_0, scans_images_part_1\) say nothing of what"):
        _open(tmp_path)


def test_folders_that_hold_copies_are_no_classes_beside_a_table_of_their_images(tmp_path):
    for folder in ("new", "old"):
        _images(tmp_path / folder, _names())
    (tmp_path / "metadata.csv").write_text(_rows(_names(), header="image_id,dx"))
    said = r"by 0000\.png \(new/0000\.png or old/0000\.png\) and by 11 more rows.*remove copies.*--layout classes"
    with pytest.raises(DataError, match=said):
        _open(tmp_path)
    assert _open(tmp_path, layout=FolderLayout.CLASSES).class_names == ("new", "old")


def test_the_name_of_a_table_is_no_split_where_its_rows_say_otherwise(tmp_path):
    _images(tmp_path / "photos" / "train", _names()[:9])
    _images(tmp_path / "photos" / "test", _names()[9:], offset=100)
    (tmp_path / "my test labels.csv").write_text(_rows(_names()))
    source = _open(tmp_path / "my test labels.csv", tmp_path / "photos")
    assert Counter(split for _, split in _found(source).values()) == {"train": 9, "test": 3}


def _split_again(row):
    return ("train", "train", "val", "test")[row % 4]


def _rows_with_splits(names):
    lines = [f"{name},{_label(row)},{_split_again(row)}" for row, name in enumerate(names)]
    return "\n".join(["file,label,split", *lines])


def test_the_splits_of_a_table_are_kept_where_all_its_images_are_in_the_folder_of_training(tmp_path):
    _images(tmp_path / "train", _names(24))
    _images(tmp_path / "test", [f"t{name}" for name in _names()], offset=100)
    (tmp_path / "labels.csv").write_text(_rows_with_splits(_names(24)))
    source = _open(tmp_path)
    expected = {f"train/{name}": (_label(row), _split_again(row)) for row, name in enumerate(_names(24))}
    assert _found(source) == expected
    assert not any("name no image" in note for note in source.notes)
    # A row of test can mean the picture of either folder.
    _images(tmp_path / "test", _names(24), offset=100)
    with pytest.raises(DataError, match=r"can be meant by 0002\.png \(test/0002\.png or train/0002\.png\)"):
        _open(tmp_path)


@pytest.mark.parametrize(("labelled", "unlabelled"), [("test", "val"), ("val", "test")])
def test_a_row_of_one_split_means_the_picture_in_its_folder(tmp_path, labelled, unlabelled):
    rows = []
    for split, count, offset in (("train", 12, 0), (labelled, 9, 100)):
        _images(tmp_path / split, _names(count), offset=offset)
        rows += [f"{name},{_label(row)},{split}" for row, name in enumerate(_names(count))]
    (tmp_path / "train" / "0001.png").unlink()
    _images(tmp_path / unlabelled, _names(), offset=200)
    (tmp_path / "labels.csv").write_text("\n".join(["file,label,split", *rows]))
    source = _open(tmp_path)
    assert Counter((key.partition("/")[0], split) for key, (_, split) in _found(source).items()) == {
        ("train", "train"): 11,
        (labelled, labelled): 9,
    }
    assert "rows of labels.csv that name no image: 1, such as 0001.png" in source.notes


@pytest.mark.parametrize("wrapper", ["test", "test/data"])
def test_a_wrapper_that_is_called_like_a_split_does_not_hide_the_splits_inside(tmp_path, wrapper):
    names = [f"{split}/{number}.png" for split in ("train", "val", "test") for number in range(6)]
    _images(tmp_path / wrapper, names)
    (tmp_path / wrapper / "labels.csv").write_text(_rows(names))
    with zipfile.ZipFile(tmp_path / "test.zip", "w") as archive:
        for path in [*names, "labels.csv"]:
            archive.write(tmp_path / wrapper / path, f"{wrapper}/{path}")
    source = _open(tmp_path / "test.zip")
    assert Counter(split for _, split in _found(source).values()) == {"train": 6, "val": 6, "test": 6}
    assert "splits are given by folders: train, val, test" in source.notes


def test_a_table_that_is_needed_and_damaged_says_so(tmp_path, photos):
    (tmp_path / "labels.csv").write_text(_rows(_names()) + "0001.png,cat,or dog\n")
    for options in ({}, {"label": "label"}):
        with pytest.raises(DataError, match=r"row 13 of .*labels\.csv has 3 values for 2 columns"):
            _open(photos, **options)


@pytest.mark.parametrize("place", ["photos", "photos/labels.csv", "labels.csv"])
def test_a_table_whose_first_rows_cannot_be_read_says_so_where_there_are_no_other_labels(tmp_path, photos, place):
    table = photos / "labels.csv" if "/" in place else tmp_path / "labels.csv"
    table.write_text(_rows([f"{name},1" for name in _names()], header="id,id,label"))
    for options in ({}, {"label": "label"}):
        with pytest.raises(DataError, match=r"labels\.csv has two columns called id; rename one$"):
            _open(tmp_path if place == "labels.csv" else photos, **options)
    # Where the images have other labels, a table that may be about anything does not matter.
    _images(tmp_path / "classes", [f"{_label(number)}/{name}" for number, name in enumerate(_names())])
    (tmp_path / "classes" / "labels.csv").write_text(table.read_text())
    assert set(_classes(_open(tmp_path / "classes")).values()) == set(CLASSES)


def test_an_unreadable_table_of_something_else_does_not_hide_what_is_wrong_with_the_folders(tmp_path):
    _images(tmp_path, [f"{name}/{number}.png" for name in ("train", "plane", "boat") for number in range(3)])
    (tmp_path / "log.csv").write_text("step,loss,loss\n1,2,3\n")
    with pytest.raises(DataError, match=r"train can be a split.*; or mend a table: log\.csv has two columns"):
        _open(tmp_path)


def _one_hot(names):
    hot = ["1, 0, 0", "0, 1, 0", "0, 0, 1"]
    return _rows(names, header="filename, cat, dog, emu", label=lambda number: f" {hot[number % 3]}")


@pytest.mark.parametrize("inside", ["", "images/"])
@pytest.mark.parametrize(("name", "write"), [("_classes.csv", _one_hot), ("labels.csv", _rows)])
def test_a_table_among_the_images_of_each_split_is_found(tmp_path, inside, name, write):
    for offset, (split, count) in enumerate((("train", 12), ("valid", 6), ("test", 6))):
        _images(tmp_path / "export" / split, [f"{inside}{each}" for each in _names(count)], offset=20 * offset)
        (tmp_path / "export" / split / name).write_text(write(_names(count)))
    source = _open(tmp_path)
    assert _found(source) == {
        f"export/{folder}/{inside}{each}": (_label(row), split)
        for folder, split, count in (("train", "train", 12), ("valid", "val", 6), ("test", "test", 6))
        for row, each in enumerate(_names(count))
    }


def test_a_table_among_images_whose_folder_is_no_class_is_found(tmp_path):
    _images(tmp_path / "images", _names())
    _images(tmp_path / "masks", _names(12, "mask{}.png"), offset=50)
    (tmp_path / "images" / "labels.csv").write_text(_rows(_names()))
    assert _classes(_open(tmp_path)) == {f"images/{name}": label for name, label in EXPECTED.items()}


def test_a_table_is_bounded(monkeypatch, tmp_path, photos):
    from bakeoff.data.sources import beside, table

    for module in (beside, table):
        monkeypatch.setattr(module, "LIMIT_BYTES", 100)
    (tmp_path / "labels.csv").write_text(_rows(_names()))
    for place in (photos, tmp_path / "labels.csv"):
        with pytest.raises(DataError, match=r"labels\.csv has more than 100 bytes"):
            _open(place, photos if place.is_file() else "")


def test_of_several_tables_none_is_chosen(photos):
    (photos / "labels.csv").write_text(_rows(_names()))
    (photos / "labels_v2.csv").write_text(_rows(_names(), label=lambda number: CLASSES[number % 2]))
    with pytest.raises(DataError, match=r"labels can be in labels\.csv or in labels_v2\.csv; give one"):
        _open(photos)
    (photos / "labels_v2.csv").write_text(_rows(_names(), header="id,weight"))
    assert _classes(_open(photos)) == EXPECTED


def test_class_folders_beside_a_table_stay_class_folders(tmp_path):
    names = [f"{_label(number)}/{name}" for number, name in enumerate(_names())]
    _images(tmp_path, names)
    plain = _open(tmp_path)
    (tmp_path / "notes.csv").write_text("day,weather\n1,rain\n")
    (tmp_path / "sizes.csv").write_text(_rows(names, header="file,bytes", label=lambda number: 100 * number))
    assert _open(tmp_path).signature == plain.signature
    (tmp_path / "labels.csv").write_text(_rows(names))
    source = _open(tmp_path)
    assert _classes(source) == _classes(plain)
    assert "labels from folders; not used: labels.csv" in source.notes
    (tmp_path / "labels.csv").write_text(_rows(names, label=lambda number: ("sick", "well")[number // 6]))
    with pytest.raises(DataError, match=r"\(cat, dog, emu\) or those of labels\.csv \(sick, well\).*--label label"):
        _open(tmp_path)
    assert _classes(_open(tmp_path, layout=FolderLayout.CLASSES)) == _classes(plain)
    assert set(_classes(_open(tmp_path / "labels.csv")).values()) == {"sick", "well"}
    assert set(_classes(_open(tmp_path, label="label")).values()) == {"sick", "well"}


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("patient,split", " (--label label --group patient takes labels, splits and groups from tables)"),
        ("weight,split", " (--label label takes labels and splits from tables)"),
        ("patient,weight", " (--label label --group patient takes labels and groups from tables)"),
        ("weight", ""),
    ],
)
def test_splits_and_groups_of_a_table_beside_class_folders_are_offered(tmp_path, columns, told):
    names = [f"{_label(number)}/{name}" for number, name in enumerate(_names(24))]
    _images(tmp_path, names)
    lines = [f"file,label,{columns}"]
    for row, name in enumerate(names):
        values = {"patient": f"p{row // 2}", "split": ("train", "train", "test")[row // 3 % 3], "weight": "7"}
        lines.append(",".join([name, _label(row), *(values[column] for column in columns.split(","))]))
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    assert _open(tmp_path).notes[-1] == f"labels from folders; not used: labels.csv{told}"
    source = _open(tmp_path, label="label", group="patient" if "patient" in columns else "")
    assert {split for _, split in _found(source).values()} == ({"train", "test"} if "split" in columns else {None})


@pytest.mark.parametrize(
    ("header", "mend"), [("file,label,patient", "--label label"), ("file,weight,patient", "a column of labels")]
)
def test_a_group_that_is_a_column_of_a_table_beside_class_folders_says_how_to_use_it(tmp_path, header, mend):
    names = [f"{_label(number)}/{name}" for number, name in enumerate(_names())]
    _images(tmp_path, names)
    lines = [f"{name},{_label(row)},p{row // 2}" for row, name in enumerate(names)]
    (tmp_path / "labels.csv").write_text("\n".join([header, *lines]))
    said = rf"--group patient is a column of labels\.csv, but the labels are from folders; add {mend}"
    with pytest.raises(DataError, match=said):
        _open(tmp_path, group="patient")


def test_a_table_of_something_else_is_not_taken_for_labels(tmp_path):
    names = [f"{folder}/{name}" for folder in ("train", "plane", "boat") for name in _names(4)]
    _images(tmp_path, names)
    (tmp_path / "cameras.csv").write_text(_rows(names, header="file,camera"))
    with pytest.raises(DataError, match="train can be a split, or a class beside boat, plane"):
        _open(tmp_path)


def test_tables_about_class_folders_do_not_disturb(tmp_path):
    names = [f"Train/{_label(number)}/{name}" for number, name in enumerate(_names())]
    _images(tmp_path, names)
    _images(tmp_path / "Test", _names(3), offset=100)
    (tmp_path / "Train.csv").write_text(_rows(names, header="Path,ClassId", label=lambda number: number % 3))
    (tmp_path / "Test.csv").write_text(_rows([f"Test/{name}" for name in _names(3)], header="Path,ClassId"))
    boxes = _rows(names, header="file,class,x", label=lambda number: f"eye,{number}")
    (tmp_path / "boxes.csv").write_text(boxes + _rows(names, label=lambda number: f"ear,{number}").partition("\n")[2])
    (tmp_path / "damaged.csv").write_text("file,class\n" + 60 * "Train/cat/0000.png,cat,or\n")
    (tmp_path / "labels.parquet").write_bytes(b"PAR1 and nothing else")
    (tmp_path / "findings.csv").write_text("kind,split,id,label\ngrey,train,Train/cat/0000.png,dog\n")
    source = _open(tmp_path)
    assert set(_classes(source).values()) == set(CLASSES)
    assert source.notes[-1] == (
        "labels from folders; not used: Test.csv, Train.csv, boxes.csv"
        " (--label ClassId takes labels and splits from tables)"
    )


def test_the_answers_of_predict_are_no_labels_unless_they_are_given(photos, capsys):
    named = [SimpleNamespace(label=_label(number // 2), probability=0.5) for number in range(12)]
    print_csv(
        SimpleNamespace(path=f"photos/{name}", top=[one], error=None, unsure=None)
        for name, one in zip(_names(), named, strict=True)
    )
    (photos / "named.csv").write_text(capsys.readouterr().out)
    with pytest.raises(DataError, match="holds images but no class folders"):
        _open(photos)
    (photos / "labels.csv").write_text(_rows(_names()))
    assert _classes(_open(photos)) == EXPECTED
    assert list(_classes(_open(photos / "named.csv")).values()) == [one.label for one in named]


def test_options_that_do_not_fit_are_refused(tmp_path, photos):
    (tmp_path / "labels.csv").write_text(_rows(_names()))
    for options, said in (
        ({"source": photos, "images": photos}, "is no table"),
        ({"source": tmp_path / "labels.csv", "images": tmp_path / "nowhere"}, "nowhere is no folder and no archive"),
        ({"source": tmp_path / "labels.csv", "layout": FolderLayout.CLASSES}, "so leave it out"),
        ({"source": photos, "layout": FolderLayout.CLASSES, "label": "label"}, "give one of them"),
        ({"source": photos, "label": "breed"}, "no table with that column"),
    ):
        with pytest.raises(DataError, match=said):
            _open(**options)


@pytest.mark.parametrize("inside", [True, False])
def test_an_archive_may_hold_the_images_and_the_table(tmp_path, photos, inside):
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for name in _names():
            archive.write(photos / name, f"pets/images/{name}")
        if inside:
            archive.writestr("pets/labels.csv", _rows(_names()))
    (tmp_path / "labels.csv").write_text(_rows(_names()))
    source = _open(tmp_path / "pets.zip") if inside else _open(tmp_path / "labels.csv", tmp_path / "pets.zip")
    assert _classes(source) == {f"pets/images/{name}": label for name, label in EXPECTED.items()}


def test_the_signature_follows_the_table(tmp_path, photos):
    table = tmp_path / "labels.csv"
    signatures = set()
    for text in (_rows(_names()), _rows(_names(), label=lambda n: _label(n + 1)), _rows(_names()) + "lost.png,cat\n"):
        table.write_text(text)
        signatures |= {_open(table, photos).signature, _open(photos).signature}
        assert _open(table, photos).signature in signatures
    assert len(signatures) == 6
