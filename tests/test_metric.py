"""The metric that decides: what it is by the classes, and that ranks, ties, sentences and studies follow it."""

import csv
import io

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss, roc_auc_score

from bakeoff.api.arguments import read_metric
from bakeoff.data.shards import open_dataset, prepare
from bakeoff.data.sources import open_source
from bakeoff.errors import ConfigError, NothingTrainedError, OutputError
from bakeoff.report.board import explain_win, format_csv, format_estimate, order_of, rank, read_row
from bakeoff.report.board.comparing import expect_error, measure_lead
from bakeoff.report.board.rows import read_merit
from bakeoff.runs.calibration import softmax
from bakeoff.runs.config import Data, Metric, Monitor, Run, run_id
from bakeoff.runs.findings import Verdict
from bakeoff.runs.folder import run_dir
from bakeoff.runs.history import read_history, write_history
from bakeoff.runs.measures import RESAMPLES, resample
from bakeoff.runs.measures import prepare as prepare_measure
from bakeoff.runs.metrics import score
from bakeoff.runs.paired import compare, summarise
from bakeoff.runs.predictions import Predictions, write_predictions
from bakeoff.runs.record import Stage
from bakeoff.study import open_state, propose
from bakeoff.study.deciding import Decision, choose_metric, decide_by
from factories import encode_png, make_metrics, make_record
from running import run_cli
from test_plan import FORECAST, LITES, _finish, _plan
from test_study_state import DATA


@pytest.fixture
def predictions():
    """300 uneven images of seven classes: the sixth has none in the split, and the seventh few."""
    rng = np.random.default_rng(0)
    labels = rng.choice(7, 300, p=[0.4, 0.3, 0.15, 0.07, 0.05, 0, 0.03]).astype(np.int32)
    logits = rng.normal(size=(300, 7)).astype(np.float32)
    logits[np.arange(300), labels] += np.where(labels < 3, 2.0, 0.3)
    return logits, labels


def _deciding(metric, **changes):
    return decide_by(Run(), metric).revised(**changes)


def _make(name, top1, metric=Metric.TOP1, **scores):
    record = make_record(name, top1, val=make_metrics(top1, **scores))
    return record.model_copy(update={"config": decide_by(record.config, metric)})


# The first is the more accurate; the second is better by every other metric.
OTHERS = {"balanced_accuracy": 0.5, "macro_f1": 0.5, "log_loss": 0.9, "auroc": 0.8}
BETTER = {"balanced_accuracy": 0.7, "macro_f1": 0.7, "log_loss": 0.4, "auroc": 0.95}


def _pair(metric):
    return [_make("a@32", 0.80, metric, **OTHERS), _make("b@32", 0.75, metric, **BETTER)]


def test_every_metric_agrees_with_scikit_learn(predictions):
    logits, labels = predictions
    scored, present = score(logits, labels, None), np.unique(labels)
    predicted, probabilities = logits.argmax(1), softmax(logits.astype(np.float64))
    assert scored.absent == (5,)
    assert scored.macro_f1 == pytest.approx(f1_score(labels, predicted, labels=present, average="macro"))
    with pytest.warns(UserWarning, match="not in y_true"):
        assert scored.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert scored.log_loss == pytest.approx(log_loss(labels, probabilities, labels=range(7)), rel=1e-5)
    areas = [roc_auc_score(labels == label, probabilities[:, label]) for label in present]
    assert scored.auroc == pytest.approx(np.mean(areas))


def test_equal_probabilities_count_half_in_auroc():
    logits = np.repeat(np.float32([[2, 0], [0, 0], [0, 2]]), 10, axis=0)
    labels = np.tile([0, 1], 15).astype(np.int32)
    scored = score(logits, labels, None)
    assert scored.auroc == pytest.approx(roc_auc_score(labels, softmax(logits)[:, 1])) == pytest.approx(0.5)


@pytest.mark.parametrize("metric", Metric)
def test_an_interval_holds_its_value_is_the_same_each_time_and_is_narrower_for_more_images(predictions, metric):
    logits, labels = predictions
    one, again = (score(logits, labels, None).read(metric) for _ in range(2))
    more = score(np.tile(logits, (4, 1)), np.tile(labels, 4), None).read(metric)
    assert one == again
    assert one.value == pytest.approx(more.value)
    assert one.interval[0] < one.value < one.interval[1]
    width, narrower = (high - low for low, high in (one.interval, more.interval))
    assert narrower == pytest.approx(width / 2, rel=0.2)


def test_the_draws_of_auroc_spread_as_those_that_rank_anew(predictions):
    logits, labels = predictions
    kept = labels < 5
    logits, labels = logits[kept][:, :5], labels[kept]
    measure, n = prepare_measure(Metric.AUROC, logits, labels), len(labels)
    rng, probabilities = np.random.default_rng(1), softmax(logits.astype(np.float64))
    probabilities /= probabilities.sum(1, keepdims=True)
    drawn = []
    for _ in range(200):
        chosen = rng.integers(n, size=n)
        areas = [roc_auc_score(labels[chosen] == label, probabilities[chosen, label]) for label in range(5)]
        drawn.append(np.mean(areas))
    (fast,) = resample([measure], n)
    assert fast.shape == (RESAMPLES,)
    assert fast.std() == pytest.approx(np.std(drawn), rel=0.2)


@pytest.mark.parametrize("metric", [Metric.BALANCED, Metric.MACRO_F1, Metric.AUROC])
def test_no_mistake_on_few_images_is_not_certain(metric):
    labels = np.repeat(np.arange(4), 5).astype(np.int32)
    found = score(5 * np.eye(4, dtype=np.float32)[labels], labels, None).read(metric)
    assert found.value == found.interval[1] == 1
    assert 0.6 < found.interval[0] < 0.9


def test_auroc_of_images_of_one_class_is_not_defined():
    scored = score(np.zeros((5, 3), np.float32), np.ones(5, np.int32), None)
    assert scored.auroc is scored.auroc_ci95 is scored.read(Metric.AUROC) is None


@pytest.mark.parametrize("metric", Metric)
def test_the_metric_orders_the_board_and_the_sentence_names_it(metric):
    rows = rank(_pair(metric))
    first = "a@32" if metric is Metric.TOP1 else "b@32"
    assert rows[0].name == first
    assert rows[0].pareto
    assert metric.label in explain_win(rows)
    assert "ahead of" in explain_win(rows)
    # The screen is ordered by the error of the same metric.
    assert sorted(rows, key=expect_error)[0].name == first
    board = list(csv.DictReader(io.StringIO(format_csv(rows))))
    assert {row["metric"] for row in board} == {metric.value}
    assert float(board[0]["val_log_loss"]) == rows[0].val_log_loss
    assert float(board[0]["val_auroc_ci95_low"]) == rows[0].val_auroc_ci95[0]


@pytest.mark.parametrize("metric", Metric)
def test_a_better_score_never_ranks_lower(metric):
    values = [0.55, 0.6, 0.7, 0.9]
    records = [_make(f"n{number}@32", 0.5, metric) for number in range(4)]
    for place, value in enumerate(values):
        scores = records[place].val.model_copy(update={metric.field: value})
        records[place] = records[place].model_copy(update={"val": scores})
    rows = rank(records)
    assert [getattr(row, f"val_{metric.field}") for row in rows] == sorted(values, reverse=not metric.is_loss)
    assert [read_merit(row) for row in rows] == sorted(map(read_merit, rows), reverse=True)
    losses = [expect_error(row) for row in rows]
    assert losses == sorted(losses)


def test_ties_and_differences_are_those_of_the_metric():
    scores = {"log_loss": 0.40, "log_loss_ci95": (0.38, 0.42)}, {"log_loss": 0.50, "log_loss_ci95": (0.47, 0.53)}
    records = [_make(name, 0.8, Metric.LOG_LOSS, **each) for name, each in zip(("a@32", "b@32"), scores, strict=True)]
    better, worse = rank(records)
    assert better.name == "a@32"
    _, low, high, *_ = measure_lead(better, worse)
    assert 0 < low < 0.1 < high
    assert not measure_lead(better, worse).is_tie
    assert measure_lead(*rank([record.model_copy(update={"config": Run()}) for record in records])).is_tie
    assert format_estimate(better) == "0.400 ±0.020"
    assert "0.100 ahead of b@32 (95 % interval +0.064 to +0.136)" in explain_win([better, worse])


def test_a_small_difference_that_all_images_share_is_no_tie_where_predictions_are_at_hand(predictions, tmp_path):
    logits, labels = predictions
    better = logits.copy()
    better[np.arange(len(labels)), labels] += 0.05
    records = []
    for name, each in (("a@32", better), ("b@32", logits)):
        record = make_record(name, val=score(each, labels, None))
        _write(tmp_path, record.id, Predictions(each, labels))
        records.append(record.model_copy(update={"config": decide_by(record.config, Metric.LOG_LOSS)}))
    assert [row.tie for row in rank(records)] == [True, True]
    first, second = rank(records, out=tmp_path)
    assert (first.name, first.tie, second.tie) == ("a@32", False, False)
    _, low, high, *_ = measure_lead(first, second)
    assert 0 < low < second.val_log_loss - first.val_log_loss < high
    assert "tie" not in explain_win([first, second])


def test_runs_of_different_metrics_are_ranked_by_top1():
    rows = rank([_make("a@32", 0.80, Metric.AUROC, **OTHERS), _make("b@32", 0.75, **BETTER)])
    assert [row.name for row in rows] == ["a@32", "b@32"]
    assert {row.metric for row in rows} == {Metric.TOP1}


def test_a_score_that_a_file_lacks_is_missing_and_not_zero():
    missing = _make("a@32", 0.8).val.model_copy(update={"auroc": None, "auroc_ci95": None})
    row = read_row(make_record("a@32", val=missing))
    assert row.val_auroc is None
    (cells,) = csv.DictReader(io.StringIO(format_csv([row])))
    assert cells["val_auroc"] == cells["val_auroc_ci95_high"] == ""


def _write(out, run, predictions):
    run_dir(out, run).mkdir(parents=True)
    write_predictions(run_dir(out, run), predictions)


@pytest.mark.parametrize("metric", Metric)
def test_a_paired_difference_is_positive_for_the_better_run_whatever_is_better(predictions, metric, tmp_path):
    logits, labels = predictions
    ids = [str(number) for number in range(len(labels))]
    better = logits.copy()
    better[np.arange(len(labels)), labels] += 0.6
    _write(tmp_path, "before", Predictions(logits, labels, ids))
    # The same images in another order, and one more.
    order = [*range(len(labels))[::-1], 0]
    _write(tmp_path, "after", Predictions(better[order], labels[order], [*ids[::-1], "another"]))
    gain = compare(tmp_path, ["before"], ["after"], metric)
    assert (gain.images, gain.metric, gain.verdict) == (300, metric, Verdict.HELPS)
    loss = compare(tmp_path, ["after"], ["before"], metric)
    assert loss.points == pytest.approx(-gain.points)
    arm = summarise(tmp_path, [make_record(id="before", val=score(logits, labels, None))], metric)
    assert arm.estimate[0] == pytest.approx(score(logits, labels, None).read(metric).value, abs=1e-3)
    assert compare(tmp_path, ["before"], ["before"], metric).verdict is Verdict.NONE


def test_runs_without_an_image_in_common_cannot_be_compared(predictions, tmp_path):
    logits, labels = predictions
    _write(tmp_path, "a", Predictions(logits, labels, [f"a{n}" for n in range(300)]))
    _write(tmp_path, "b", Predictions(logits, labels, [f"b{n}" for n in range(300)]))
    with pytest.raises(OutputError, match="same images"):
        compare(tmp_path, ["a"], ["b"], Metric.MACRO_F1)


def test_a_study_races_and_confirms_what_leads_by_its_metric():
    scores = [OTHERS, BETTER]
    for metric, first in ((Metric.TOP1, 0), (Metric.BALANCED, 1), (Metric.LOG_LOSS, 1)):
        plan = _plan(150, LITES[:2], decision=Decision(metric, "it decides"))
        runs = propose(plan, [], 150, FORECAST).runs
        assert {run.train.metric for run in runs} == {metric}
        tops = [0.80, 0.75]
        records = [
            _finish(run, Stage.SCREEN, top1, val=make_metrics(top1, **each))
            for run, top1, each in zip(runs, tops, scores, strict=True)
        ]
        proposal = propose(plan, records, 100, FORECAST)
        assert proposal.stage is Stage.CONFIRM
        assert proposal.runs[0].candidate == records[first].candidate
        assert proposal.runs[0].train.metric is metric


def test_a_study_by_another_metric_is_another_study(tmp_path):
    by_f1 = _plan(600, decision=Decision(Metric.MACRO_F1, "macro F1 decides"))
    open_state(tmp_path / "study", by_f1, data=DATA, command="")
    again = _plan(600, decision=Decision(Metric.MACRO_F1, "another sentence"))
    assert open_state(tmp_path / "study", again, data=DATA, command="").plan.decides == "macro F1 decides"
    with pytest.raises(OutputError, match="its metric is 'macro-f1', not 'top1'"):
        open_state(tmp_path / "study", _plan(600), data=DATA, command="")


def _prepare(folder, counts):
    """Class folders with so many grey images each, as shards."""
    rng = np.random.default_rng(0)
    for name, count in counts.items():
        (folder / "images" / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
            (folder / "images" / name / f"{number}.png").write_bytes(encode_png(pixels))
    prepare(open_source(Data(source=str(folder / "images"))), folder / "shards")
    return open_dataset(folder / "shards")


def test_uneven_classes_are_judged_by_balanced_accuracy_unless_another_metric_is_asked_for(tmp_path, digits):
    uneven = _prepare(tmp_path, {"ant": 100, "bee": 20, "cat": 20})
    assert list(uneven.class_counts("train")) == [80, 16, 16]
    chosen = choose_metric(None, uneven)
    assert chosen.metric is Metric.BALANCED
    assert chosen.sentence == (
        "balanced accuracy decides, because the largest class has 5 times the training images of the smallest"
        " (--metric to change)"
    )
    assert choose_metric(Metric.LOG_LOSS, uneven) == Decision(Metric.LOG_LOSS, "log loss decides, as asked for")
    assert choose_metric(None, digits).metric is Metric.TOP1
    begun = choose_metric(None, uneven, planned=Metric.TOP1)
    assert begun == Decision(Metric.TOP1, "top-1 decides, as it did when the study was begun")
    assert choose_metric(Metric.AUROC, uneven, planned=Metric.TOP1).metric is Metric.AUROC
    # The view of the two small classes is even.
    even = open_dataset(tmp_path / "shards", "bee,cat")
    assert choose_metric(None, even).metric is Metric.TOP1


def test_commands_say_which_metric_decides_and_give_it_to_their_runs(tmp_path, monkeypatch):
    _prepare(tmp_path, {"ant": 100, "bee": 20, "cat": 20})
    images, runs = tmp_path / "images", []
    done = run_cli("tune", images, "--candidate", "lenet", "--budget", "10m", "--dry-run")
    assert "balanced accuracy decides, because the largest class has 5 times" in " ".join(done.stderr.split())
    done = run_cli("tune", images, "--candidate", "lenet", "--budget", "10m", "--dry-run", "--metric", "auroc")
    assert "AUROC decides, as asked for" in done.stderr

    def launch(run, **_):
        runs.append(run)
        raise NothingTrainedError("not tried")

    monkeypatch.setattr("bakeoff.api.runs.launch", launch)
    network = ["--set", "model.name=lenet", "--set", "model.size=32", "--out", tmp_path / "out"]
    for options in ([], ["--metric", "top1"], ["--metric", "macro-f1", "--set", "train.monitor=val_loss"]):
        assert run_cli("train", images, *network, *options).returncode == 3
    assert [(run.train.metric, run.train.monitor) for run in runs] == [
        (Metric.BALANCED, Monitor.METRIC),
        (Metric.TOP1, Monitor.LOSS),
        (Metric.MACRO_F1, Monitor.LOSS),
    ]


def test_the_metric_of_a_recipe_or_a_setting_counts_and_two_are_refused():
    recipe = Run.model_validate({"train": {"epochs": 1, "metric": "auroc"}})
    assert read_metric(None, recipe) is Metric.AUROC
    assert read_metric("top1", recipe) is Metric.TOP1
    assert read_metric(None, Run()) is None
    assert read_metric(None, recipe, ["train.metric=balanced"]) is Metric.BALANCED
    with pytest.raises(ConfigError, match=r"--metric log-loss, but --set train\.metric=balanced"):
        read_metric("log-loss", None, ["train.metric=balanced"])
    with pytest.raises(ConfigError, match='"macro-f1"'):
        read_metric("accuracy")


def test_the_default_metric_leaves_the_id_of_a_run_as_it_was_and_another_changes_it():
    ids = {run_id(_deciding(metric), "d", "w") for metric in Metric}
    assert run_id(Run(), "d", "w") in ids
    assert len(ids) == len(Metric)
    assert _deciding(Metric.TOP1) == Run()
    assert _deciding(Metric.AUROC).train.monitor is Monitor.METRIC


def test_a_history_of_an_earlier_version_is_read_and_what_is_not_defined_stays_so(tmp_path):
    columns = "seconds,progress,epoch,images_seen,size,learning_rate,train_loss,val_loss,val_top1"
    (tmp_path / "history.csv").write_text(f"{columns}\n1,0.5,1,64,32,0.1,2,1.5,0.4\n")
    (row,) = read_history(tmp_path)
    assert (row.read(Metric.LOG_LOSS), row.read(Metric.TOP1), row.read(Metric.AUROC)) == (1.5, 0.4, None)
    write_history(tmp_path, [row])
    assert read_history(tmp_path) == [row]


def test_the_order_of_a_record_alone_is_that_of_its_own_metric():
    records = _pair(Metric.AUROC)
    assert min(records, key=lambda record: order_of(read_row(record))).candidate == "b@32"
