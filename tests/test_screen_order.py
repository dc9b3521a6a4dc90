"""The order of a screen: a better probe against faster training."""

import pytest

from bakeoff.report.board import expect_error, explain, measure_lead, rank, read_row, read_score
from bakeoff.runs.config import Metric, Mode
from bakeoff.runs.record import DataFacts, Stage
from factories import make_metrics, make_record

SLOW = make_record("efficientnet-lite2@128", 0.60, n=2500, stage=Stage.SCREEN, images_per_second=190.0, mode=Mode.PROBE)
FAST = make_record("efficientnet-lite0@96", 0.55, n=2500, stage=Stage.SCREEN, images_per_second=490.0, mode=Mode.PROBE)


def _names(*records):
    return [row.name for row in rank(records)]


def test_a_network_that_trains_faster_may_come_before_a_better_probe():
    assert _names(SLOW, FAST) == ["efficientnet-lite0@96", "efficientnet-lite2@128"]
    as_fast = SLOW.model_copy(update={"images_per_second": 490.0})
    assert _names(as_fast, FAST) == ["efficientnet-lite2@128", "efficientnet-lite0@96"]


def test_speed_alone_does_not_win():
    poor = make_record(
        "efficientnet-lite0@32", 0.2, n=2500, stage=Stage.SCREEN, images_per_second=2000.0, mode=Mode.PROBE
    )
    assert _names(poor, SLOW)[0] == "efficientnet-lite2@128"


def test_a_training_run_beats_a_probe_with_the_same_rate_because_a_probe_only_runs_forward():
    trained = make_record("lenet@32", 0.55, n=2500, stage=Stage.SCREEN, images_per_second=490.0)
    assert _names(FAST, trained)[0] == "lenet@32"


def test_a_network_that_has_already_seen_many_images_gains_less_from_more():
    long = make_record("lenet@32", 0.3, n=2500, stage=Stage.SCREEN, images_per_second=2600.0, images_seen=140_000)
    probe = FAST.model_copy(update={"images_seen": 5000})
    assert _names(long, probe)[0] == "efficientnet-lite0@96"
    assert _names(long.model_copy(update={"images_seen": 5000}), probe)[0] == "lenet@32"


TEN_CLASSES = DataFacts(name="ten", fingerprint="d" * 64, counts={"train": 45000, "val": 500}, classes=10)


def _from_scratch(name, top1, **changes):
    """A network after three seconds of training, of 600 that are planned."""
    changes = {"images_per_second": 900.0, "images_seen": 2700, "seconds_planned": 600.0, "data": TEN_CLASSES} | changes
    return make_record(name, top1, n=500, stage=Stage.SCREEN, **changes)


def test_a_fast_network_that_guesses_is_promised_nothing():
    """With the promise of all others it would have come first: 0.904 falls to 0.5, and 0.774 to 0.55."""
    guessing = _from_scratch("lenet@32", 0.096)
    learning = _from_scratch("cnn-small@32", 0.226, images_per_second=50.0, images_seen=5000)
    assert _names(guessing, learning)[0] == "cnn-small@32"
    assert expect_error(read_row(guessing)) == pytest.approx(0.904)
    assert expect_error(read_row(learning)) < 0.774


@pytest.mark.parametrize("metric", [Metric.TOP1, Metric.LOG_LOSS])
def test_the_largest_class_alone_is_no_promise(metric):
    """Nine of ten images are of one class, which is all that the network answers."""
    val = make_metrics(0.9, 500, balanced_accuracy=0.1, balanced_accuracy_ci95=(0.09, 0.12))
    row = read_row(_from_scratch("lenet@32", 0.9, val=val), metric)
    assert expect_error(row) == pytest.approx(metric.error(read_score(row).value))


def test_the_promise_grows_with_what_is_surely_learned():
    def promise(top1, n=500):
        row = read_row(_from_scratch("lenet@32", top1, val=make_metrics(top1, n)))
        return (1 - row.val_top1) / expect_error(row)

    assert 1 < promise(0.2) < promise(0.3) < promise(0.5) == pytest.approx(promise(0.9))
    assert promise(0.3, n=20) < promise(0.3)


def test_a_better_score_never_expects_a_larger_error():
    errors = [expect_error(read_row(_from_scratch("lenet@32", hits / 500))) for hits in range(500)]
    late = [expect_error(read_row(_from_scratch("lenet@32", hits / 500, images_seen=10**6))) for hits in range(500)]
    assert errors == sorted(errors, reverse=True)
    assert late == sorted(late, reverse=True)


def test_later_stages_are_ordered_by_accuracy_alone():
    raced = [record.model_copy(update={"stage": Stage.RACE}) for record in (FAST, SLOW)]
    assert _names(*raced)[0] == "efficientnet-lite2@128"


def test_the_pareto_front_depends_on_measured_accuracy():
    first, second = rank([SLOW, FAST])
    assert (first.pareto, second.pareto) == (False, True)


def test_probes_are_compared_by_what_is_expected_after_fine_tuning():
    """The fast one is 5 points behind; after equal time it is expected to be ahead, by less than is certain."""
    fast, slow = rank([SLOW, FAST])
    lead = measure_lead(fast, slow)
    assert lead.is_expected
    assert 0 < lead.difference < 0.05
    assert (fast.tie, slow.tie) == (True, True)
    assert measure_lead(slow, fast)[:3] == pytest.approx((-lead.difference, -lead.high, -lead.low))


def test_with_a_planned_time_the_difference_is_that_of_the_expected_errors():
    rows = rank([each.model_copy(update={"seconds_planned": 60.0, "data": TEN_CLASSES}) for each in (SLOW, FAST)])
    assert measure_lead(*rows).difference == pytest.approx(expect_error(rows[1]) - expect_error(rows[0]))


@pytest.mark.parametrize(("top1", "tie"), [(0.57, True), (0.55, False)])
def test_fine_tuning_may_turn_a_difference_of_probes_that_is_certain_by_itself(top1, tie):
    scores = {"resnet-50@96": 0.6, "xception@96": top1}
    trained, probes = (
        rank([make_record(name, value, n=10**7, stage=Stage.SCREEN, mode=mode) for name, value in scores.items()])
        for mode in (Mode.FIT, Mode.PROBE)
    )
    assert not measure_lead(*trained).is_tie
    assert measure_lead(*probes).is_tie == tie
    assert [row.tie for row in probes] == [tie, tie]


def test_a_loss_is_compared_as_it_was_measured():
    val = [make_metrics(0.6, 500, log_loss=loss, log_loss_ci95=(loss - 0.01, loss + 0.01)) for loss in (1.0, 1.1)]
    rows = [read_row(make_record(val=each, stage=Stage.SCREEN, mode=Mode.PROBE), Metric.LOG_LOSS) for each in val]
    lead = measure_lead(*rows)
    assert not lead.is_expected
    assert lead.difference == pytest.approx(0.1)


def test_the_reason_says_that_speed_decided():
    reason = explain(rank([SLOW, FAST]))
    assert (
        "expected to end 2.8 points ahead of efficientnet-lite2@128 after fine-tuning (a tie, 95 % interval" in reason
    )
    assert (
        "It ranks before efficientnet-lite2@128 because it trains on 2.6\N{MULTIPLICATION SIGN} as many images in the"
        " same time." in reason
    )
    for rate in (490.0, 0.0):  # 0 was not measured
        assert "ranks before" not in explain(rank([SLOW.model_copy(update={"images_per_second": rate}), FAST]))


def test_the_reason_does_not_name_speed_if_weights_decided():
    light, heavy = (
        record.model_copy(update={"images_per_second": 190.0, "memory_peak_bytes": memory})
        for record, memory in ((FAST, 10**8), (SLOW, 10**9))
    )
    rows = rank([light, heavy], criteria={"memory": 1})
    assert [row.name for row in rows] == ["efficientnet-lite0@96", "efficientnet-lite2@128"]
    assert "same time" not in explain(rows, {"memory": 1})


def test_the_reason_compares_a_training_run_with_the_training_rate_of_a_probe():
    trained = make_record("lenet@32", 0.55, n=2500, stage=Stage.SCREEN, images_per_second=190.0)
    assert "because it trains on 3\N{MULTIPLICATION SIGN} as many images" in explain(rank([trained, SLOW]))
