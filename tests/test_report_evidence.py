"""What the report says of certainty, of failures, and of the images to them: words follow numbers."""

import base64
import html
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bakeoff.data.shards import open_dataset, prepare_cached, read_blocks
from bakeoff.report import write_report
from bakeoff.report.board import rank
from bakeoff.report.certainty import spread_over_seeds
from bakeoff.report.class_names import read_classes
from bakeoff.report.evidence import draw_budget, draw_memory, draw_orders
from bakeoff.report.facts import Spending
from bakeoff.report.failures import describe_failures
from bakeoff.report.gallery import show_images
from bakeoff.runs.calibration import softmax
from bakeoff.runs.folder import run_dir
from bakeoff.runs.record import DataFacts, RunRecord, Seconds, Stage, State, write_record
from factories import make_metrics, make_record


def save(out: Path, *records: RunRecord) -> None:
    for record in records:
        write_record(run_dir(out, record.id), record)


def answer(out: Path, record: RunRecord, logits: Any, labels: Any, split: str = "val", ids: Any = None) -> None:
    ids = np.array([f"image-{n}" for n in range(len(labels))] if ids is None else ids)
    path = run_dir(out, record.id) / f"{split}-logits.npz"
    np.savez(path, logits=np.asarray(logits, np.float16), labels=np.asarray(labels, np.int32), ids=ids)


def hits(right: list[int], counts: list[int]) -> Any:
    """Logits of two classes on images of class 0, so many right, so many wrong, and so on."""
    return np.stack([np.repeat(right, counts), np.full(sum(counts), 0.5)], axis=1)


def text_of(out: Path) -> str:
    page = write_report(out).read_text(encoding="utf-8")
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def pair(out: Path, only_first: int, only_second: int) -> str:
    """The page of two candidates that were both right on 500 of 1,000 images, and each alone on some."""
    counts = [500, only_first, only_second, 500 - only_first - only_second]
    first, second = (
        make_record(name, (500 + own) / 1000) for name, own in (("a@32", only_first), ("b@32", only_second))
    )
    save(out, first, second)
    answer(out, first, hits([1, 1, 0, 0], counts), np.zeros(1000))
    answer(out, second, hits([1, 0, 1, 0], counts), np.zeros(1000))
    return text_of(out)


def test_two_leaders_that_chance_explains_are_no_difference(tmp_path: Path) -> None:
    text = pair(tmp_path, 60, 50)
    assert "met in the race stage, on the same 1,000 validation images: 56.0 % against 55.0 %" in text
    assert "a paired difference of +1.0 (-1.1 to +3.1) points" in text
    assert (
        "That is no difference at this sample size (McNemar's exact test on the 110 that only one got, p = 0.39)"
        in text
    )
    assert "only a@32 was right 60 6.0 % 4.7 to 7.6 %" in text
    assert "Other validation images could put b@32 first" in text


def test_a_lead_that_chance_does_not_explain_is_called_one_where_intervals_alone_would_tie(tmp_path: Path) -> None:
    text = pair(tmp_path, 30, 5)
    assert (
        "That is more than chance explains, for a@32 (McNemar's exact test on the 35 that only one got, p < 0.001)"
        in text
    )
    assert "a tie, since chance alone could explain it" in text


def test_what_would_change_the_verdict_names_whom_there_was_no_time_for_and_who_failed(tmp_path: Path) -> None:
    save(
        tmp_path,
        make_record("a@32", 0.8, stage=Stage.SCREEN),
        make_record("b@32", 0.6, stage=Stage.SCREEN),
        make_record("f@32", None, state=State.FAILED, reason="boom"),
    )
    (tmp_path / "study.json").write_text(json.dumps({"plan": {"cut": ["c@32", "d@32"], "finalists": 1}}))
    text = text_of(tmp_path)
    for words in (
        "The candidates met in the screen alone, frozen",
        "There was no time for c@32 and d@32",
        "f@32 failed and could not compete",
        "Everything was trained with one seed (0)",
    ):
        assert words in text
    assert "Other validation images" not in text


def test_seeds_are_a_mean_with_its_least_and_greatest(tmp_path: Path) -> None:
    base = make_record("a@32")
    seeds = [
        make_record("a@32", top1, config=base.config.model_copy(update={"seed": seed}), seed=seed)
        for seed, top1 in enumerate((0.7, 0.8, 0.75))
    ]
    (spread,) = spread_over_seeds([*seeds, make_record("b@32")])
    assert (spread.name, spread.seeds, spread.low, spread.high) == ("a@32", 3, 0.7, 0.8)
    assert spread.mean == pytest.approx(0.75)
    save(tmp_path, *seeds)
    assert "a@32 race 3 75.0 % [70.0 %, 80.0 %]" in text_of(tmp_path)


def test_runs_that_overlapped_have_no_place_of_their_own_on_the_clock() -> None:
    runs = [make_record(name, seconds=Seconds(train=50, total=60)) for name in ("a@32", "b@32")]
    ids = tuple(run.id for run in runs)
    in_a_row, at_once = (
        draw_budget([Spending("race", seconds, ids, [])], runs, budget=200) for seconds in (125.0, 65.0)
    )
    assert in_a_row is not None
    assert at_once is not None
    assert "a@32, complete: 60 s, of training 50 s" in in_a_row.svg
    assert "a@32, complete" not in at_once.svg
    assert in_a_row.caption.startswith("2.1 min of wall clock before this page, of a budget of 3.3 min (62 %)")


def test_memory_is_that_of_training_and_the_screens_only_where_nothing_was_trained() -> None:
    screened = make_record("a@32", stage=Stage.SCREEN, memory_predicted_bytes=300_000_000)
    trained = make_record("a@32", memory_predicted_bytes=800_000_000, memory_peak_bytes=640_000_000)
    drawn = draw_memory(rank([screened, trained]))
    assert drawn is not None
    assert "the median error is 25 %" in drawn.caption
    assert "a@32, screen" not in drawn.svg
    alone = draw_memory(rank([screened]))
    assert alone is not None
    assert "a@32, screen" in alone.svg
    assert draw_memory(rank([make_record(memory_peak_bytes=0)])) is None


SCREENED = {"a": 0.5, "b": 0.4, "c": 0.3, "d": 0.2}
RACED = {"a": 0.7, "b": 0.6, "c": 0.8}


def test_the_screens_order_is_held_against_the_races() -> None:
    screened = [make_record(f"{name}@32", top1, stage=Stage.SCREEN) for name, top1 in SCREENED.items()]
    raced = [make_record(f"{name}@32", top1) for name, top1 in RACED.items()]
    drawn = draw_orders(rank([*screened, *raced]))
    assert drawn is not None
    assert "they agree on 1 of 3 pairs" in drawn.caption
    assert "c@32: 3 by the screen, 1 by the race" in drawn.svg
    assert draw_orders(rank([*screened, raced[0]])) is None


@pytest.fixture
def sure(tmp_path: Path) -> tuple[Path, RunRecord]:
    """A run that is far too sure of itself, on validation and on test."""
    rng = np.random.default_rng(0)
    facts = DataFacts(name="x", fingerprint="d" * 64, counts={"val": 2000}, classes=4)
    record = make_record("a@32", 0.7, data=facts, test_top1=0.7)
    save(tmp_path, record)
    for split in ("val", "test"):
        logits = rng.normal(size=(2000, 4)) * 1.5
        chances = softmax(logits.astype(np.float32)).cumsum(axis=1)
        labels = (chances < rng.random((2000, 1))).sum(axis=1)
        answer(tmp_path, record, 4 * logits, labels, split)
    return tmp_path, record


def test_the_temperature_is_fitted_on_validation_and_judged_on_test(sure: tuple[Path, RunRecord]) -> None:
    out, record = sure
    found = describe_failures(out, record)
    assert found is not None
    assert found.split == "test"
    assert "It is too sure of itself" in found.calibration_words
    temperature = re.search(r"logits by ([\d.]+), which was fitted on validation", found.calibration_words)
    assert temperature is not None
    assert float(temperature[1]) == pytest.approx(4, rel=0.15)
    before, after = (float(part) for part in re.findall(r"([\d.]+) %", found.calibration_words)[-2:])
    assert before > 20 > 5 > after


def test_without_a_test_each_half_of_validation_mends_the_other(sure: tuple[Path, RunRecord]) -> None:
    out, record = sure
    found = describe_failures(out, record.model_copy(update={"test": None}))
    assert found is not None
    assert found.split == "validation"
    assert "each half's divisor fitted on the other half" in found.calibration_words


def test_classes_are_ordered_by_superclass_in_the_matrix_and_worst_first_in_the_table(tmp_path: Path) -> None:
    facts = DataFacts(name="x", fingerprint="d" * 64, counts={}, classes=3)
    record = make_record(data=facts)
    save(tmp_path, record)
    # Of class 0 two of three are right, of class 1 none of two, of class 2 both.
    answer(tmp_path, record, np.eye(3)[[0, 0, 2, 2, 2, 2, 2]] * 9, [0, 0, 0, 1, 1, 2, 2])
    (tmp_path / "bundle").mkdir()
    labels = {"classes": ["x_1", "y", "z"], "superclasses": ["late", "early"], "superclass_of": [0, 1, 0]}
    (tmp_path / "bundle" / "labels.json").write_text(json.dumps(labels))
    found = describe_failures(tmp_path, record)
    assert found is not None
    assert [(row.name, row.right, row.taken) for row in found.classes] == [("y", 0, "z"), ("x 1", 2, "z"), ("z", 2, "")]
    names = re.findall(r">(x 1|y|z)</text>", found.confusion.svg)
    assert names[:3] == ["y", "x 1", "z"]
    assert [(each.name, each.taken, each.images, each.related) for each in found.pairs] == [
        ("y", "z", 2, False),
        ("x 1", "z", 1, True),
    ]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A study on the digits, whose shards are in a cache: (its folder, the record, the images by id, the cache)."""
    cache = tmp_path_factory.mktemp("digits-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE_DIR", str(cache))
        dataset = open_dataset(prepare_cached("digits"))
        (block,) = read_blocks(dataset, "val")
    out = tmp_path_factory.mktemp("digits-study")
    facts = DataFacts(name="digits", fingerprint=dataset.fingerprint, counts=dict(dataset.counts), classes=10)
    record = make_record("lenet@32", 0.9, data=facts, val=make_metrics(0.9, len(block.labels)))
    save(out, record)
    said = block.labels.copy()
    said[:30] = (said[:30] + 1) % 10
    # The further back the image, the surer: of the mistakes number 29 comes first, of the hits number 30.
    answer(out, record, np.eye(10)[said] * np.linspace(1, 4, len(said))[:, None], block.labels, ids=block.ids)
    return out, record, dict(zip(block.ids, zip(block.images, block.labels, strict=True), strict=True)), cache


def test_the_gallery_shows_the_very_images_and_keeps_them(digits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    out, record, images, cache = digits
    missing = show_images(out, record)
    assert missing is not None
    assert missing.mistakes == []
    assert "no longer in the cache" in missing.missing
    assert "no longer in the cache" in text_of(out)
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(cache))
    assert read_classes(out, record, 10).names == tuple("0123456789")
    shown = show_images(out, record, keep=True)
    assert shown is not None
    assert shown.missing == ""
    assert len(shown.mistakes) == len(shown.hits) == 12
    ids = list(images)
    for picture, key in ((shown.mistakes[0], ids[29]), (shown.hits[0], ids[30])):
        pixels, label = images[key]
        seen = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.url.partition(",")[2]))))
        assert np.array_equal(seen, pixels)
        assert picture.name == str(label)
    assert shown.mistakes[0].said != shown.mistakes[0].name
    assert shown.hits[0].said == shown.hits[0].name
    assert shown.mistakes[0].confidence > shown.mistakes[1].confidence
    # Without the cache the kept images are shown, under numbers where no names are left.
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", "/nowhere")
    again = show_images(out, record)
    assert again is not None
    assert [picture.url for picture in again.mistakes] == [picture.url for picture in shown.mistakes]
