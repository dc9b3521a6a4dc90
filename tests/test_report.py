"""The page shows what the records hold, loads nothing else, and is the same every time."""

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.errors import OutputError
from bakeoff.report import write_report
from bakeoff.report.facts import describe_recipe
from bakeoff.report.verify import verify_views
from bakeoff.runs.config import Run
from bakeoff.runs.folder import run_dir
from bakeoff.runs.history import HistoryRow, write_history
from bakeoff.runs.record import DataFacts, RunRecord, Seconds, Stage, State, WeightsFacts, write_record
from factories import make_metrics, make_record, save_bundle

VOID = {"meta", "br", "input", "img"}


class Page(HTMLParser):
    """The parsed page; `unclosed` is empty if its tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.unclosed: list[str] = []
        self.seen: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids.update(value or "" for name, value in attrs if name == "id")
        if tag not in VOID:
            self.unclosed.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.unclosed.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.unclosed.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script", "svg"} & set(self.unclosed):
            self.words.append(data)


def save(out: Path, *records: RunRecord) -> None:
    for record in records:
        write_record(run_dir(out, record.id), record)


def read_page(out: Path) -> Page:
    page = Page(write_report(out).read_text(encoding="utf-8"))
    assert page.unclosed == []
    return page


def save_history(out: Path, record: RunRecord) -> None:
    step: dict[str, Any] = {
        "epoch": 1,
        "images_seen": 9,
        "size": 32,
        "learning_rate": 0.1,
        "train_loss": 1,
        "val_loss": 1,
    }
    rows = [HistoryRow(seconds=10.0 * n, progress=n / 3, val_top1=n / 5, **step) for n in (1, 2, 3)]
    write_history(run_dir(out, record.id), rows)


def save_predictions(out: Path, record: RunRecord, counts: Any, split: str = "test", logit: float = 4.0) -> None:
    """Save predictions with these counts of true (rows) and predicted classes, all with the same logit."""
    counts = np.asarray(counts)
    true, predicted = (each.repeat(counts.ravel()) for each in np.indices(counts.shape).reshape(2, -1))
    facts = {"logits": logit * np.eye(len(counts), dtype=np.float16)[predicted], "labels": true.astype(np.int32)}
    ids = np.array([f"image-{n}" for n in range(len(true))])
    np.savez_compressed(run_dir(out, record.id) / f"{split}-logits.npz", ids=ids, **facts)


DATA = DataFacts(name="cifar<100>", fingerprint="d" * 64, counts={"train": 45000, "val": 5000}, classes=3)
WINNER = make_record("a@96", 0.8, seconds=310, stage=Stage.CONFIRM, test_top1=0.77, id="c" * 12, data=DATA)
RACE = [
    make_record("a@96", 0.7, seconds=50, memory_peak_bytes=500_000_000),
    make_record("b@64", 0.65, seconds=20, memory_peak_bytes=300_000_000),
    make_record("p@64", 0.2, seconds=9, state=State.PRUNED, reason="far behind"),
    make_record("f@64", None, seconds=0, state=State.FAILED, reason="out of memory: 6 GB > 4 GB"),
]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with everything in it."""
    out = tmp_path_factory.mktemp("study")
    save(out, WINNER, *RACE)
    for record in (WINNER, *RACE[:3]):
        save_history(out, record)
    save_predictions(out, WINNER, [[90, 8, 2], [1, 99, 0], [30, 0, 70]])
    save_bundle(out / "bundle", WINNER, classes=["apple", "<b>bear</b>", "金_$x$"])
    study = {
        "data": {
            "name": "cifar<100>",
            "counts": {"train": 45000, "val": 5000},
            "classes": 2,
            "fingerprint": "0",
            "notes": ["14 images are copies"],
            "quarantined": [{"key": "k", "reason": "r"}],
        },
        "budget_seconds": 600,
        "seconds": {"prepare": 20.0, "race": 200.0},
        "stages": [
            {
                "stage": "race",
                "seconds": 1,
                "runs": ["1"] * 4,
                "dropped": [{"id": RACE[1].id, "why": "5 points behind"}],
            },
        ],
        "command": "bakeoff run cifar100 --budget 10m",
        "started": "2026-01-02T03:04:05Z",
        "something new": {},
    }
    (out / "study.json").write_text(json.dumps(study))
    return out


@pytest.fixture(scope="module")
def page(full: Path) -> Page:
    return read_page(full)


def test_the_page_opens_with_the_answer_on_test(page: Page) -> None:
    assert (
        "Use a , fine-tuned at 96 by 96 pixels. 77.0 % of 1,000 test images were classified correctly (top-1),"
        " 95 % interval 74.3 to 79.5 %. Next, let it name what is on your own images:" in page.text
    )
    assert "The test split was opened once for this run" in page.text
    assert "Top-1 80.0 % 77.0 %" in page.text
    titles = [
        "The answer",
        "Accuracy and its uncertainty",
        "What it cost",
        "Why it won",
        "What could change the result",
        "Where it fails",
        "How to use it",
        "How to check the results",
    ]
    places = [page.text.rindex(title) for title in titles]
    assert places == sorted(places)
    linked = [value for tag, name, value in page.attributes if (tag, name) == ("a", "href")]
    assert len(linked) == len(titles)
    assert all(page.ids[link.removeprefix("#")] == 1 for link in linked)


def test_the_page_gives_the_recipe(page: Page) -> None:
    assert "Length 3 epochs" in page.text
    assert "adamw, batch 64, rate 0.001 (10 % warm-up, then cosine)" in page.text


def test_the_page_gives_the_reason(page: Page) -> None:
    assert "The winner and its rival in the race stage." in page.text
    assert "a@96 winner 70.0 ±2.8 500 MB 2.3 M 50 s b@64 65.0 ±3.0 -5.0 (-9.1 to -0.9)" in page.text
    assert "The confirm stage trained it again: 80.0 ±2.5 %." in page.text


def test_every_candidate_is_on_the_page_with_why_it_stopped(page: Page) -> None:
    assert "PRUNED far behind" in page.text
    assert "FAILED out of memory: 6 GB > 4 GB" in page.text
    assert ("span", "aria-label", "on the Pareto front") in page.attributes


def test_the_page_gives_the_size_of_the_model_and_the_error_of_the_prediction(page: Page) -> None:
    assert "500 MB (+20 %) 2.3 M 2.4 M 50 s 500 9.6 MB" in page.text


def test_random_weights_and_other_caveats_are_under_the_name(tmp_path: Path) -> None:
    config = Run.model_validate({"model": {"name": "vgg-16", "weights": "none"}})
    random = WeightsFacts(origin="random", hash="none")
    partial = WeightsFacts(origin="file", hash="e" * 64, tensors_matched=250, tensors_total=260)
    save(
        tmp_path,
        make_record(config=config, weights=random),
        make_record("b@64", weights=partial, micro_batch=16),
        make_record("f@64", None, state=State.FAILED, reason="boom", config=config, weights=random, id="f" * 12),
    )
    text = read_page(tmp_path).text
    assert "vgg-16@96 RANDOM WEIGHTS ★" in text
    assert "b@64 only 250 of 260 tensors loaded micro-batch 16, batch 64 ★" in text
    assert "vgg-16@96 RANDOM WEIGHTS FAILED boom" in text


def test_the_page_says_where_the_time_went(page: Page) -> None:
    assert "Prepare 20 s" in page.text
    assert "Race 3.3 min 4 b@64: 5 points behind" in page.text
    assert "of a budget of 10.0 min (90 %)" in page.text


def test_the_most_frequent_confusions_come_first_without_the_diagonal(page: Page) -> None:
    assert "金 $x$ apple 30 30.0 % 21.9 to 39.6 % apple <b>bear</b> 8 8.0 % 4.1 to 15.0 %" in page.text
    assert "apple apple 90" not in page.text


def test_the_page_says_how_it_was_measured(page: Page) -> None:
    for words in (
        "1 image was left out",
        "14 images are copies.",
        "bakeoff run cifar100",
        "CPU, 2 threads",
        "keras 3.15.0",
    ):
        assert words in page.text
    assert "The test split was opened for a@96 (once)." in page.text
    assert f"{WINNER.data.fingerprint}" in page.text


def test_the_page_says_how_to_use_the_result(full: Path, page: Page) -> None:
    assert f"bakeoff predict {full.name}/bundle image.png" in page.text


def test_names_are_escaped(full: Path, page: Page) -> None:
    assert "cifar<100>" in page.text
    assert page.seen["b"] == 0
    assert page.seen["script"] == 1
    assert "<b>bear" not in (full / "report.html").read_text()


def test_the_page_loads_nothing_else(full: Path, page: Page) -> None:
    links = [value for _, name, value in page.attributes if name in ("src", "href", "xlink:href")]
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)
    text = (full / "report.html").read_text()
    assert not re.search(r"url\((?!#)|@import", text)
    assert len(text.encode()) < 1_500_000


def test_the_same_files_give_the_same_bytes(full: Path, page: Page) -> None:
    before = (full / "report.html").read_bytes()
    assert page
    assert write_report(full).read_bytes() == before


def test_tables_and_figures_are_accessible(page: Page) -> None:
    assert page.seen["table"] == page.seen["caption"] == 7
    assert sum(tag == "th" and name == "scope" for tag, name, _ in page.attributes) == page.seen["th"]
    assert page.seen["svg"] == page.seen["figcaption"] == 8
    assert sum(tag == "svg" and (name, value) == ("role", "img") for tag, name, value in page.attributes) == 8
    assert all(value for tag, name, value in page.attributes if tag == "svg" and name == "aria-label")


def test_no_id_occurs_twice(page: Page) -> None:
    assert [name for name, times in page.ids.items() if times > 1] == []


def test_a_study_without_a_test_says_so(tmp_path: Path) -> None:
    save(tmp_path, make_record("a@96", 0.8, stage=Stage.SCREEN, memory_peak_bytes=0))
    page = read_page(tmp_path)
    assert "80.0 % of 1,000 validation images were classified correctly (top-1)" in page.text
    assert "The test split has not been opened." in page.text
    assert "It was not compared with another candidate" in page.text
    for absent in ("Accuracy against cost", "Learning curves", "Confusions", "budget of"):
        assert absent not in page.text


def test_opening_the_test_again_is_a_warning(tmp_path: Path) -> None:
    save(tmp_path, make_record(test_top1=0.7, openings=3))
    page = read_page(tmp_path)
    assert "The test split was opened 3 times for this run. If anything was changed" in page.text
    assert "mobilenet-v2@96 (3 times)" in page.text


def test_classes_without_test_images_are_named(tmp_path: Path) -> None:
    test = WINNER.test.model_copy(update={"absent": (1,)}) if WINNER.test else None
    save(tmp_path, WINNER.model_copy(update={"test": test}))
    save_bundle(tmp_path / "bundle", WINNER, classes=["ant", "bee", "cat"])
    text = read_page(tmp_path).text
    assert (
        "No test image shows this class: bee. Macro F1, balanced accuracy and AUROC are means over the other 2." in text
    )
    assert "No validation image" not in text


def test_the_bundle_of_another_run_is_not_offered_as_the_winners(tmp_path: Path) -> None:
    save(tmp_path, WINNER)
    save_bundle(tmp_path / "bundle", WINNER, run="another")
    text = read_page(tmp_path).text
    assert "bundle/ holds the model of another run, another" in text
    assert "bundle image.png" not in text


def test_superclasses_are_shown_where_there_are_any(tmp_path: Path) -> None:
    save(tmp_path, make_record(val=make_metrics(superclass_top1=0.912)))
    assert "Superclass top-1 91.2 %" in read_page(tmp_path).text


def test_a_study_where_nothing_completed_still_has_a_page(tmp_path: Path) -> None:
    save(tmp_path, make_record("f@64", None, state=State.FAILED, reason="boom", seconds=0))
    page = read_page(tmp_path)
    assert "No candidate completed, so there is no network to recommend. The only run stopped: boom." in page.text
    assert "FAILED boom" in page.text
    assert "How to use it" not in page.text


def test_a_study_without_recorded_time_has_no_figures(tmp_path: Path) -> None:
    save(tmp_path, make_record("f@64", None, state=State.FAILED, reason="boom", seconds=Seconds()))
    assert read_page(tmp_path).seen["svg"] == 0


def test_a_failure_is_listed_beside_a_success_of_the_same_network(tmp_path: Path) -> None:
    save(
        tmp_path,
        make_record("a@96", 0.8),
        make_record("a@96", None, state=State.FAILED, reason="diverged", id="0" * 12),
    )
    assert "FAILED" in (text := read_page(tmp_path).text)
    assert "diverged" in text


def test_a_probe_and_a_growing_head_only_run_are_described(tmp_path: Path) -> None:
    probe = Run.model_validate({"train": {"mode": "probe"}})
    save(tmp_path / "probe", make_record(config=probe))
    assert "a probe on frozen features" in read_page(tmp_path / "probe").text
    head = {"train": {"images": 500, "sizes": [32]}, "model": {"unfreeze": 0}, "augment": {"policy": "none"}}
    save(tmp_path / "head", make_record(config=Run.model_validate(head)))
    text = read_page(tmp_path / "head").text
    assert "only the head Length 500 images, growing through 32, 96 pixels" in text
    assert "Augmentation none Precision" in text


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds no runs; give the folder of a study"):
        write_report(tmp_path)


@pytest.mark.parametrize(("text", "message"), [("{", "Expecting"), ('{"stages": 3}', "stages: Input"), ("[]", "Input")])
def test_a_damaged_study_is_named(tmp_path: Path, text: str, message: str) -> None:
    save(tmp_path, WINNER)
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(OutputError, match=r"cannot read .*study\.json") as error:
        write_report(tmp_path)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("logits", "labels"), [([[0.0, 1.0]], [2]), ([[0.0, 1.0]], [-1]), ([[0.0, 1.0]], [0, 1]), ([0.0], [0]), ([], [])]
)
def test_damaged_predictions_are_named(tmp_path: Path, logits: Any, labels: Any) -> None:
    save(tmp_path, WINNER)
    np.savez(run_dir(tmp_path, WINNER.id) / "test-logits.npz", logits=np.array(logits), labels=np.array(labels))
    with pytest.raises(OutputError, match=r"test-logits\.npz does not hold one row of logits for each label"):
        write_report(tmp_path)
    (run_dir(tmp_path, WINNER.id) / "test-logits.npz").write_bytes(b"PK half a file")
    with pytest.raises(OutputError, match=r"cannot read .*test-logits\.npz"):
        write_report(tmp_path)


def test_a_model_without_confusions_has_a_matrix_and_no_pairs(tmp_path: Path) -> None:
    save(tmp_path, WINNER)
    save_predictions(tmp_path, WINNER, [[5, 0, 0], [0, 0, 0], [0, 0, 2]])
    text = read_page(tmp_path).text
    assert "7 test images of 3 classes" in text
    assert "Predicted class" not in text
    # A class without images has no accuracy. Without names, classes are numbers.
    assert "All 2 classes in a table" in text
    assert "0 5 5 100.0 % 56.6 to 100.0 % –" in text


def test_a_run_of_other_data_is_named_and_is_not_on_the_page(tmp_path: Path) -> None:
    other = make_record("z@32", 0.99, stage=Stage.TRAIN, data=DATA.model_copy(update={"fingerprint": "f" * 64}))
    save(tmp_path, *RACE)
    (tmp_path / "study.json").write_text(json.dumps({"data": DATA.model_dump(exclude={"fit"})}))
    before = read_page(tmp_path).text
    save(tmp_path, other)
    after = read_page(tmp_path).text
    named = (
        "1 run of other images, labels, classes or fit (z@32) is no part of the study."
        f" bakeoff board {tmp_path.name} lists all runs of the folder."
    )
    assert named in after
    assert after.replace(f"{named} ", "") == before
    assert [check for check in verify_views(tmp_path) if not check.matches] == []


def test_what_another_version_wrote_of_a_plan_is_one_line_and_the_page_is_there(tmp_path: Path) -> None:
    save(tmp_path, make_record("a@96", 0.8))
    entrant = {"candidate": "a@96", "family": "a", "colour": "blue"}
    plan = {"settings": {"train.seconds": 3, "new": None}, "new": 1, "field": {"entrants": [entrant]}}
    (tmp_path / "study.json").write_text(json.dumps({"plan": plan, "new": 1}))
    text = read_page(tmp_path).text
    assert "How the candidates were chosen cannot be shown, because another version of bakeoff wrote it" in text
    assert "(plan.field.entrants.0.colour: Extra inputs are not permitted)." in text


def test_a_run_that_continues_another_says_so(tmp_path: Path) -> None:
    record = make_record("a@96", 0.8)
    config = record.config.revised(model={"start": "runs/0123456789ab/model.keras"})
    save(tmp_path, record.model_copy(update={"config": config}))
    assert "from run 0123456789ab, which this run continues" in read_page(tmp_path).text


def test_the_recipe_describes_the_trained_part_and_the_augmentation() -> None:
    run = Run().revised(model={"unfreeze": "block5"}, augment={"policy": "flip-rotate-zoom-contrast", "zoom": 0.2})
    words = dict(describe_recipe(run))
    assert words["Trained part"] == "from block5 on, and the head"
    assert words["Augmentation"].endswith("-contrast, rotation 0.1, zoom 0.2, contrast 0.1")
    assert dict(describe_recipe(Run()))["Augmentation"] == "flip-crop, crop 0.125"
    assert dict(describe_recipe(Run().revised(model={"unfreeze": 0})))["Trained part"] == "only the head"
