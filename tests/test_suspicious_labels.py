"""Suspicious labels: confident learning on probabilities, the likelier label of a pair, and the whole search."""

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import bakeoff
from bakeoff.data.checks import Finding, FindingKind, HeldOut, SuspiciousLabel, find_suspicious, judge_conflicts
from bakeoff.data.checks.confident import (
    NO_CLASS,
    class_thresholds,
    confident_classes,
    confident_joint,
    count_wrong,
    rank_suspicious,
    suggest_classes,
)
from bakeoff.data.contact_sheet import draw_suspicious
from bakeoff.data.folds import assign_folds
from bakeoff.data.shards import read_blocks
from bakeoff.errors import BakeoffError
from bakeoff.runs.calibration import softmax
from bakeoff.runs.config import Data
from bakeoff.study import labels as study_labels
from bakeoff.study.provide import prepare_data
from bakeoff.training.folds import cross_fit
from bakeoff.training.labels import _is_known
from running import run_cli

NAMES = ("ant", "bee", "cat", "dog", "elk")


def score(rows: list[list[float]], labels: list[int], splits: list[str] | None = None) -> HeldOut:
    ids = [f"{number}.png" for number in range(len(rows))]
    return HeldOut(
        np.array(ids), np.array(splits or ["train"] * len(rows)), np.array(labels, np.int32), np.array(rows, np.float32)
    )


def plant(seed: int = 0, share: float = 0.05) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Labels of 1000 images of five well-separated classes, before and after a share of them was changed; features."""
    rng = np.random.default_rng(seed)
    before = np.arange(1000, dtype=np.int32) % len(NAMES)
    features = rng.normal(size=(1000, 16)).astype(np.float32)
    features[:, : len(NAMES)] += 6 * np.eye(len(NAMES), dtype=np.float32)[before]
    after = before.copy()
    chosen = rng.choice(1000, round(1000 * share), replace=False)
    after[chosen] = (before[chosen] + rng.integers(1, len(NAMES), len(chosen))) % len(NAMES)
    return before, after, features


def test_planted_labels_are_found_and_restored() -> None:
    before, after, features = plant()
    logits = cross_fit(features, after, len(NAMES), assign_folds(after, None, 5, 0))
    found = find_suspicious(score(softmax(logits).tolist(), after.tolist()), NAMES)
    planted = {f"{place}.png": NAMES[before[place]] for place in np.flatnonzero(before != after)}
    assert len(planted) == 50
    first = {one.id: one.suggested for one in found[: len(planted)]}
    hits = {key: name for key, name in first.items() if key in planted}
    assert len(hits) >= 48
    assert all(planted[key] == name for key, name in hits.items())
    assert len(found) <= 60


def test_without_wrong_labels_almost_nothing_is_suspicious() -> None:
    before, _, features = plant(share=0.0)
    logits = cross_fit(features, before, len(NAMES), assign_folds(before, None, 5, 0))
    assert len(find_suspicious(score(softmax(logits).tolist(), before.tolist()), NAMES)) <= 5


def test_a_threshold_is_the_mean_probability_of_the_own_class() -> None:
    probabilities = np.array([[0.8, 0.2, 0], [0.6, 0.4, 0], [0.01, 0.99, 0]], np.float32)
    assert class_thresholds(probabilities, np.array([0, 0, 1])) == pytest.approx([0.7, 0.99, np.inf])


def test_a_class_without_images_is_never_suggested() -> None:
    rows = [[0.8, 0.1, 0.1]] * 3 + [[0.05, 0.35, 0.6]] + [[0.3, 0.35, 0.35]] * 2
    (one,) = find_suspicious(score(rows, [0, 0, 0, 0, 1, 1]), NAMES[:3])
    assert (one.id, one.suggested) == ("3.png", "bee")
    assert one.confidence == pytest.approx(0.35)


def test_a_label_of_a_class_without_other_images_is_not_judged() -> None:
    rows = [[0.8, 0.1, 0.1]] * 3 + [[0.1, 0.8, 0.1]] * 3 + [[0.8, 0.1, 0.1]] * 2
    assert find_suspicious(score(rows, [0, 0, 0, 1, 1, 1, 2, 2], ["train"] * 6 + ["test"] * 2), NAMES[:3]) == []


def test_the_joint_counts_images_by_label_and_confident_class() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.55, 0.45], [0.3, 0.7]], np.float32)
    confident = confident_classes(probabilities, np.array([0.6, 0.75]))
    assert confident.tolist() == [0, 1, NO_CLASS, NO_CLASS]
    assert confident_joint(np.array([0, 0, 1, 1]), confident, 2).tolist() == [[1, 1], [0, 0]]


def test_of_the_classes_that_reach_their_threshold_the_most_probable_is_taken() -> None:
    confident = confident_classes(np.array([[0.5, 0.3, 0.2]], np.float32), np.array([0.6, 0.2, 0.2]))
    assert confident.tolist() == [1]


def test_images_that_count_to_no_class_are_taken_to_be_wrong_as_often_as_the_others() -> None:
    joint = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])
    assert count_wrong(joint, np.array([12, 8, 7])) == 3 + 2


def test_as_many_labels_are_listed_as_are_wrong_and_never_the_most_probable_class() -> None:
    own = np.array([0.3, 0.1, 0.2, 0.4, 0.8], np.float32)
    labels = np.array([0, 0, 0, 1, 1])
    probabilities = np.where(np.arange(2) == labels[:, None], own[:, None], 1 - own[:, None])
    ranked, shares = rank_suspicious(probabilities, labels, np.array([0.8, 0.5]), 3)
    assert ranked.tolist() == [1, 2, 0]
    assert shares == pytest.approx([0.125, 0.25, 0.375])
    assert rank_suspicious(probabilities, labels, np.array([0.8, 0.5]), 9)[0].tolist() == [1, 2, 0, 3]


def test_a_small_probability_is_less_suspicious_in_a_class_that_the_network_hardly_knows() -> None:
    probabilities = np.array([[0.2, 0.4, 0.4], [0.4, 0.2, 0.4]], np.float32)
    ranked, _ = rank_suspicious(probabilities, np.array([0, 1]), np.array([0.3, 0.9, 0.9]), 2)
    assert ranked.tolist() == [1, 0]


def test_the_suggestion_is_the_most_probable_other_class() -> None:
    assert suggest_classes(np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], np.float32), np.array([0, 1])).tolist() == [
        1,
        0,
    ]


def test_the_smallest_probability_of_the_label_comes_first() -> None:
    rows = [[0.9, 0.1]] * 3 + [[0.1, 0.9]] * 3
    doubtful = [[0.3, 0.7], [0.02, 0.98], [0.1, 0.9]]
    found = find_suspicious(score([*rows, *doubtful], [0, 0, 0, 1, 1, 1, 0, 0, 0]), NAMES[:2])
    assert [(one.id, one.label, one.suggested) for one in found] == [
        ("7.png", "ant", "bee"),
        ("8.png", "ant", "bee"),
    ]
    assert found[0].confidence == pytest.approx(0.98)


def test_labels_of_test_change_no_threshold() -> None:
    rows = [[0.9, 0.1]] * 3 + [[0.1, 0.9]] * 3 + [[0.05, 0.95], [0.05, 0.95]]
    splits = ["train"] * 3 + ["val"] * 3 + ["train", "test"]
    right, wrong = (find_suspicious(score(rows, [0, 0, 0, 1, 1, 1, 0, label], splits), NAMES[:2]) for label in (1, 0))
    assert [one.id for one in right] == ["6.png"]
    assert [(one.id, one.split) for one in wrong] == [("6.png", "train"), ("7.png", "test")]
    assert wrong[0] == right[0]


PAIR = Finding(FindingKind.CONFLICT, "train", "0.png", "ant", "train", "1.png", "bee", 1.0)


def test_of_a_pair_the_less_likely_label_is_the_one_to_leave_out() -> None:
    scored = score([[0.2, 0.6, 0.2], [0.1, 0.8, 0.1]], [0, 1])
    (kept,) = judge_conflicts([PAIR], scored, NAMES[:3])
    assert kept == PAIR._replace(likelier="bee", note="probabilities: bee 0.70, ant 0.15")
    scored = score([[0.6, 0.2, 0.2], [0.8, 0.1, 0.1]], [0, 1])
    (swapped,) = judge_conflicts([PAIR], scored, NAMES[:3])
    assert (swapped.id, swapped.label, swapped.other_id, swapped.other_label) == ("1.png", "bee", "0.png", "ant")
    assert (swapped.likelier, swapped.note) == ("ant", "probabilities: ant 0.70, bee 0.15")


def test_of_a_pair_across_splits_the_image_of_the_later_split_stays() -> None:
    across = PAIR._replace(other_split="test")
    # The model that scores test has seen the other image as an ant, so its answer does not count.
    scored = score([[0.7, 0.3], [0.0, 1.0]], [0, 1], ["train", "test"])
    (judged,) = judge_conflicts([across], scored, NAMES[:2])
    assert (judged.id, judged.likelier) == ("0.png", "ant")


def test_findings_that_are_no_conflict_stay_as_they_are() -> None:
    scored = score([[0.7, 0.3], [0.6, 0.4]], [0, 0])
    findings = [
        PAIR._replace(other_label="ant"),
        PAIR._replace(other_id="elsewhere.png"),
        Finding(FindingKind.TINY_CLASS, "train", label="ant"),
    ]
    assert judge_conflicts(findings, scored, NAMES[:2]) == findings


def test_an_image_whose_class_is_in_its_fold_alone_cannot_be_scored() -> None:
    known = _is_known(np.array([0, 0, 1, 1, 2], np.int32), np.array([0, 1, 0, 0, 1]))
    assert known.tolist() == [True, True, False, False, False]


@pytest.fixture(scope="module")
def flipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Light and dark pictures of noise; six light ones are among the dark ones, and one picture is in both classes."""
    home, rng = tmp_path_factory.mktemp("labels") / "tones", np.random.default_rng(0)
    for name, base in (("dark", 40), ("light", 180)):
        (home / name).mkdir(parents=True)
        for number in range(132):
            tone = 180 if name == "dark" and number < 6 else base
            pixels = tone + rng.integers(0, 40, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(home / name / f"{number:03d}.png")
    (home / "dark" / "twice.png").write_bytes((home / "light" / "131.png").read_bytes())
    return home


@pytest.mark.usefixtures("workers_here")
def test_the_search_writes_a_list_and_a_picture_and_the_likelier_label(
    flipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_labels, "NETWORK", "lenet")
    doing = []
    found = bakeoff.check(flipped, labels=True, out=tmp_path, progress=lambda event: doing.append(event.doing))
    assert found.suspicious is not None
    listed = {one.id for one in found.suspicious}
    assert listed <= {f"dark/{number:03d}.png" for number in range(6)} | {"dark/twice.png"}
    # How many labels are wrong is estimated.
    assert len(listed) >= 5
    assert {(one.label, one.suggested) for one in found.suspicious} == {("dark", "light")}
    assert found.counts["suspicious label"] == len(listed)
    with (tmp_path / "suspicious_labels.csv").open(newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == [one.id for one in found.suspicious]
    assert Image.open(tmp_path / "suspicious_labels.png").height > 500
    (conflict,) = (finding for finding in found.findings if finding.kind is FindingKind.CONFLICT)
    assert (conflict.id, conflict.likelier) == ("dark/twice.png", "light")
    assert "searching suspicious labels: features" in doing
    again = bakeoff.check(
        flipped, labels=True, relabel=tmp_path / "suspicious_labels.csv", out=tmp_path / "again", progress=False
    )
    assert again.suspicious is not None
    assert listed.isdisjoint(one.id for one in again.suspicious)
    assert (tmp_path / "again" / "suspicious_labels.png").exists() == bool(again.suspicious)
    assert again.dataset.fingerprint != found.dataset.fingerprint


@pytest.mark.parametrize(("wrong", "told"), [(4, False), (40, True)])
def test_a_list_of_many_labels_is_told_to_be_mostly_errors_of_the_network(
    flipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: int, told: bool
) -> None:
    def score_labels(*_: object) -> HeldOut:
        blocks = [block for split in ("train", "val", "test") for block in read_blocks(dataset, split, unlock=True)]
        labels = np.concatenate([block.labels for block in blocks])
        right = np.eye(2, dtype=np.float32)[labels]
        right[:wrong] = right[:wrong, ::-1]
        ids = np.array([key for block in blocks for key in block.ids])
        return HeldOut(ids, np.repeat(["train"], len(ids)), labels, right)

    _, dataset = prepare_data(Data(source=str(flipped)))
    monkeypatch.setattr("bakeoff.api.audits.score_labels", score_labels)
    found = bakeoff.check(flipped, labels=True, near=False, out=tmp_path, progress=False)
    assert any("most rows are its own errors" in note for note in found.notes) == told


def test_a_search_that_would_take_long_is_left_out_and_told(
    flipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bakeoff.api.audits.UNASKED_SECONDS", 0.0)
    done = run_cli("data", "check", flipped, "--out", tmp_path)
    assert "note: suspicious labels were not searched for, because that takes about" in done.stderr
    assert "`bakeoff data check --labels` does" in " ".join(done.stderr.split())
    assert "suspicious" not in done.stdout
    assert not (tmp_path / "suspicious_labels.csv").exists()


@pytest.mark.usefixtures("workers_here")
def test_images_of_one_group_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_labels, "NETWORK", "lenet")
    rng = np.random.default_rng(0)
    for split, subject in (("train", "one"), ("val", "one"), ("test", "two")):
        for name in ("ill", "well"):
            home = tmp_path / "data" / split / name / subject
            home.mkdir(parents=True)
            for number in range(4):
                Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(home / f"{number}.png")
    with pytest.raises(BakeoffError, match="in one group, so none can be held out to check labels; use --no-labels"):
        bakeoff.check(tmp_path / "data", group="folder", labels=True, out=tmp_path / "out", progress=False)


def test_the_sheet_shows_the_first_images(flipped: Path, tmp_path: Path) -> None:
    _, dataset = prepare_data(Data(source=str(flipped)))
    key = next(read_blocks(dataset, "train")).ids[0]
    found = [SuspiciousLabel(key, "dark", "light", 0.93, "train")] * 30
    draw_suspicious(dataset, found, tmp_path / "sheet.png", limit=25)
    # Two columns: thirteen pictures, and twelve.
    assert Image.open(tmp_path / "sheet.png").size == (828, 1392)
