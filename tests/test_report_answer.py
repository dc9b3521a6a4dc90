"""The first section in two sentences, the table of why, and what each point of a learning curve stands on."""

import html
import re
from pathlib import Path
from typing import Any

import pytest

from bakeoff.report import write_report
from bakeoff.report.answer import describe_answer, describe_failure, describe_losses, describe_next
from bakeoff.report.board import explain, rank
from bakeoff.report.bundled import explain_other
from bakeoff.report.certainty import compare_leaders, list_doubts
from bakeoff.report.learning import draw_learning
from bakeoff.report.page import render_report
from bakeoff.report.template import mark_commands
from bakeoff.report.why import explain_in_table
from bakeoff.runs.config import Metric, Mode
from bakeoff.runs.folder import run_dir
from bakeoff.runs.history import CURVE_POINTS, read_curve, write_curve
from bakeoff.runs.record import RunRecord, Stage, State, WeightsFacts, list_records, write_record
from bakeoff.runs.study_file import AnyStudy
from factories import make_record, save_bundle
from studies import write_study


def say(winner: RunRecord, confirmed: RunRecord | None = None, metric: Metric = Metric.TOP1) -> str:
    answer = describe_answer(winner, confirmed or winner, metric)
    return f"{answer.do} {answer.network}{answer.how} {answer.score} {answer.standing}"


def test_the_first_sentence_names_network_accuracy_and_interval() -> None:
    assert say(make_record("a@96", 0.8, test_top1=0.77)) == (
        "Use a, fine-tuned at 96 by 96 pixels. 77.0 % of 1,000 test images were classified correctly (top-1),"
        " 95 % interval 74.3 to 79.5 %."
    )


def test_before_the_test_the_score_is_that_on_validation() -> None:
    assert "of 1,000 validation images were" in say(make_record("a@96", 0.8))
    folded = make_record("a@96", 0.8, n=720, folds=10, mode=Mode.PROBE)
    assert "of 720 images in 10-fold cross-validation were" in say(folded)


def test_the_sentence_says_what_was_done_with_the_network() -> None:
    probe = make_record("a@96", mode=Mode.PROBE)
    assert say(probe).startswith("Use a, frozen, with a linear classifier on its features, at 96 by 96 pixels.")
    assert say(make_record("a@96", start_kept=True)).startswith("Use a, frozen, ")
    assert say(make_record("a@96", mode=Mode.PROBE, stage=Stage.SCREEN)).startswith("Fine-tune a at 96 by 96 pixels.")
    random = WeightsFacts(origin="random", hash="none")
    lenet = make_record("lenet@32", weights=random)
    continued = lenet.model_copy(
        update={
            "config": lenet.config.revised(model={"start": "runs/a/model.keras"}),
            "weights": WeightsFacts(origin="run", hash=""),
        }
    )
    for record in (lenet, continued):
        assert say(record).startswith("Use lenet, trained at 32 by 32 pixels.")


def test_another_metric_that_decides_comes_first_and_top1_is_named() -> None:
    answer = describe_answer(make_record(), make_record(), Metric.LOG_LOSS)
    assert answer.standing.startswith("log loss on 1,000 validation images, 95 % interval")
    assert answer.top1 == "80.0 %"


def test_a_refit_without_a_test_has_no_score_of_its_own() -> None:
    refit = make_record(val=None)
    assert describe_answer(refit, refit, Metric.TOP1).score == ""


@pytest.mark.parametrize(
    ("changes", "bundled", "command"),
    [
        ({"test_top1": 0.8}, True, "bakeoff predict 'my study/bundle' image.png"),
        ({}, False, "bakeoff evaluate 'my study/runs/cccccccccccc'"),
        ({"test_top1": 0.8}, False, "bakeoff export 'my study/runs/cccccccccccc'"),
        ({"model_bytes": 0, "stage": Stage.SCREEN}, False, "bakeoff run photos/ --budget 10m"),
    ],
    ids=["bundle", "untested", "tested", "screened"],
)
def test_the_second_sentence_has_the_command_to_run_next(
    tmp_path: Path, changes: dict[str, Any], bundled: bool, command: str
) -> None:
    out, winner = tmp_path / "my study", make_record(id="c" * 12, **changes)
    save_bundle(out / "bundle", winner, run=winner.id if bundled else "another")
    started = "bakeoff screen photos/ --budget 10m"
    assert describe_next(out, AnyStudy(command=started), winner).command == command
    for place in (" --data-dir 'my archives'", """ --data-dir '/data/o'"'"'hara'"""):
        step = describe_next(out, AnyStudy(command=f"{started}{place} --seed 1"), winner)
        if winner.stage is Stage.SCREEN:
            assert step.command == f"{command}{place} --seed 1"
        else:
            assert step.command == (command if bundled else f"{command}{place}")


def test_the_commands_of_the_page_can_be_copied_where_the_folder_has_a_space(tmp_path: Path) -> None:
    out, winner = tmp_path / "my study", make_record()
    write_record(run_dir(out, winner.id), winner)
    save_bundle(out / "bundle", winner)
    page = html.unescape(render_report(out))
    assert "bakeoff verify 'my study'\n" in page
    assert 'keras.models.load_model("my study/bundle/model.keras", compile=False)' in page
    assert f"`bakeoff export '{run_dir(out, 'another')}'`" in explain_other(out / "bundle", "another")


def test_a_screen_of_the_digits_that_come_with_it_is_continued_by_a_run(tmp_path: Path) -> None:
    step = describe_next(tmp_path, AnyStudy(command="bakeoff screen"), make_record(model_bytes=0, stage=Stage.SCREEN))
    assert step.command == "bakeoff run"


def test_without_a_winner_the_next_thing_is_to_read_why(tmp_path: Path) -> None:
    step = describe_next(tmp_path, AnyStudy(), None)
    assert step.command == ""
    assert "the reasons are in the table" in step.words


def test_where_nothing_completed_the_most_frequent_reason_is_said() -> None:
    lost = [make_record(f"{name}@96", None, state=State.FAILED, reason="out of memory") for name in "abc"]
    assert describe_losses(lost) == "All 3 runs stopped: out of memory."
    other = make_record("d@96", None, state=State.FAILED, reason="the loss became nan.")
    assert describe_losses([*lost, other]) == "4 runs stopped, 3 of them for this reason: out of memory."
    assert describe_losses([make_record(state=State.RUNNING)]) == "No run has ended yet."
    assert describe_losses([other]) == "The only run stopped: the loss became nan."


def test_a_confirming_run_that_failed_is_said_in_the_first_section(tmp_path: Path) -> None:
    records = list_records(write_study(tmp_path, confirms=False))
    race = next(record for record in records if record.stage is Stage.RACE)
    assert describe_failure(race, records) == (
        "The confirming run of convnext-tiny@160 failed: the loss became nan after 41,216 images, at rate 0.0011. The"
        " result on this page is of the race stage."
    )
    confirmed = make_record(stage=Stage.CONFIRM)
    assert describe_failure(confirmed, [*records, confirmed]) == ""


def test_the_table_of_why_has_the_winner_and_its_nearest_rivals() -> None:
    records = [
        make_record("a@96", 0.82, stage=Stage.CONFIRM, seconds=300),
        make_record("a@96", 0.80, seconds=60, memory_peak_bytes=400_000_000),
        make_record("b@96", 0.79, seconds=30, memory_peak_bytes=200_000_000),
        make_record("c@96", 0.60, seconds=61, memory_peak_bytes=390_000_000),
        *(make_record(f"d{n}@96", 0.5, seconds=60, memory_peak_bytes=400_000_000) for n in range(5)),
    ]
    why = explain_in_table(rank(records))
    assert why.caption.startswith("The winner and its 4 nearest rivals in the race stage.")
    assert [row.name for row in why.rows[:3]] == ["a@96", "b@96", "c@96"]
    assert len(why.rows) == 5
    first, second, third = why.rows[:3]
    assert (first.behind, first.interval) == ("", "")
    assert (second.behind, second.is_tie) == ("-1.0", True)
    assert (third.behind, third.is_tie) == ("-20.0", False)
    assert why.costs == ["Peak memory", "Trained parameters", "Training time"]
    assert [(cell.text, cell.times, cell.is_least) for cell in second.costs] == [
        ("200 MB", "0.5×", True),
        ("2.3 M", "", False),
        ("30 s", "0.5×", True),
    ]
    assert why.notes == ["The confirm stage trained it again: 82.0 ±2.4 %."]
    resized = make_record("a@128", 0.83, stage=Stage.CONFIRM)
    why = explain_in_table(rank([resized, *records[1:]]))
    assert [row.name for row in why.rows[:2]] == ["a@96", "b@96"]
    assert why.notes == ["The confirm stage trained it again as a@128: 83.0 ±2.3 %."]


def test_the_table_of_why_names_those_that_an_earlier_rung_eliminated() -> None:
    first = [make_record(f"{name}@96", 0.8, seconds=50) for name in "abcd"]
    last = [
        make_record(config=run.config.revised(model={"start": f"runs/{run.id}/model.keras"}), seconds=100, top1=0.8)
        for run in first[:2]
    ]
    why = explain_in_table(rank([*first, *last]))
    assert why.caption.startswith("The winner and its rival in rung 2 of the race.")
    assert [row.name for row in why.rows] == ["a@96", "b@96"]
    assert not any(cell.is_least or cell.times for row in why.rows for cell in row.costs)
    assert why.notes == ["Eliminated in an earlier rung, after less training: c@96, d@96."]


def test_a_winner_without_a_race_was_compared_in_the_screen_only_also_with_a_probe_beside_it() -> None:
    scores = {"a@96": 0.80, "b@96": 0.79}
    records = [make_record(name, top1, stage=Stage.SCREEN, mode=Mode.PROBE) for name, top1 in scores.items()]
    records += [
        make_record("a@96", 0.85, stage=Stage.CONFIRM),
        make_record("b@96", 0.80, stage=Stage.CONFIRM, mode=Mode.PROBE),
    ]
    doubts = list_doubts(AnyStudy(), rank(records), records)
    assert any(doubt.startswith("The candidates were compared in the screen only") for doubt in doubts)


def test_a_frozen_winner_was_not_trained_again() -> None:
    frozen = make_record("a@96", 0.82, stage=Stage.CONFIRM, mode=Mode.PROBE)
    why = explain_in_table(rank([make_record("a@96", 0.80), make_record("b@96", 0.79), frozen]))
    assert why.notes == ["The confirm stage fitted a classifier on its frozen features: 82.0 ±2.4 %."]


@pytest.mark.parametrize(("top1", "images", "says"), [(0.9, 1000, "3 points"), (0.999, 50_000, "0.04 points")])
def test_what_chance_explains_is_never_rounded_to_nothing(top1: float, images: int, says: str) -> None:
    records = [make_record(f"{name}@96", top1, images) for name in "ab"]
    assert f"chance can explain a difference of up to about {says}." in " ".join(
        list_doubts(AnyStudy(), rank(records), records)
    )


@pytest.mark.parametrize(("stage", "mode"), [(Stage.RACE, Mode.FIT), (Stage.SCREEN, Mode.PROBE)])
def test_an_interval_that_is_not_known_is_said_in_words(tmp_path: Path, stage: Stage, mode: Mode) -> None:
    """As of macro F1 in a file of a version that had none."""
    records = []
    for name, score in (("a@96", 0.8), ("b@96", 0.7)):
        record = make_record(name, score, stage=stage, mode=mode)
        assert record.val
        config = record.config.revised(train={"metric": "macro-f1"})
        val = record.val.model_copy(update={"macro_f1_ci95": None})
        records.append(record.model_copy(update={"config": config, "val": val}))
    rows = rank(records)
    leaders = compare_leaders(tmp_path, rows)
    assert leaders is not None
    cells = [cell.interval for _, cells in leaders.rows for cell in cells]
    intervals = [row.interval for row in explain_in_table(rows).rows]
    text = " ".join([explain(rows), *list_doubts(AnyStudy(), rows, records), *cells, *intervals])
    assert re.findall(r"[+-]?\b(?:inf|nan)\b", text) == []
    assert text.count("95 % interval not known") == 1
    assert "can explain is not known, because a score has no interval" in text


def test_probes_of_a_screen_are_shown_with_what_fine_tuning_is_expected_to_make_of_them() -> None:
    scores = {"a@96": 0.80, "b@96": 0.79}
    probes = [make_record(name, top1, stage=Stage.SCREEN, mode=Mode.PROBE) for name, top1 in scores.items()]
    why = explain_in_table(rank(probes))
    assert "Differences are those that are expected after fine-tuning." in why.caption
    assert (why.rows[1].behind, why.rows[1].is_tie) == ("-1.0", True)
    assert (
        "On other validation images, or after fine-tuning, b@96 could be first. With this number of images, chance and"
        " fine-tuning can explain a difference of up to about 5 points."
    ) in list_doubts(AnyStudy(), rank(probes), probes)


def test_what_was_not_measured_is_no_column_and_no_least() -> None:
    records = [
        make_record("a@96", 0.8, memory_peak_bytes=0, params_trainable=10),
        make_record("b@96", 0.7, memory_peak_bytes=0, params_trainable=0),
    ]
    why = explain_in_table(rank(records))
    assert why.costs == ["Trained parameters", "Training time"]
    assert [row.costs[0].is_least for row in why.rows] == [False, False]


def test_a_winner_off_the_pareto_front_is_said_below_the_table() -> None:
    records = [
        make_record("a@96", 0.80, seconds=60, stage=Stage.RACE),
        make_record("b@96", 0.80, seconds=10, stage=Stage.RACE, params_trainable=9),
    ]
    rows = rank(records, criteria={"accuracy": 1})
    why = explain_in_table(sorted(rows, key=lambda row: row.name))
    assert why.notes == ["It is not on the Pareto front: b@96 is no worse on any criterion and better on one."]


def test_without_rivals_there_is_a_sentence_and_no_table() -> None:
    why = explain_in_table(rank([make_record("a@96", 0.8)]))
    assert why.rows == []
    assert "It was not compared with another candidate" in why.notes[0]


def test_the_learning_curves_say_what_their_points_stand_on(tmp_path: Path) -> None:
    records = list_records(write_study(tmp_path))
    for record in records:
        if curve := read_curve(run_dir(tmp_path, record.id)):
            assert len(curve) == (CURVE_POINTS if record.state is State.COMPLETE else 4)
    drawn = draw_learning(tmp_path, records, rank(records), "c" * 12)
    assert drawn is not None
    assert "A full dot is an evaluation on 1,000 to 1,200 validation images." in drawn.caption
    assert "A hollow dot is a quick score on 225 validation images" in drawn.caption
    assert "training loss since the point before" in drawn.caption
    assert "on 225 images</title>" in drawn.svg
    assert drawn.svg.count(": training loss ") >= CURVE_POINTS


def test_a_run_whose_points_have_no_score_still_has_a_curve(tmp_path: Path) -> None:
    write_study(tmp_path, candidates=1)
    (record,) = (each for each in list_records(tmp_path) if each.stage is Stage.CONFIRM)
    folder = run_dir(tmp_path, record.id)
    (folder / "history.csv").unlink()
    unscored = {"val_images": 0, "val_top1": None, "val_loss": None}
    write_curve(folder, [point.model_copy(update=unscored) for point in read_curve(folder)])
    drawn = draw_learning(tmp_path, [record], rank([record]), record.id)
    assert drawn is not None
    assert "hollow" not in drawn.caption


def test_the_two_sentences_are_on_the_page_with_the_command(tmp_path: Path) -> None:
    page = write_report(write_study(tmp_path / "harbour")).read_text()
    assert "<strong>convnext-tiny</strong>, fine-tuned at 160 by 160 pixels." in page
    assert "<kbd>bakeoff predict harbour/bundle image.png</kbd>" in page


def test_a_command_in_a_warning_is_code_and_all_else_is_escaped() -> None:
    assert mark_commands("see `bakeoff data check`, not <b>") == "see <code>bakeoff data check</code>, not &lt;b&gt;"
