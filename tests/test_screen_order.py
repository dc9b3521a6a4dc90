"""The order of a screen: a better probe against faster training."""

from bakeoff.report.board import explain, rank
from bakeoff.runs.config import Mode
from bakeoff.runs.record import Stage
from factories import make_record

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


def test_later_stages_are_ordered_by_accuracy_alone():
    raced = [record.model_copy(update={"stage": Stage.RACE}) for record in (FAST, SLOW)]
    assert _names(*raced)[0] == "efficientnet-lite2@128"


def test_the_marks_depend_on_accuracy():
    first, second = rank([SLOW, FAST])
    assert (first.tie, second.tie) == (False, False)
    assert (first.pareto, second.pareto) == (False, True)


def test_the_reason_says_that_speed_decided():
    reason = explain(rank([SLOW, FAST]))
    assert "5.0 points behind efficientnet-lite2@128" in reason
    assert (
        "It ranks before efficientnet-lite2@128 because it trains on 2.6\N{MULTIPLICATION SIGN} as many images in the"
        " same time." in reason
    )
    assert "ranks before" not in explain(rank([SLOW.model_copy(update={"images_per_second": 490.0}), FAST]))


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
