"""What the folders of a public archive are taken for, or why they are refused."""

import os
import shutil
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from bakeoff.data.checks import Finding, FindingKind, SuspiciousLabel, format_findings, format_suspicious
from bakeoff.data.sources import BadImage, open_source
from bakeoff.data.sources.trees import FolderTree
from bakeoff.deploy.bundle import find_inputs
from bakeoff.errors import DataError
from bakeoff.files import write_json
from bakeoff.runs.config import Data, FolderLayout, Run
from bakeoff.runs.record import DataFacts
from bakeoff.study.provide import prepare_again, prepare_data
from factories import make_record

CLASSES = ("cat", "dog")


def _fill(folder, names=CLASSES, images=3):
    for label, name in enumerate(names):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(images):
            pixels = np.full((8, 8, 3), (40 * label + index) % 256, np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")


def _read(folder, layout=FolderLayout.AUTO):
    source = open_source(Data(source=str(folder), layout=layout))
    return source, {(image.split, source.class_names[image.label]) for image in source.records()}


@pytest.mark.parametrize(
    ("training", "other", "split"),
    [
        ("Training", "Testing", "test"),
        ("Train", "Test", "test"),
        ("TRAIN", "VAL", "val"),
        ("training_set", "test_set", "test"),
        ("trainset", "valset", "val"),
        ("train-images", "test-images", "test"),
        ("TrainImages", "TestImages", "test"),
        ("seg_train/seg_train", "seg_test/seg_test", "test"),
        ("tr", "te", "test"),
        ("train", "validate", "val"),
        ("train", "validation", "val"),
        ("train", "dev", "val"),
        ("train", "eval", "val"),
        ("my data (train)", "my data (holdout)", "test"),
        ("train2017", "val2017", "val"),
        ("train/images", "test/images", "test"),
        ("train_jpg", "test1", "test"),
        ("signs_train/signs_train", "signs_test/signs_test", "test"),
        ("Final_Training/Images", "Final_Test/Images", "test"),
    ],
)
def test_splits_are_known_under_their_usual_names(tmp_path, training, other, split):
    _fill(tmp_path / training)
    _fill(tmp_path / other)
    source, found = _read(tmp_path)
    assert source.class_names == CLASSES
    assert found == {(name, each) for name in ("train", split) for each in CLASSES}
    assert f"train from {Path(training).parts[0]}" in source.notes[-1]


@pytest.mark.parametrize("beside", ["samples", "Annotations", "copy", "empty"])
def test_folders_beside_the_splits_are_left_out_and_named(tmp_path, beside):
    _fill(tmp_path / "train")
    _fill(tmp_path / "test")
    if beside == "samples":
        _fill(tmp_path, ["samples"])
    elif beside == "copy":
        _fill(tmp_path / "copy" / "train")
    else:
        (tmp_path / beside).mkdir()
    source, found = _read(tmp_path)
    assert {split for split, _ in found} == {"train", "test"}
    counted = {"samples": " (3 images)", "copy": " (6 images)"}.get(beside, "")
    assert f"folders beside the splits, left out: {beside}{counted}" in source.notes


def test_what_systems_and_bakeoff_itself_leave_is_no_class(tmp_path):
    _fill(
        tmp_path,
        [*CLASSES, "__MACOSX", "@eaDir", "#recycle", "@Recycle", ".ipynb_checkpoints", "bakeoff-photos", "check"],
    )
    _fill(tmp_path / "cat", ["@eaDir", "study"])
    write_json(tmp_path / "cat" / "study" / "study.json", {"schema": 1})
    write_json(tmp_path / "bakeoff-photos" / "study.json", {"schema": 1})
    (tmp_path / "check" / "findings.csv").write_text(format_findings([]))
    (tmp_path / "dog" / "manifest.json").write_text('{"made": "by another program"}')
    (tmp_path / "dog" / "Thumbs.db").write_bytes(b"x")
    source, _ = _read(tmp_path)
    assert source.class_names == CLASSES
    assert source.count == 6
    (note,) = source.notes
    assert "folders of systems and programs: 6, such as #recycle" in note
    assert "folders that bakeoff wrote: 3, such as bakeoff-photos" in note
    # The same rule finds images to predict.
    assert len(find_inputs([str(tmp_path)])) == 6


FINDINGS = format_findings([Finding(FindingKind.GREY, "train", "cat/1.png", "cat")])
SAVED = {
    "as written": FINDINGS.encode(),
    "semicolons after a byte-order mark": b"\xef\xbb\xbf" + FINDINGS.replace(",", ";").replace("\n", "\r\n").encode(),
    "tabs in UTF-16": FINDINGS.replace(",", "\t").encode("utf-16"),
    "quotes": ('"kind","split","id"\n' + '"grey","train","cat/1.png"\n' * 500).encode(),
    "one line": b"Kind,Split,ID",
}


@pytest.mark.parametrize("form", SAVED)
def test_the_folder_of_a_check_is_no_class_whatever_program_saved_its_list(tmp_path, form):
    _fill(tmp_path, [*CLASSES, "checked"])
    (tmp_path / "checked" / "findings.csv").write_bytes(SAVED[form])
    source, _ = _read(tmp_path)
    assert source.class_names == CLASSES
    assert source.notes == ("left out: folders that bakeoff wrote: 1, such as checked",)


def test_suspicious_labels_are_neither_a_class_nor_a_table_of_labels(tmp_path):
    _fill(tmp_path, [*CLASSES, "checked"])
    suspicious = format_suspicious(
        [SuspiciousLabel(f"cat/{number}.png", "cat", "dog", 0.9, "train") for number in "012"]
    )
    (tmp_path / "checked" / "suspicious_labels.csv").write_text(suspicious)
    (tmp_path / "suspicious_labels.csv").write_text(suspicious.replace(",", ";"))
    assert _read(tmp_path)[0].class_names == CLASSES
    (tmp_path / "checked" / "suspicious_labels.csv").write_text("a,b\n")
    assert _read(tmp_path)[0].class_names == ("cat", "checked", "dog")


def test_what_the_system_does_not_let_read_is_told(tmp_path, monkeypatch):
    _fill(tmp_path)
    (tmp_path / "dog" / "manifest.json").write_text("{}")
    with pytest.raises(DataError, match=r"cannot read .*: File name too long; give a path"):
        _read(tmp_path / (300 * "x"))

    monkeypatch.setattr(FolderTree, "head", mock.Mock(side_effect=PermissionError(13, "Permission denied")))
    assert _read(tmp_path)[0].class_names == CLASSES


@pytest.mark.parametrize("wrapper", ["archive", "archive/archive", "photos v2/data"])
def test_a_folder_that_holds_one_folder_is_opened_and_says_so(tmp_path, wrapper):
    _fill(tmp_path / wrapper / "train")
    _fill(tmp_path / wrapper / "test")
    source, found = _read(tmp_path)
    assert {split for split, _ in found} == {"train", "test"}
    assert f"all images of {tmp_path.name} are in {wrapper}, which is read in its place" in source.notes


def test_folders_of_annotations_beside_a_folder_of_classes_are_left_out(tmp_path):
    _fill(tmp_path / "Images")
    for name in CLASSES:
        (tmp_path / "Annotation" / name).mkdir(parents=True)
        (tmp_path / "Annotation" / name / "0.xml").write_text("<xml/>")
    source, _ = _read(tmp_path)
    assert source.class_names == CLASSES
    assert "folders without images, left out: Annotation" in source.notes


def test_an_empty_class_is_named_and_a_single_class_refused(tmp_path):
    _fill(tmp_path)
    (tmp_path / "emu").mkdir()
    assert "folders without images, left out: emu" in _read(tmp_path)[0].notes
    shutil.rmtree(tmp_path / "dog")
    _fill(tmp_path / "cat")
    with pytest.raises(DataError, match="has one class only, cat"):
        _read(tmp_path)


def test_classes_are_the_same_in_any_unicode_form_and_hardly_different_names_are_told(tmp_path):
    _fill(tmp_path / "train", ["caf\u00e9", "Dog"])
    _fill(tmp_path / "test", ["cafe\u0301", "Dog"])
    source, found = _read(tmp_path)
    assert source.class_names == ("Dog", "caf\u00e9")
    assert ("test", "caf\u00e9") in found
    assert any("differ only in their Unicode form" in note for note in source.notes)
    _fill(tmp_path / "train", ["dog"])
    assert any("differ only in case or spaces stay apart: Dog, dog" in note for note in _read(tmp_path)[0].notes)


def test_a_hidden_class_folder_is_named(tmp_path):
    _fill(tmp_path, [*CLASSES, ".emu"])
    source, _ = _read(tmp_path)
    assert source.class_names == CLASSES
    assert "left out: hidden folders: 1, such as .emu" in source.notes


def test_a_folder_called_like_built_in_data_is_taken_if_it_has_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_source(Data(source="digits")).count == 1797
    (tmp_path / "digits").mkdir()
    assert open_source(Data(source="digits")).count == 1797
    _fill(tmp_path / "digits")
    source = open_source(Data(source="digits"))
    assert source.class_names == CLASSES
    assert "digits is the folder of that name; builtin:digits names the built-in images" in source.notes
    assert open_source(Data(source="builtin:digits")).count == 1797


def test_files_that_are_swapped_are_seen(tmp_path):
    """Equal in size and time, as files of a reproducible archive are."""
    _fill(tmp_path)
    pair = [tmp_path / name / "0.png" for name in CLASSES]
    for path in pair:
        data = path.read_bytes()
        path.write_bytes(data.ljust(100, b"\0"))
        os.utime(path, (1, 1))
    before = open_source(Data(source=str(tmp_path))).signature
    pair[0].rename(tmp_path / "x")
    pair[1].rename(pair[0])
    (tmp_path / "x").rename(pair[1])
    swapped = open_source(Data(source=str(tmp_path))).signature
    pair[0].write_bytes(pair[0].read_bytes())
    os.utime(pair[0], (1, 1))
    assert len({before, swapped, open_source(Data(source=str(tmp_path))).signature}) == 3


def test_test_images_without_labels_are_not_used_and_named(tmp_path):
    _fill(tmp_path / "train")
    _fill(tmp_path, ["test"], images=7)
    source, found = _read(tmp_path)
    assert found == {("train", name) for name in CLASSES}
    assert any("test holds 7 images without class folders" in note and "predict" in note for note in source.notes)


def test_a_class_that_is_called_like_a_split_is_asked_about(tmp_path):
    _fill(tmp_path, ["train", "plane", "boat"])
    with pytest.raises(DataError, match=r"train can be a split, or a class beside boat, plane; .*classes, or move"):
        open_source(Data(source=str(tmp_path)))
    source, found = _read(tmp_path, FolderLayout.CLASSES)
    assert source.class_names == ("boat", "plane", "train")
    assert {split for split, _ in found} == {None}
    with pytest.raises(DataError, match="no folder of classes for training"):
        open_source(Data(source=str(tmp_path), layout=FolderLayout.SPLITS))
    _fill(tmp_path / "train", ["steam", "electric"])
    _fill(tmp_path / "plane", ["jet", "old"])
    with pytest.raises(DataError, match=r"train can be a split, .*; say --layout classes, or --layout splits"):
        _read(tmp_path)


@pytest.mark.parametrize("split", ["test", "val", "validation", "Test", "dev", "eval"])
def test_a_split_beside_the_classes_is_asked_about_and_then_kept(tmp_path, split):
    _fill(tmp_path, [*CLASSES, split])
    said = rf"{split} can be a split, or a class beside cat, dog; say --layout classes, or move .* into train/"
    with pytest.raises(DataError, match=said):
        _read(tmp_path)
    assert _read(tmp_path, FolderLayout.CLASSES)[0].class_names == tuple(sorted([*CLASSES, split]))
    for name in CLASSES:
        shutil.move(tmp_path / name, tmp_path / "train" / name)
    assert _read(tmp_path)[1] == {("train", name) for name in CLASSES}


def test_a_run_on_folders_that_were_read_as_classes_before_finds_its_data_again(tmp_path):
    folder = tmp_path / "photos"
    _fill(folder, [*CLASSES, "test"], images=12)
    source = Data(source=str(folder))
    shards, dataset = prepare_data(source.model_copy(update={"layout": FolderLayout.CLASSES}))
    facts = {"name": "photos", "counts": dict(dataset.counts), "classes": 3, "fit": dataset.fit}
    record, other = (
        make_record(config=Run(data=source), data=DataFacts(fingerprint=fingerprint, **facts))
        for fingerprint in (dataset.fingerprint, "f" * 64)
    )
    assert prepare_again(record)[0] == shards
    with pytest.raises(DataError, match="test can be a split, or a class beside cat, dog"):
        prepare_again(other)


def test_splits_with_classes_but_none_to_train_on_are_asked_about(tmp_path):
    _fill(tmp_path, CLASSES)
    _fill(tmp_path / "test")
    with pytest.raises(DataError, match=r"test can be a split, or a class beside cat, dog; .*into train/"):
        _read(tmp_path)
    for name in CLASSES:
        shutil.move(tmp_path / name, tmp_path / "val" / f"small {name}")
    with pytest.raises(DataError, match=r"test, val can be a split, or a class beside no other; .*into train/"):
        _read(tmp_path)


def test_an_empty_folder_that_is_called_like_a_split_does_not_disturb(tmp_path):
    _fill(tmp_path)
    (tmp_path / "test").mkdir()
    source, _ = _read(tmp_path)
    assert source.class_names == CLASSES
    assert "folders without images, left out: test" in source.notes


def test_folders_of_the_same_folders_look_like_splits_whatever_their_names(tmp_path):
    for name in ("first", "second"):
        _fill(tmp_path / name)
    with pytest.raises(DataError, match=r"first, second hold folders of the same names \(cat, dog\)"):
        open_source(Data(source=str(tmp_path)))
    assert _read(tmp_path, FolderLayout.CLASSES)[0].class_names == ("first", "second")


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["images", "masks"], "images"),
        (["JPEGImages", "SegmentationClass"], "JPEGImages"),
        (["images_001", "images_002"], "images_001, images_002"),
        (["jpg"], "jpg"),
    ],
)
def test_names_of_folders_that_say_that_images_are_inside_are_no_labels(tmp_path, names, told):
    _fill(tmp_path, names)
    with pytest.raises(
        DataError, match=rf"folders \({told}\) say nothing of what their images show; .*--layout classes"
    ):
        _read(tmp_path)
    if len(names) > 1:
        assert _read(tmp_path, FolderLayout.CLASSES)[0].class_names == tuple(names)
    for split in ("train", "test"):
        _fill(tmp_path / "given" / split, ["masks", "png"])
    with pytest.raises(DataError, match=r"folders \(png\) say nothing .*--layout splits"):
        _read(tmp_path / "given")


def test_a_folder_without_images_says_what_it_holds(tmp_path):
    (tmp_path / "train.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"no images in class folders \(left out: \.zip files: 1, such as train\.zip\)"):
        _read(tmp_path)


def test_a_class_of_the_test_split_that_is_spelt_otherwise_says_so(tmp_path):
    _fill(tmp_path / "train")
    _fill(tmp_path / "test", ["cat", "DOG"])
    with pytest.raises(DataError, match=r"class DOG in .* has no images to train on; rename it if it is dog"):
        _read(tmp_path)


def test_flat_images_of_a_split_that_is_named_with_its_data_are_no_class(tmp_path):
    _fill(tmp_path / "signs_train" / "signs_train")
    _fill(tmp_path / "signs_test", ["signs_test"])
    source, found = _read(tmp_path)
    assert found == {("train", name) for name in CLASSES}
    assert any(note.startswith("signs_test holds 3 images without class folders") for note in source.notes)


def test_words_of_splits_in_different_names_are_no_splits(tmp_path):
    _fill(tmp_path, ["model train", "crash test"])
    assert _read(tmp_path)[0].class_names == ("crash test", "model train")


@pytest.mark.parametrize("names", [["invalid", "valid"], ["Invalid", "Valid"]])
def test_valid_beside_invalid_is_a_class(tmp_path, names):
    _fill(tmp_path, names)
    assert _read(tmp_path)[0].class_names == tuple(names)


@pytest.mark.parametrize("place", ["flowers", "flowers/flowers"])
def test_a_folder_of_splits_is_no_class(tmp_path, place):
    _fill(tmp_path / place / "train")
    _fill(tmp_path / place / "valid")
    _fill(tmp_path, ["test"])
    with pytest.raises(DataError, match=rf"flowers holds splits \(train, valid\).*; give .*{place}, or say"):
        _read(tmp_path)
    assert _read(tmp_path, FolderLayout.CLASSES)[0].class_names == ("flowers", "test")


def test_a_copy_of_the_class_folders_beside_them_is_no_class(tmp_path):
    _fill(tmp_path)
    _fill(tmp_path / "images v2")
    with pytest.raises(DataError, match=r"images v2 holds folders of the names of those beside it \(cat, dog\)"):
        _read(tmp_path)
    assert _read(tmp_path, FolderLayout.CLASSES)[0].class_names == ("cat", "dog", "images v2")


@pytest.mark.parametrize("beside", ["other", "single"])
def test_versions_of_the_same_images_are_no_classes(tmp_path, beside):
    _fill(tmp_path / "colour", [*CLASSES, "emu"])
    _fill(tmp_path / "masks" / "png")
    _fill(tmp_path, ["samples"]) if beside == "single" else _fill(tmp_path / "samples", ["big", "small"])
    with pytest.raises(DataError, match=r"colour, masks hold folders of the same names \(cat, dog\).*give one of them"):
        _read(tmp_path)
    assert _read(tmp_path, FolderLayout.CLASSES)[0].class_names == ("colour", "masks", "samples")


def test_folders_inside_classes_are_no_splits(tmp_path):
    _fill(tmp_path / "cat", ["summer", "winter"])
    _fill(tmp_path / "dog", ["summer", "spring"])
    assert _read(tmp_path)[0].class_names == CLASSES


def test_a_folder_of_images_in_a_split_is_no_class(tmp_path):
    _fill(tmp_path / "train")
    _fill(tmp_path / "val", ["images"])
    source, found = _read(tmp_path)
    assert found == {("train", name) for name in CLASSES}
    assert any(note.startswith("val holds 3 images without class folders") for note in source.notes)


@pytest.mark.parametrize("train", ["train", "images", "My photos"])
def test_flat_splits_have_no_labels(tmp_path, train):
    _fill(tmp_path, [train, "test"])
    with pytest.raises(DataError, match="look like splits, but hold no class folders, so there are no labels"):
        open_source(Data(source=str(tmp_path)))


def test_another_layout_of_the_same_files_is_other_data(tmp_path):
    _fill(tmp_path / "train")
    _fill(tmp_path / "test")
    splits, classes = (
        open_source(Data(source=str(tmp_path), layout=each)) for each in (FolderLayout.AUTO, FolderLayout.CLASSES)
    )
    assert splits.signature != classes.signature
    shutil.move(tmp_path / "test", tmp_path / "val")
    assert open_source(Data(source=str(tmp_path))).signature != splits.signature


def test_an_image_is_one_whatever_its_suffix_and_other_files_are_counted(tmp_path):
    _fill(tmp_path)
    for suffix in ("", ".jpg_large", ".jpg ", ".JPG", ".photo"):
        shutil.copy(tmp_path / "cat" / "0.png", tmp_path / "cat" / f"saved{suffix}")
    for name in ("notes.txt", "notes.doc2", "LICENSE"):
        (tmp_path / "cat" / name).write_text("no image")
    source, _ = _read(tmp_path)
    assert source.count == 6 + 5
    (note,) = source.notes
    for kind in (".txt files: 1", ".doc2 files: 1", "files without a suffix: 1, such as cat/LICENSE"):
        assert kind in note
    assert len(find_inputs([str(tmp_path)])) == 11


def test_unreadable_pictures_of_known_suffix_are_named_and_others_counted(tmp_path):
    _fill(tmp_path)
    (tmp_path / "cat" / "broken.heic").write_bytes(b"no picture")
    (tmp_path / "cat" / "raw.cr3").write_bytes(b"no picture")
    source = open_source(Data(source=str(tmp_path)))
    assert [record.key for record in source.records() if isinstance(record, BadImage)] == ["cat/broken.heic"]
    assert ".cr3 files: 1, such as cat/raw.cr3" in source.notes[0]
