"""What the report says about certainty and failures, and the images that it shows."""

import base64
import html
import io
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bakeoff.data.shards import open_dataset, prepare_cached, read_blocks
from bakeoff.errors import OutputError
from bakeoff.files import write_json
from bakeoff.report import write_report
from bakeoff.report.board import rank
from bakeoff.report.certainty import spread_over_seeds
from bakeoff.report.class_names import read_classes
from bakeoff.report.coverage import describe_coverage
from bakeoff.report.evidence import draw_budget, draw_memory, draw_screen_order
from bakeoff.report.facts import Spending
from bakeoff.report.failures import describe_failures
from bakeoff.report.gallery import show_images
from bakeoff.report.verify import verify_views
from bakeoff.runs.calibration import choose_temperature, softmax
from bakeoff.runs.config import Data
from bakeoff.runs.findings import Arm, Difference, Effect, Effects, SearchResult
from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.record import DataFacts, RunRecord, Seconds, Stage, State, write_record
from factories import make_metrics, make_record, save_bundle


def save(out: Path, *records: RunRecord) -> None:
    for record in records:
        write_record(run_dir(out, record.id), record)


def save_predictions(
    out: Path, record: RunRecord, logits: Any, labels: Any, split: str = "val", ids: Any = None
) -> None:
    ids = np.array([f"image-{n}" for n in range(len(labels))] if ids is None else ids)
    path = run_dir(out, record.id) / f"{split}-logits.npz"
    np.savez(path, logits=np.asarray(logits, np.float16), labels=np.asarray(labels, np.int32), ids=ids)


def hits(right: list[int], counts: list[int]) -> Any:
    """Logits of two classes on images of class 0: for each pair of `right` and `counts`, so many right or wrong."""
    return np.stack([np.repeat(right, counts), np.full(sum(counts), 0.5)], axis=1)


def text_of(out: Path) -> str:
    page = write_report(out).read_text(encoding="utf-8")
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def pair(out: Path, only_first: int, only_second: int) -> str:
    """The page of two candidates: both are right on 500 of 1,000 images, and each alone on some."""
    counts = [500, only_first, only_second, 500 - only_first - only_second]
    first, second = (
        make_record(name, (500 + alone) / 1000) for name, alone in (("a@32", only_first), ("b@32", only_second))
    )
    save(out, first, second)
    save_predictions(out, first, hits([1, 1, 0, 0], counts), np.zeros(1000))
    save_predictions(out, second, hits([1, 0, 1, 0], counts), np.zeros(1000))
    return text_of(out)


def test_a_difference_of_the_leaders_that_is_not_significant(tmp_path: Path) -> None:
    text = pair(tmp_path, 60, 50)
    assert "its nearest rival in the race stage, on the same 1,000 validation images, with 95 % intervals." in text
    assert (
        "a@32 b@32 Top-1 on validation 56.0 % 52.9 to 59.0 % 55.0 % 51.9 to 58.1 %"
        " Paired difference +1.0 points -1.1 to +3.1, p = 0.39"
        " Right where the other is wrong 60 of 1,000 4.7 to 7.6 % 50 of 1,000 3.8 to 6.5 %"
        " Peak memory 640 MB 640 MB Trained parameters 2.3 M 2.3 M Training time 60 s 60 s Images/s 500 500" in text
    )
    assert (
        "The difference is not significant at the 5 % level (McNemar's exact test on the 110 images that only one of"
        " them got right)." in text
    )
    assert "On other validation images b@32 could be first." in text
    assert "chance can explain a difference of up to about 4 points." in text


def test_a_significant_difference_of_leaders_whose_intervals_tie(tmp_path: Path) -> None:
    text = pair(tmp_path, 30, 5)
    assert (
        "a@32 is better; the difference is significant at the 5 % level (McNemar's exact test on the 35 images that"
        " only one of them got right)." in text
    )
    assert "Paired difference +2.5 points +1.3 to +3.7, p < 0.001" in text
    assert "b@32 50.5 ±3.1 -2.5 ≈ (-6.9 to +1.9)" in text


def test_leaders_without_predictions_are_compared_by_their_scores_and_measured_costs(tmp_path: Path) -> None:
    unmeasured: dict[str, Any] = {"memory_peak_bytes": 0, "images_per_second": 0.0}
    save(tmp_path, make_record("a@32", 0.56, seconds=90, **unmeasured), make_record("b@32", 0.5, **unmeasured))
    text = text_of(tmp_path)
    assert "its nearest rival in the race stage, with 95 % intervals." in text
    assert "Difference +6.0 points +1.6 to +10.3 Trained parameters 2.3 M 2.3 M Training time 90 s 60 s" in text
    assert "McNemar's exact test" not in text


def test_the_doubts_name_candidates_without_time_and_failed_ones(tmp_path: Path) -> None:
    save(
        tmp_path,
        make_record("a@32", 0.8, stage=Stage.SCREEN),
        make_record("b@32", 0.6, stage=Stage.SCREEN),
        make_record("f@32", None, state=State.FAILED, reason="boom"),
    )
    (tmp_path / "study.json").write_text(json.dumps({"plan": {"cut": ["c@32", "d@32"], "finalists": 1}}))
    text = text_of(tmp_path)
    for words in (
        "The candidates were compared in the screen only, without fine-tuning.",
        "There was no time for c@32 and d@32. Try them with a longer budget or with --candidates.",
        "Runs of f@32 failed. The table of candidates gives the reason.",
        "All runs used the same seed (0).",
    ):
        assert words in text
    assert "On other validation images" not in text


def test_several_seeds_are_shown_as_their_mean_lowest_and_highest(tmp_path: Path) -> None:
    base = make_record("a@32")
    seeds = [
        make_record("a@32", top1, config=base.config.model_copy(update={"seed": seed}), seed=seed)
        for seed, top1 in enumerate((0.7, 0.8, 0.75))
    ]
    other = seeds[0].model_copy(update={"seed": 9, "data": base.data.model_copy(update={"fingerprint": "f" * 64})})
    (spread,) = spread_over_seeds([*seeds, other, make_record("b@32")])
    assert (spread.name, spread.seeds, spread.low, spread.high) == ("a@32", 3, 0.7, 0.8)
    assert spread.mean == pytest.approx(0.75)
    save(tmp_path, *seeds)
    assert "a@32 race 3 75.0 % [70.0 %, 80.0 %]" in text_of(tmp_path)


def test_runs_that_overlapped_are_not_drawn_in_the_timeline() -> None:
    runs = [make_record(name, seconds=Seconds(train=50, total=60)) for name in ("a@32", "b@32")]
    ids = tuple(run.id for run in runs)
    trained = Spending("train", 500.0, (), [])  # by `bakeoff train`, in the same folder
    in_a_row, at_once = (
        draw_budget([Spending("race", seconds, ids, []), trained], runs, budget=200) for seconds in (125.0, 65.0)
    )
    assert in_a_row is not None
    assert at_once is not None
    assert "a@32, complete: 60 s, training 50 s" in in_a_row.svg
    assert "a@32, complete" not in at_once.svg
    assert in_a_row.caption.startswith(
        "2.1 min of wall-clock time before this page was written, of a budget of 3.3 min (62 %)"
    )


def test_the_memory_of_the_screen_is_drawn_only_if_nothing_was_fine_tuned() -> None:
    screened = make_record("a@32", stage=Stage.SCREEN, memory_predicted_bytes=300_000_000)
    trained = make_record("a@32", memory_predicted_bytes=800_000_000, memory_peak_bytes=640_000_000)
    drawn = draw_memory(rank([screened, trained]))
    assert drawn is not None
    assert "The median error is 25 %" in drawn.caption
    assert "a@32, screen" not in drawn.svg
    alone = draw_memory(rank([screened]))
    assert alone is not None
    assert "a@32, screen" in alone.svg
    assert draw_memory(rank([make_record(memory_peak_bytes=0)])) is None


def make_arm(record: RunRecord, top1: float) -> Arm:
    interval = top1 - 0.02, top1 + 0.02
    return Arm(
        ids=(record.id,),
        top1=top1,
        top1_ci95=interval,
        seconds=60,
        images_per_second=500,
        memory_peak_bytes=640_000_000,
    )


def test_a_search_is_described_with_the_change_and_its_confirmation(tmp_path: Path) -> None:
    base = make_record("a@32", 0.7, stage=Stage.TUNE)
    best = make_record("a@32", 0.75, stage=Stage.TUNE, config=base.config.revised(optim={"learning_rate": 0.003}))
    save(tmp_path, base, best)
    found = SearchResult(
        base=base.id,
        best=best.id,
        changes={"optim.learning_rate": 0.003},
        before=make_arm(base, 0.7),
        after=make_arm(best, 0.75),
        difference=Difference(points=0.05, low=0.02, high=0.08, images=1000, seeds=1),
        kept=True,
        trials={"COMPLETE": 2},
        importances={"optim.learning_rate": 0.9},
    )
    write_json(tmp_path / "study.json", {"plan": {}, "found": found.model_dump(mode="json")})
    text = text_of(tmp_path)
    for words in (
        "The search tried 2 recipes with equal training time (2 complete).",
        "The best trial changed: learning rate 0.003 instead of 0.001 (90% of the variance between trials).",
        "They reached 75.0 % (73.0 to 77.0 %) and 70.0 % (68.0 to 72.0 %) on 1,000 validation images",
        "a difference of +5.0 (+2.0 to +8.0) points, more than chance explains. The new recipe was chosen.",
        "The share of the variance between trials that each parameter explains (fANOVA).",
    ):
        assert words in text
    shutil.rmtree(run_dir(tmp_path, base.id))
    with pytest.raises(OutputError, match=rf"study.json names run {base.id}, which has no record; run the study again"):
        text_of(tmp_path)


def test_an_ablation_is_described_with_what_helps_and_what_hurts(tmp_path: Path) -> None:
    base = make_record("a@32", 0.7, stage=Stage.TUNE)
    other = make_record("a@32", 0.65, stage=Stage.TUNE, config=base.config.revised(optim={"ema": 0.0}))
    save(tmp_path, base, other)
    loss = Difference(points=-0.05, low=-0.08, high=-0.02, images=1000, seeds=1)
    effect = Effect(key="optim.ema", value=0.0, arm=make_arm(other, 0.65), difference=loss)
    effects = Effects(base=make_arm(base, 0.7), effects=(effect,), missing=("model.dropout=0.5",))
    write_json(tmp_path / "study.json", {"plan": {}, "effects": effects.model_dump(mode="json")})
    text = text_of(tmp_path)
    for words in (
        "with equal training time (60 s) and 1 seed. The base recipe reached 70.0 % (68.0 to 72.0 %) on validation.",
        "Better: none significantly. Worse: ema 0 (-5.0).",
        "Not measured because the runs failed or there was no time left: model.dropout=0.5.",
        "0.0 65.0 % (63.0 to 67.0 %) -5.0 (-8.0 to -2.0) hurts 60 s 500 640 MB",
    ):
        assert words in text


SCREENED = {"a": 0.5, "b": 0.4, "c": 0.3, "d": 0.2}
RACED = {"a": 0.7, "b": 0.6, "c": 0.8}


def test_the_order_of_the_screen_is_compared_with_that_of_the_race() -> None:
    screened = [make_record(f"{name}@32", top1, stage=Stage.SCREEN) for name, top1 in SCREENED.items()]
    raced = [make_record(f"{name}@32", top1) for name, top1 in RACED.items()]
    drawn = draw_screen_order(rank([*screened, *raced]))
    assert drawn is not None
    assert "The two orders agree on 1 of 3 pairs." in drawn.caption
    assert "c@32: rank 3 in the screen, 1 in the race" in drawn.svg
    assert draw_screen_order(rank([*screened, raced[0]])) is None


@pytest.fixture
def overconfident(tmp_path: Path) -> tuple[Path, RunRecord]:
    """A run that is far too confident, on validation and on test."""
    rng = np.random.default_rng(0)
    facts = DataFacts(name="x", fingerprint="d" * 64, counts={"val": 2000}, classes=4)
    record = make_record("a@32", 0.7, data=facts, test_top1=0.7)
    save(tmp_path, record)
    for split in ("val", "test"):
        logits = rng.normal(size=(2000, 4)) * 1.5
        chances = softmax(logits.astype(np.float32)).cumsum(axis=1)
        labels = (chances < rng.random((2000, 1))).sum(axis=1)
        save_predictions(tmp_path, record, 4 * logits, labels, split)
    return tmp_path, record


def test_the_temperature_is_fitted_on_validation_and_evaluated_on_test(overconfident: tuple[Path, RunRecord]) -> None:
    out, record = overconfident
    found = describe_failures(out, record)
    assert found is not None
    assert found.split == "test"
    assert "The model is overconfident: " in found.calibration_text
    temperature = re.search(r"logits by ([\d.]+) \(fitted on validation\)", found.calibration_text)
    assert temperature is not None
    assert float(temperature[1]) == pytest.approx(4, rel=0.15)
    before, after = (float(part) for part in re.findall(r"([\d.]+) %", found.calibration_text)[-2:])
    assert before > 20 > 5 > after


@pytest.mark.parametrize("test_top1", [1.0, None])
def test_the_temperature_of_the_report_is_that_of_the_bundle(tmp_path: Path, test_top1: float | None) -> None:
    facts = DataFacts(name="x", fingerprint="d" * 64, counts={"val": 30}, classes=3)
    record = make_record("a@32", 1.0, data=facts, test_top1=test_top1)
    save(tmp_path, record)
    labels = np.arange(30) % 3
    logits = np.eye(3, dtype=np.float32)[labels] * 2
    for split in ("val", "test"):
        save_predictions(tmp_path, record, logits, labels, split)
    found = describe_failures(tmp_path, record)
    assert found is not None
    assert f" {choose_temperature(logits, labels):.2f} (" in found.calibration_text


def test_without_a_test_each_half_of_validation_is_scaled_by_the_other(overconfident: tuple[Path, RunRecord]) -> None:
    out, record = overconfident
    found = describe_failures(out, record.model_copy(update={"test": None}))
    assert found is not None
    assert found.split == "validation"
    assert "(each half fitted on the other half)" in found.calibration_text


def test_classes_are_ordered_by_superclass_in_the_matrix_and_worst_first_in_the_table(tmp_path: Path) -> None:
    facts = DataFacts(name="x", fingerprint="d" * 64, counts={}, classes=3)
    record = make_record(data=facts)
    save(tmp_path, record)
    # Correct: two of three images of class 0, none of two of class 1, both of class 2.
    save_predictions(tmp_path, record, np.eye(3)[[0, 0, 2, 2, 2, 2, 2]] * 9, [0, 0, 0, 1, 1, 2, 2])
    groups, of = ["late", "early"], [0, 1, 0]
    save_bundle(tmp_path / "bundle", record, classes=["x_1", "y", "z"], superclasses=groups, superclass_of=of)
    found = describe_failures(tmp_path, record)
    assert found is not None
    assert [(row.name, row.correct, row.confused_with) for row in found.classes] == [
        ("y", 0, "z"),
        ("x 1", 2, "z"),
        ("z", 2, ""),
    ]
    names = re.findall(r">(x 1|y|z)</text>", found.matrix.svg)
    assert names[:3] == ["y", "x 1", "z"]
    assert [
        (each.true_class, each.predicted_class, each.images, each.same_superclass) for each in found.confusions
    ] == [
        ("y", "z", 2, False),
        ("x 1", "z", 1, True),
    ]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A study on the digits, whose shards are in a cache: (its folder, the record, the images by id, the cache)."""
    cache = tmp_path_factory.mktemp("digits-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE_DIR", str(cache))
        dataset = open_dataset(prepare_cached(Data(source="digits")))
        (block,) = read_blocks(dataset, "val")
    out = tmp_path_factory.mktemp("digits-study")
    facts = DataFacts(name="digits", fingerprint=dataset.fingerprint, counts=dict(dataset.counts), classes=10)
    record = make_record("lenet@32", 0.9, data=facts, val=make_metrics(0.9, len(block.labels)))
    save(out, record)
    predicted = block.labels.copy()
    predicted[:30] = (predicted[:30] + 1) % 10
    # Confidence grows with the position: of the mistakes number 29 comes first, of the hits number 30.
    save_predictions(
        out, record, np.eye(10)[predicted] * np.linspace(1, 4, len(predicted))[:, None], block.labels, ids=block.ids
    )
    return out, record, dict(zip(block.ids, zip(block.images, block.labels, strict=True), strict=True)), cache


def test_names_of_classes_are_shown_on_one_line_and_cannot_turn_the_text_around(tmp_path: Path) -> None:
    names = ["new\nline", "\u202ecat", "red_fox", "قط"]
    save_bundle(tmp_path / "bundle", make_record(), classes=names)
    shown = read_classes(tmp_path, make_record(), 4).names
    assert shown == ("new\\nline", "\\u202ecat", "red fox", "\u2068قط\u2069")


@pytest.mark.parametrize(
    "damage", [{"classes": 5}, {"classes": [1, 2]}, {"superclasses": ["pets"], "superclass_of": [0, 7]}, {"more": 1}]
)
def test_a_damaged_file_of_labels_leaves_numbers_for_names(tmp_path: Path, damage: dict[str, Any]) -> None:
    facts = {"classes": ["cat", "dog"], "superclasses": None, "superclass_of": None}
    save_bundle(tmp_path / "bundle", make_record())
    write_json(tmp_path / "bundle" / "labels.json", facts | damage)
    assert read_classes(tmp_path, make_record(), 2).names == (("cat", "dog") if "more" in damage else ("0", "1"))


def test_names_are_those_of_the_runs_own_data_whichever_bundles_are_in_the_folder(tmp_path: Path) -> None:
    data = make_record().data
    pets, other, birds = (
        make_record(id=letter * 12, data=data.model_copy(update={"fingerprint": fingerprint * 64}))
        for letter, fingerprint in (("a", "1"), ("b", "1"), ("c", "2"))
    )
    save(tmp_path, pets, other, birds)
    save_bundle(tmp_path / "bundle", pets, classes=["cat", "dog"])
    assert read_classes(tmp_path, other, 2).names == ("cat", "dog")
    assert read_classes(tmp_path, birds, 2).names == ("0", "1")
    save_bundle(tmp_path / "bundle-onnx", birds, classes=["robin", "wren"])
    assert read_classes(tmp_path, birds, 2).names == ("robin", "wren")
    shutil.rmtree(run_dir(tmp_path, pets.id))
    assert read_classes(tmp_path, pets, 2).names == ("cat", "dog")
    assert read_classes(tmp_path, other, 2).names == ("0", "1")


def test_names_of_classes_are_kept_for_when_the_shards_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = make_record(val=make_metrics(n=4))
    save(tmp_path, record)
    save_predictions(tmp_path, record, [[5.0, 0.0]] * 4, [0, 0, 1, 1])
    data = SimpleNamespace(class_names=("red_fox", "dog"), superclass_names=None, superclass_of=None)
    with monkeypatch.context() as there:
        there.setattr("bakeoff.report.class_names.find_dataset", lambda *_: data)
        assert "from dog (0.0 %" in text_of(tmp_path)
    assert read_classes(tmp_path, record, 2).names == ("red fox", "dog")
    assert [check for check in verify_views(tmp_path) if not check.matches] == []
    RunFolder(run_dir(tmp_path, record.id)).labels.unlink()
    text = text_of(tmp_path)
    assert "from 1 (0.0 %" in text
    assert "Numbers stand for the names of the classes" in text


def test_the_page_says_from_which_confidence_answers_are_right_often_enough(tmp_path: Path) -> None:
    """A hundred confident answers, one of them wrong, and a hundred others, forty of them wrong; reversed on test."""
    record = make_record(val=make_metrics(), test_top1=0.8)
    save(tmp_path, record)
    confident, unsure = [8.0, 0.0], [1.0, 0.0]
    logits = [confident] * 100 + [unsure] * 100
    save_predictions(tmp_path, record, logits, [0] * 99 + [1] + [0] * 60 + [1] * 40)
    save_predictions(tmp_path, record, logits[::-1], [0] * 99 + [1] + [0] * 60 + [1] * 40, split="test")
    coverage = describe_coverage(tmp_path, record)
    assert coverage is not None
    assert coverage.splits == ["validation", "test"]
    rows = {row.precision: row for row in coverage.rows}
    assert rows["98.0 %"].splits == [
        ("100 of 200 (50.0 %)", "99.0 % (94.6 to 99.8 %)"),
        ("100 of 200 (50.0 %)", "60.0 % (50.2 to 69.1 %)"),
    ]
    assert rows["98.0 %"].confidence == rows["99.0 %"].confidence
    assert coverage.drawing is not None
    assert "confidence from" in coverage.drawing.svg
    text = text_of(tmp_path)
    assert "When should it not answer?" in text
    assert f"98.0 % {rows['98.0 %'].confidence} 100 of 200 (50.0 %) 99.0 % (94.6 to 99.8 %)" in text


def test_the_thresholds_of_a_refit_are_chosen_by_the_run_that_it_repeats(tmp_path: Path) -> None:
    confirmed = make_record()
    refit = make_record(test_top1=0.8, id="f" * 12, refit_of=confirmed.id)
    save(tmp_path, confirmed, refit)
    save_predictions(tmp_path, confirmed, [[5.0, 0.0]] * 40, [0] * 39 + [1])
    save_predictions(tmp_path, refit, [[5.0, 0.0]] * 50, [0] * 40 + [1] * 10, split="test")
    coverage = describe_coverage(tmp_path, refit)
    assert coverage is not None
    assert coverage.rows[0].splits == [
        ("40 of 40 (100.0 %)", "97.5 % (87.1 to 99.6 %)"),
        ("50 of 50 (100.0 %)", "80.0 % (67.0 to 88.8 %)"),
    ]


def test_too_few_validation_images_have_no_threshold(tmp_path: Path) -> None:
    record = make_record()
    save(tmp_path, record)
    save_predictions(tmp_path, record, [[5.0, 0.0]] * 20, [0] * 20)
    coverage = describe_coverage(tmp_path, record)
    assert coverage is not None
    assert coverage.drawing is None
    assert {row.missing for row in coverage.rows} == {"validation has no 30 answers that are right so often"}
    assert "validation has no 30 answers" in text_of(tmp_path)


def test_the_gallery_shows_the_original_images_and_saves_them(digits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert shown.mistakes[0].predicted != shown.mistakes[0].name
    assert shown.hits[0].predicted == shown.hits[0].name
    assert shown.mistakes[0].confidence > shown.mistakes[1].confidence
    # Without the cache the saved images are shown.
    monkeypatch.setenv("BAKEOFF_CACHE_DIR", "/nowhere")
    again = show_images(out, record)
    assert again is not None
    assert [picture.url for picture in again.mistakes] == [picture.url for picture in shown.mistakes]
