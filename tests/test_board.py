"""The board's order, Pareto front, ties and sentences, on invented records."""

import csv
import io
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from bakeoff.errors import ConfigError
from bakeoff.report.board import (
    Row,
    explain,
    find_head_to_head,
    format_bytes,
    format_caveats,
    format_count,
    format_estimate,
    format_memory_error,
    format_percent,
    format_seconds,
    measure_lead,
    parse_criteria,
    rank,
    render_table,
    write_board,
)
from bakeoff.report.board.comparing import COSTS, CRITERIA, is_clearly_less, read_losses
from bakeoff.report.board.criteria import find_changes
from bakeoff.report.winner import find_winner
from bakeoff.runs.config import Mode, Run
from bakeoff.runs.metrics import wilson_interval
from bakeoff.runs.record import RunRecord, Seconds, Stage, State, WeightsFacts
from bakeoff.runs.study_file import read_study
from factories import make_metrics, make_record

FIELDS = (
    "rank name state reason stage id val_top1 val_top1_ci95 params_total params_trainable seconds_train "
    "images_seen images_per_second memory_predicted_bytes memory_peak_bytes model_bytes batch micro_batch weights "
    "tensors_matched tensors_total pareto tie metric val_balanced_accuracy val_balanced_accuracy_ci95 "
    "val_macro_f1 val_macro_f1_ci95 val_log_loss val_log_loss_ci95 val_auroc val_auroc_ci95 mode val_images folds "
    "licence"
)


def names(rows: list[Row]) -> list[str]:
    return [row.name for row in rows]


def make_row(hits: int, n: int) -> Row:
    return rank([make_record(top1=hits / n, n=n)])[0]


def make_started(name: str, origin: str, **model: str) -> Row:
    config = Run.model_validate({"model": {"name": name, "size": 96, **model}})
    return rank([make_record(config=config, weights=WeightsFacts(origin=origin, hash="none"))])[0]


def show(rows: list[Row], width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(render_table(rows))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


# Three candidates: a is the most accurate, b ties with it and is cheaper, c is far behind and the most expensive.
A = make_record("a@32", 0.80, seconds=50, memory_peak_bytes=300, params_trainable=30)
B = make_record("b@32", 0.79, seconds=20, memory_peak_bytes=200, params_trainable=20)
C = make_record("c@32", 0.60, seconds=90, memory_peak_bytes=900, params_trainable=90)


def test_a_row_has_exactly_the_fields_of_the_contract() -> None:
    assert list(rank([A])[0].model_dump()) == FIELDS.split()
    assert rank([A])[0].model_dump(mode="json")["val_top1_ci95"] == list(wilson_interval(800, 1000))


@pytest.mark.parametrize(
    ("name", "model", "origin", "expected"),
    [
        ("lenet", {}, "random", "scratch"),
        ("lenet", {"weights": "none"}, "random", "scratch"),
        ("lenet", {"start": "runs/0/model.keras"}, "run", "scratch"),
        ("vgg-16", {"weights": "none"}, "random", "random"),
        ("vgg-16", {"weights": "none", "start": "runs/0/model.keras"}, "run", "random"),
        ("vgg-16", {}, "hub", "hub"),
        ("vgg-16", {"weights": "vgg.h5"}, "file", "file"),
        ("vgg-16", {"start": "runs/0/model.keras"}, "run", "run"),
    ],
)
def test_a_row_names_the_origin_of_its_weights(name: str, model: dict[str, str], origin: str, expected: str) -> None:
    assert make_started(name, origin, **model).weights == expected


def test_random_weights_are_a_caveat_unless_there_are_no_others() -> None:
    assert format_caveats(make_started("vgg-16", "random", weights="none")) == ["RANDOM WEIGHTS"]
    assert format_caveats(make_started("lenet", "random")) == []


def test_partly_loaded_weights_and_a_batch_that_did_not_fit_are_caveats() -> None:
    partial = WeightsFacts(origin="file", hash="e" * 64, tensors_matched=250, tensors_total=260)
    row = rank([make_record(weights=partial, micro_batch=16)])[0]
    assert format_caveats(row) == ["only 250 of 260 tensors loaded", "micro-batch 16, batch 64"]
    assert format_caveats(rank([make_record(micro_batch=0)])[0]) == []


def test_without_records_there_are_no_rows() -> None:
    assert rank([]) == []


def test_the_most_accurate_comes_first() -> None:
    rows = rank([C, A, B])
    assert names(rows) == ["a@32", "b@32", "c@32"]
    assert [row.rank for row in rows] == [1, 2, 3]


def test_equal_accuracies_are_ordered_by_seconds_and_then_by_name() -> None:
    records = [make_record("z@32", seconds=5), make_record("y@32", seconds=9), make_record("x@32", seconds=9)]
    assert names(rank(records)) == ["z@32", "x@32", "y@32"]


def test_the_order_does_not_depend_on_the_order_of_records() -> None:
    boards = [rank(order) for order in itertools.permutations([A, B, C])]
    assert all(board == boards[0] for board in boards)


def test_the_pruned_follow_the_completed_and_the_failed_come_last_without_a_rank() -> None:
    failed = make_record("f@32", None, state=State.FAILED, reason="out of memory")
    running = make_record("r@32", None, state=State.RUNNING)
    pruned = make_record("p@32", 0.99, state=State.PRUNED, reason="too slow")
    rows = rank([failed, running, pruned, C])
    assert names(rows) == ["c@32", "p@32", "f@32", "r@32"]
    assert [row.rank for row in rows] == [1, 2, None, None]
    assert [row.reason for row in rows][1:3] == ["too slow", "out of memory"]
    assert not any(row.pareto or row.tie for row in rows[1:])


def test_later_stages_come_first_at_any_accuracy() -> None:
    stages = [Stage.SCREEN, Stage.RACE, Stage.TUNE, Stage.TRAIN, Stage.CONFIRM]
    rows = rank([make_record("a@32", 0.9 - place / 10, stage=stage) for place, stage in enumerate(stages)])
    assert [row.stage for row in rows] == stages[::-1]


def test_one_stage_can_be_ranked_alone() -> None:
    rows = rank([A, make_record("a@32", 0.5, stage=Stage.SCREEN)], Stage.SCREEN)
    assert [row.stage for row in rows] == [Stage.SCREEN]


def test_every_run_has_a_row_and_failed_ones_come_last() -> None:
    worse = make_record("a@32", 0.7, seconds=1, id="1" * 12)
    crashed = make_record("a@32", None, state=State.FAILED, id="2" * 12)
    larger = make_record("a@64", 0.6, id="3" * 12)
    rows = rank([worse, crashed, A, larger])
    assert [row.id for row in rows] == [A.id, worse.id, larger.id, crashed.id]


def test_the_front_holds_the_rows_that_no_other_dominates() -> None:
    assert [row.pareto for row in rank([A, B, C])] == [True, True, False]


def test_two_equal_rows_are_both_on_the_front() -> None:
    assert all(row.pareto for row in rank([make_record("a@32"), make_record("b@32")]))


def test_a_few_percent_of_a_cost_count_as_noise() -> None:
    same: dict[str, Any] = {"seconds": 100, "params_trainable": 100}
    best = make_record("a@32", 0.8, memory_peak_bytes=105, **same)
    close, cheaper = (make_record(f"b@{n}", 0.7, memory_peak_bytes=n, **same) for n in (100, 99))
    assert [row.pareto for row in rank([best, close])] == [True, False]
    assert [row.pareto for row in rank([best, cheaper])] == [True, True]
    assert names(rank([best, close], criteria={"memory": 1})) == ["a@32", "b@100"]
    assert names(rank([best, cheaper], criteria={"memory": 1})) == ["b@99", "a@32"]


def test_accuracies_are_compared_exactly() -> None:
    assert [row.pareto for row in rank([make_record("a@32", 0.801), make_record("b@32", 0.800)])] == [True, False]


def test_a_circle_of_small_differences_leaves_the_front_filled() -> None:
    # Each is clearly cheaper than the next on one cost, and clearly more expensive on none.
    costs = [(100, 103, 106), (106, 100, 103), (103, 106, 100)]
    circle = [
        make_record(f"c@{place + 30}", memory_peak_bytes=memory, params_trainable=params, seconds=seconds)
        for place, (memory, params, seconds) in enumerate(costs)
    ]
    assert all(row.pareto for row in rank(circle))


_SMALL = st.tuples(st.sampled_from([0.5, 0.6, 0.7]), *[st.sampled_from([0, 96, 100, 104, 108, 150, 300])] * 3)


@st.composite
def fields(draw: st.DrawFn) -> list[RunRecord]:
    """Runs of one stage, some of the same candidate, some with a cost that was not measured."""
    drawn = draw(st.lists(st.tuples(st.sampled_from("abcde"), _SMALL), min_size=1, max_size=6))
    return [
        make_record(
            f"{letter}@32", top1, seconds=time, memory_peak_bytes=memory, params_trainable=params, id=f"{place:012d}"
        )
        for place, (letter, (top1, memory, params, time)) in enumerate(drawn)
    ]


@given(fields())
@settings(max_examples=100, deadline=None)
def test_a_row_is_off_the_front_only_if_another_is_as_accurate_and_clearly_more_expensive_on_no_cost(
    records: list[RunRecord],
) -> None:
    rows = rank(records)
    assert any(row.pareto for row in rows)
    for row in rows:
        losses = read_losses(row)
        beaten = [
            other
            for other in map(read_losses, rows)
            if other["accuracy"] <= losses["accuracy"]
            and not any(is_clearly_less(name, losses[name], other[name]) for name in COSTS)
            and any(is_clearly_less(name, other[name], losses[name]) for name in CRITERIA)
        ]
        assert row.pareto or beaten
        assert not row.pareto or not any(other["accuracy"] < losses["accuracy"] for other in beaten)


def test_each_stage_has_its_front() -> None:
    screened = make_record("c@32", 0.5, stage=Stage.SCREEN, memory_peak_bytes=10**9, params_trainable=10**9)
    assert [row.pareto for row in rank([A, B, screened])] == [True, True, True]


def test_a_cost_that_was_not_measured_never_wins() -> None:
    unmeasured = make_record("u@32", 0.79, seconds=20, memory_peak_bytes=0, params_trainable=20)
    assert {row.name: row.pareto for row in rank([B, unmeasured])} == {"b@32": True, "u@32": False}


def test_the_leader_has_the_tie_mark_only_if_another_row_ties() -> None:
    assert [row.tie for row in rank([A, B, C])] == [True, True, False]
    assert [row.tie for row in rank([A, C])] == [False, False]
    assert [row.tie for row in rank([A])] == [False]


def test_with_more_images_the_same_difference_is_no_tie() -> None:
    assert [row.tie for row in rank([make_record("a@32", 0.8, n=10**5), make_record("b@32", 0.79, n=10**5)])] == [
        False
    ] * 2


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    # Table II of Newcombe 1998, Statistics in Medicine 17, 873-890 (method 10).
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_the_difference_interval_is_the_published_one(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    assert measure_lead(make_row(*first), make_row(*second))[1:3] == pytest.approx((low, high), abs=5e-5)


@given(st.tuples(st.integers(0, 50), st.integers(0, 50)))
@settings(max_examples=40, deadline=None)
def test_the_difference_interval_contains_the_difference_and_is_antisymmetric(hits: tuple[int, int]) -> None:
    first, second = (make_row(hit, 50) for hit in hits)
    _, low, high, *_ = measure_lead(first, second)
    assert -1 <= low <= (hits[0] - hits[1]) / 50 <= high <= 1
    assert measure_lead(second, first)[1:3] == pytest.approx((-high, -low))


def test_weights_choose_another_winner() -> None:
    assert names(rank([A, B, C], criteria={"accuracy": 1})) == ["a@32", "b@32", "c@32"]
    assert names(rank([A, B, C], criteria={"accuracy": 1, "time": 1, "memory": 1})) == ["b@32", "a@32", "c@32"]


def test_only_the_ratio_of_weights_matters() -> None:
    one, other = ({"accuracy": 1 * k, "params": 3 * k} for k in (0.1, 7))
    assert rank([A, B, C], criteria=one) == rank([A, B, C], criteria=other)


def test_weights_change_neither_the_front_nor_the_ties_nor_the_states() -> None:
    failed = make_record("f@32", None, state=State.FAILED)
    plain, weighed = rank([A, B, C, failed]), rank([A, B, C, failed], criteria={"time": 1})
    assert names(weighed) == ["b@32", "a@32", "c@32", "f@32"]
    assert {(row.name, row.pareto, row.tie) for row in plain} == {(row.name, row.pareto, row.tie) for row in weighed}


def test_equal_scores_are_ordered_by_accuracy_and_seconds() -> None:
    equals = [make_record("b@32", seconds=9), make_record("a@32", seconds=9)]
    assert names(rank(equals, criteria={"accuracy": 1, "time": 2})) == ["a@32", "b@32"]


@pytest.mark.parametrize(
    ("criteria", "message"),
    [
        ({"speed": 1.0}, "there is no criterion 'speed' to weigh"),
        ({"time": -1.0, "memory": 2.0}, "weight of time must be a finite number, not below 0, and not -1"),
        ({"time": float("nan")}, "must be a finite number, not below 0, and not nan"),
        ({"time": 0.0}, "no criterion weighs more than 0"),
        ({}, "no criterion weighs more than 0"),
    ],
)
def test_unusable_weights_are_refused(criteria: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=f"{message}; criteria are accuracy, memory, params, time"):
        rank([A], criteria=criteria)


def test_weights_are_parsed_from_text() -> None:
    assert parse_criteria("accuracy=3, memory = 0.5,time=0") == {"accuracy": 3, "memory": 0.5, "time": 0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not CRITERION=NUMBER"),
        ("accuracy=3,memory", "'memory' is not CRITERION=NUMBER"),
        ("time=1,time=2", "weighs time twice"),
        ("time=fast", "'fast' is not a number"),
        ("time=", "'' is not a number"),
        ("time=-1", "must be a finite number, not below 0"),
        ("time=inf", "must be a finite number"),
        ("accuracy=0,time=0", "no criterion weighs more than 0"),
        ("speed=1", "there is no criterion 'speed'"),
    ],
)
def test_malformed_weights_are_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        parse_criteria(text)
    assert str(error.value).endswith("criteria are accuracy, memory, params, time, weighed as in accuracy=3,memory=1")
    assert len(str(error.value).splitlines()) == 1


_WEIGHTS = st.fixed_dictionaries({}, optional={name: st.integers(0, 5) for name in CRITERIA}).filter(
    lambda weights: any(weights.values())
)


@given(fields(), _WEIGHTS)
@settings(max_examples=150, deadline=None)
def test_the_winner_changes_just_beyond_the_stated_weight_and_not_before(
    records: list[RunRecord], weights: dict[str, float]
) -> None:
    def winner(**changed: float) -> str:
        return rank(records, criteria=weights | changed)[0].name

    changes = find_changes(rank(records), weights)
    for change in changes:
        name, here = change.criterion, weights.get(change.criterion, 0)
        assert change.row.name != winner()
        for share in (0.25, 0.75, 0.999):
            assert winner(**{name: here + share * (float(change.weight) - here)}) == winner()
        beyond = float(change.weight) + (1e-6 if change.upward else -1e-6)
        assert winner(**{name: max(beyond, 0)}) == change.row.name
        # The stated weight is true after rounding.
        assert change.stated >= change.weight if change.upward else change.stated <= change.weight
        assert not change.reached or winner(**{name: float(change.stated)}) == change.row.name
    for name, upward in itertools.product(CRITERIA, (True, False)):
        held = weights | {name: 1000 if upward else 0}
        if any(held.values()) and not any((each.criterion, each.upward) == (name, upward) for each in changes):
            assert rank(records, criteria=held)[0].name == winner()


def test_the_smallest_change_comes_first() -> None:
    changes = find_changes(rank([A, B, C]), {"accuracy": 3, "memory": 1})
    assert [(change.criterion, change.weight, change.row.name) for change in changes] == [
        ("accuracy", 1, "b@32"),
        ("memory", 3, "b@32"),
        ("params", 2, "b@32"),
        ("time", 2, "b@32"),
    ]


def test_the_reason_is_two_sentences_and_a_line_about_weights() -> None:
    assert explain(rank([A, B, C])).splitlines() == [
        "a@32 won with 80.0 ±2.5 % top-1 on validation, 1.0 points ahead of b@32 (a tie, 95 % interval -2.5 to +4.5)."
        " b@32 needs less memory, trains fewer parameters and trains faster.",
        "With accuracy weighing 1, b@32 would win if memory weighed more than 1, or trained parameters more than 1.",
    ]


def test_the_reason_for_a_clear_lead_compares_costs_with_the_nearest_rival() -> None:
    assert explain(rank([B, C])).splitlines() == [
        "b@32 won with 79.0 ±2.5 % top-1 on validation, 19.0 points ahead of c@32 (95 % interval +15.0 to +22.9)."
        " Compared with c@32, it uses 0.22× the memory, 0.22× the trained parameters and 0.22× the training time.",
        "No weight of a cost would change the winner.",
    ]


def test_the_reason_names_the_cheapest_of_several_that_tie() -> None:
    slim = make_record("s@32", 0.795, seconds=70, memory_peak_bytes=100, params_trainable=40)
    quick = make_record("q@32", 0.79, seconds=10, memory_peak_bytes=500, params_trainable=30)
    text = explain(rank([A, slim, quick, C]))
    assert " Among the three that tie, s@32 needs the least memory and q@32 trains fastest.\n" in text
    assert "s@32 would win if memory weighed more than 1; q@32 would win if training time weighed more than 2." in text
    small = make_record("q@32", 0.79, seconds=10, memory_peak_bytes=500, params_trainable=20)
    assert (
        "Among the three that tie, s@32 needs the least memory; q@32 trains the fewest parameters and trains fastest."
        in explain(rank([A, slim, small]))
    )


def test_equal_accuracies_and_equal_costs_are_called_equal() -> None:
    text = explain(rank([make_record(f"n@{size}", seconds=50) for size in range(32, 38)]))
    assert "top-1 on validation, as accurate as n@33 (a tie, " in text
    assert "None of the six that tie is clearly the cheapest." in text


def test_training_time_is_not_compared_if_it_was_equal() -> None:
    quick, slow = make_record("a@32", 0.8, seconds=100), make_record("b@32", 0.79, seconds=104, memory_peak_bytes=9)
    assert "faster" not in explain(rank([quick, slow]))
    assert "time" not in explain(rank([quick, slow]))
    assert "a@32 trains faster" in explain(rank([quick, slow.model_copy(update={"seconds": Seconds(train=200)})]))


def test_the_reason_under_weights_gives_the_scores_and_the_nearest_other_weights() -> None:
    criteria = parse_criteria("accuracy=3,memory=1")
    first, second = explain(rank([A, B, C], criteria=criteria), criteria).splitlines()
    assert first == explain(rank([A, B, C])).splitlines()[0]
    assert second == (
        "With the weights accuracy 3 and memory 1, it scores 0.88 and b@32 0.62."
        " b@32 would win if accuracy weighed less than 1, or memory more than 3."
    )


def test_a_weight_with_many_digits_is_rounded_so_that_the_statement_stays_true() -> None:
    field = [("a@32", 0.8, 400), ("b@32", 0.7, 200), ("c@32", 0.6, 400), ("d@32", 0.5, 100)]
    rows = rank([make_record(name, top1, memory_peak_bytes=memory) for name, top1, memory in field])
    # a is ahead of b by a third of the ranks in accuracy, and behind by half of them in memory.
    assert explain(rows).endswith("With accuracy weighing 1, b@32 would win if memory weighed 0.67 or more.")


def test_the_reason_says_that_a_winner_by_weights_is_behind() -> None:
    text = explain(rank([A, B, C], criteria={"time": 1}), {"time": 1})
    assert "1.0 points behind a@32 (a tie, 95 % interval -4.5 to +2.5)" in text
    assert text.endswith("it scores 1.00 and a@32 0.50. a@32 would win if accuracy weighed 1 or more.")


def test_a_weight_may_have_to_become_zero() -> None:
    criteria = {"accuracy": 1, "memory": 1, "params": 2}
    text = explain(rank([A, B, C], criteria=criteria), criteria)
    assert text.endswith("a@32 would win if accuracy weighed 3 or more, or trained parameters 0.")


def test_the_reason_says_that_no_single_weight_would_change_the_winner() -> None:
    criteria = {"accuracy": 1, "time": 1}
    text = explain(rank([B, C], criteria=criteria), criteria)
    assert text.endswith("No other value of a single weight would change the winner.")


def test_the_reason_says_that_a_winner_is_off_the_front() -> None:
    worse = make_record("d@32", 0.75, seconds=20, memory_peak_bytes=250, params_trainable=25)
    rows = sorted(rank([B, worse]), key=lambda row: row.name, reverse=True)
    assert " It is not on the Pareto front: b@32 is no worse on any criterion and better on one.\n" in explain(rows)
    assert "Pareto" not in explain(rank([B, worse]))


def test_a_winner_confirmed_alone_is_compared_in_the_stage_where_it_had_rivals() -> None:
    confirmed = make_record("b@32", 0.85, stage=Stage.CONFIRM)
    text = explain(rank([A, B, C, confirmed]))
    assert text.startswith(
        "b@32 won with 85.0 ±2.2 % top-1 on validation; in the race stage it was 1.0 points behind a@32 (a tie, "
    )
    assert text.endswith("In the race stage, a@32 is first by accuracy.")


def test_after_a_search_the_winner_is_compared_with_the_other_candidates_and_not_with_its_trials() -> None:
    trials = [make_record(f"b@{size}", 0.81, stage=Stage.TUNE) for size in (32, 64)]
    confirmed = make_record("b@32", 0.85, stage=Stage.CONFIRM)
    assert explain(rank([A, B, C, confirmed, *trials])) == explain(rank([A, B, C, confirmed]))
    # Before anything is confirmed, the best trial is first.
    assert "; in the race stage it was 1.0 points behind a@32" in explain(rank([A, B, C, *trials[:1]]))
    match = find_head_to_head(rank(trials))
    assert match
    assert [row.name for row in match.rivals] == ["b@64"]


def test_a_winner_whose_size_a_search_changed_is_compared_as_the_candidate_that_it_was() -> None:
    other = make_record("b@16", 0.5)
    probe = make_record("b@32", 0.84, stage=Stage.CONFIRM, mode=Mode.PROBE)
    confirmed = make_record("b@64", 0.85, stage=Stage.CONFIRM)
    rows = rank([A, B, C, other, make_record("b@64", 0.81, stage=Stage.TUNE), probe, confirmed])
    match = find_head_to_head(rows)
    assert match
    assert (match.winner.id, [row.name for row in match.rivals]) == (B.id, ["a@32", "c@32", "b@16"])
    assert explain(rows).startswith(
        "b@64 won with 85.0 ±2.2 % top-1 on validation; in the race stage b@32 was 1.0 points behind a@32 (a tie, "
    )


def test_the_probe_beside_the_confirming_run_is_no_rival() -> None:
    confirmed = make_record("b@32", 0.85, stage=Stage.CONFIRM)
    probe = make_record("p@32", 0.80, stage=Stage.CONFIRM, mode=Mode.PROBE, seconds=1)
    assert explain(rank([A, B, C, confirmed, probe])) == explain(rank([A, B, C, confirmed]))
    screened = [make_record(f"{name}@32", 0.7, stage=Stage.SCREEN, mode=Mode.PROBE) for name in "bp"]
    match = find_head_to_head(rank([confirmed, probe, *screened]))
    assert match
    assert (match.winner.stage, [row.name for row in match.rivals]) == (Stage.SCREEN, ["p@32"])


def test_a_frozen_winner_was_fine_tuned_in_the_race_where_its_network_had_rivals() -> None:
    frozen = make_record("b@32", 0.85, stage=Stage.CONFIRM, mode=Mode.PROBE)
    text = explain(rank([A, B, C, frozen, make_record("a@32", 0.82, stage=Stage.CONFIRM)]))
    assert "top-1 on validation; fine-tuned in the race stage it was 1.0 points behind a@32 (" in text


def advance(before: RunRecord, top1: float, **changes: Any) -> RunRecord:
    """The run of the next rung, which continues another one and trains twice as long."""
    config = before.config.revised(model={"start": f"runs/{before.id}/model.keras"})
    return make_record(config=config, top1=top1, seconds=2 * before.seconds.train, **changes)


def test_candidates_are_compared_with_those_of_their_rung_of_the_race() -> None:
    first = [
        make_record(f"{name}@32", top1, seconds=50) for name, top1 in zip("abcd", (0.8, 0.81, 0.79, 0.7), strict=True)
    ]
    last = [advance(first[0], 0.79), advance(first[1], 0.78)]
    rows = rank([*first, *last])
    # The last rung comes first, also where an earlier one had better scores.
    assert [(row.name[0], row.rung) for row in rows] == [(name, 1) for name in "ab"] + [(name, 0) for name in "bacd"]
    # In costs the runs of a rung are equal, so only the best of each is on the front.
    assert [row.pareto for row in rows] == [True, False, True, False, False, False]
    assert [row.tie for row in rows] == [True, True, True, True, True, False]
    match = find_head_to_head(rows)
    assert match
    assert ([row.name for row in match.rows], match.eliminated) == (["a@32", "b@32"], ["c@32", "d@32"])
    assert explain(rows).startswith("a@32 won with 79.0 ±2.5 % top-1 on validation, 1.0 points ahead of b@32 (a tie, ")
    assert "faster" not in explain(rows)
    confirmed = make_record("a@32", 0.85, stage=Stage.CONFIRM)
    assert "; in rung 2 of the race it was 1.0 points ahead of b@32" in explain(rank([*first, *last, confirmed]))


def test_weights_choose_within_the_last_rung() -> None:
    first = [make_record(f"{name}@32", 0.8, seconds=50) for name in "abc"]
    last = [advance(first[0], 0.82, memory_peak_bytes=300), advance(first[1], 0.81, memory_peak_bytes=200)]
    by_time, by_memory = (rank([*first, *last], criteria={name: 1}) for name in ("time", "memory"))
    assert [(row.name, row.seconds_train) for row in by_time[:2]] == [("a@32", 100), ("b@32", 100)]
    assert [(row.name, row.seconds_train) for row in by_memory[:2]] == [("b@32", 100), ("a@32", 100)]


def test_where_the_last_rung_has_one_candidate_the_rung_before_has_the_rivals() -> None:
    first = [make_record(f"{name}@32", top1, seconds=50) for name, top1 in (("a", 0.8), ("b", 0.7))]
    lost = advance(first[1], 0.7, state=State.FAILED)
    match = find_head_to_head(rank([*first, advance(first[0], 0.75), lost]))
    assert match
    assert (match.winner.id, match.rivals[0].id, match.eliminated) == (first[0].id, first[1].id, [])


def test_the_table_says_that_a_race_is_compared_by_rung() -> None:
    note = "race: the last rung first; runs are compared within their rung"
    assert note in show(rank([A, B, advance(A, 0.85)]), 100)
    assert note not in show(rank([A, B]), 100)


def test_two_sizes_of_a_network_that_were_both_compared_are_rivals() -> None:
    match = find_head_to_head(rank([B, make_record("b@64", 0.85), make_record("b@64", 0.9, stage=Stage.CONFIRM)]))
    assert match
    assert [row.name for row in match.rivals] == ["b@32"]


def test_a_winner_without_rivals_is_not_compared() -> None:
    assert (
        explain(rank([A]))
        == "a@32 won with 80.0 ±2.5 % top-1 on validation. It was not compared with another candidate."
    )


def test_runs_of_other_data_are_not_compared() -> None:
    """As two of `bakeoff train` in one folder, the second after the classes or labels were changed."""
    first, second = make_record("lenet@32", 0.6), make_record("cnn-small@32", 0.61)
    tied = rank([first, second])
    assert [(row.pareto, row.tie) for row in tied] == [(True, True), (False, True)]
    changed = second.model_copy(update={"data": second.data.model_copy(update={"fingerprint": "f" * 64})})
    rows = rank([first, changed])
    assert names(rows) == ["cnn-small@32", "lenet@32"]
    assert [(row.pareto, row.tie) for row in rows] == [(True, False), (True, False)]
    assert find_head_to_head(rows) is None
    assert explain(rows).endswith(
        "It was not compared with another candidate. 1 run of other images, labels, classes or fit (lenet@32) is not"
        " compared with it."
    )
    weighed = rank([first, changed], criteria={"memory": 1.0})
    assert names(weighed) == names(rows)


@pytest.mark.parametrize("criteria", [None, {"accuracy": 1.0}])
def test_runs_of_other_data_than_the_studys_come_after_its_own(
    tmp_path: Path, criteria: dict[str, float] | None
) -> None:
    first, second = (make_record(f"{name}@32", top1, stage=Stage.COMPARE) for name, top1 in (("a", 0.6), ("b", 0.5)))
    balanced = make_record("c@32").config.revised(train={"metric": "balanced"})
    foreign = first.data.model_copy(update={"fingerprint": "f" * 64})
    trained = make_record("c@32", 0.9, stage=Stage.TRAIN, data=foreign, config=balanced)
    study = {"data": {"name": "cifar100", "fingerprint": first.data.fingerprint}}
    (tmp_path / "study.json").write_text(json.dumps(study))
    records = [trained, second, first]
    rows = rank(records, criteria=criteria, out=tmp_path)
    assert names(rows) == ["a@32", "b@32", "c@32"]
    assert {row.metric.value for row in rows} == {"top1"}
    assert explain(rows).startswith("a@32 won with 60.0 ±3.0 % top-1 on validation, 10.0 points ahead of b@32")
    assert "1 run of other images, labels, classes or fit (c@32) is no part of the study." in explain(rows)
    assert find_winner(read_study(tmp_path), records) == first
    console = Console(file=io.StringIO(), width=120)
    console.print(render_table(rows))
    shown = console.file.getvalue()
    assert shown.index("compare") < shown.index("b@32") < shown.index("other data") < shown.index("c@32")
    alone = rank([trained], out=tmp_path)
    assert explain(alone).startswith("c@32 won")


def test_costs_that_were_not_measured_are_not_compared() -> None:
    bare: dict[str, Any] = {"seconds": 0, "memory_peak_bytes": 0}
    text = explain(rank([make_record("a@32", 0.8, **bare), make_record("b@32", 0.5, **bare)]))
    assert "Compared with b@32, it uses the same trained parameters.\nNo weight of a cost" in text
    assert "memory" not in text
    unmeasured = make_record("u@32", 0.79, seconds=50, memory_peak_bytes=0, params_trainable=30)
    assert "Neither is clearly cheaper." in explain(rank([A, unmeasured]))


def test_large_ratios_are_whole_numbers() -> None:
    light, heavy = make_record("l@32", 0.5, params_trainable=9), make_record("h@32", 0.9, params_trainable=9 * 115)
    assert "115× the trained parameters" in explain(rank([light, heavy]))


def test_there_is_no_winner_if_nothing_completed() -> None:
    failed = make_record("f@32", None, state=State.FAILED, reason="boom")
    assert explain(rank([failed])) == explain([]) == "No candidate completed, so there is no winner."


def test_the_csv_keeps_numbers_unrounded_and_writes_true_and_false(tmp_path: Path) -> None:
    failed = make_record("f@32", None, state=State.FAILED, reason='no "room", sorry: 1 €')
    third = make_record("a@32", 1 / 3, n=999, seconds=1 / 3)
    write_board(tmp_path, rank([third, failed]))
    with (tmp_path / "board.csv").open(newline="", encoding="utf-8") as file:
        first, last = csv.DictReader(file)
    assert list(first) == re.sub(r"(\S+_ci95)", r"\1_low \1_high", FIELDS).split()
    assert float(first["val_top1"]) == 1 / 3
    assert float(first["seconds_train"]) == 1 / 3
    assert float(first["val_top1_ci95_low"]) == wilson_interval(333, 999)[0]
    assert (first["rank"], first["pareto"], first["tie"], first["state"]) == ("1", "true", "false", "COMPLETE")
    assert (last["rank"], last["val_top1"], last["val_top1_ci95_high"]) == ("", "", "")
    assert last["reason"] == 'no "room", sorry: 1 €'


def test_the_table_fits_a_hundred_columns_and_shows_every_figure() -> None:
    record = make_record(
        "efficientnet-lite2@128", 0.8, stage=Stage.CONFIRM, seconds=312, memory_peak_bytes=1_650_000_000
    )
    lines = show(rank([record, make_record("lenet@32", 0.5, model_bytes=0, memory_peak_bytes=0)]), 100)
    assert max(map(len, lines)) <= 100
    line = next(line for line in lines if "efficientnet-lite2@128" in line)
    for cell in ("80.0 ±2.5 ★", "1.65 GB  (-64 %)", "2.3 M", "2.4 M", "5.2 min", "500", "9.6 MB"):
        assert cell in line
    assert next(line for line in lines if "lenet@32" in line).rstrip().endswith("–")
    assert [line.strip() for line in lines if line.strip() in ("confirm", "race")] == ["confirm", "race"]


@pytest.mark.parametrize("width", [80, 90])
def test_the_table_keeps_names_and_accuracy_on_a_narrow_screen(width: int) -> None:
    lines = show(rank([make_record("efficientnet-lite2@128", 0.8, seconds=312), A, B]), width)
    assert any("efficientnet-lite2@128" in line and "80.0 ±2.5" in line for line in lines)
    assert max(map(len, lines)) <= width
    assert any(line.startswith("no room for (error)") for line in lines)


def test_the_table_highlights_caveats() -> None:
    config = Run.model_validate({"model": {"name": "vgg-16", "weights": "none"}})
    rows = rank([make_record(config=config, weights=WeightsFacts(origin="random", hash="none"), micro_batch=8)])
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system="standard")
    console.print(render_table(rows))
    assert isinstance(console.file, io.StringIO)
    assert "\x1b[1;33mRANDOM WEIGHTS\x1b[0m" in console.file.getvalue()
    assert "micro-batch 8, batch 64" in console.file.getvalue()


def test_the_table_marks_ties_and_gives_the_reason_why_a_run_stopped() -> None:
    failed = make_record("f@32", None, state=State.FAILED, reason="[red]out of memory[/red]")
    silent = make_record("g@32", None, state=State.RUNNING)
    halved = make_record("h@32", 0.1, reason="half the batch")
    text = "\n".join(show(rank([A, B, failed, silent, halved]), 100))
    assert "80.0 ±2.5 ★≈" in text
    assert "FAILED: [red]out of memory[/red]" in " ".join(text.split())
    assert "RUNNING: no reason was recorded" in " ".join(text.split())
    assert "half the batch" in text


def test_numbers_are_shown_with_readable_units() -> None:
    assert [format_bytes(n) for n in (21, 9_200, 92_000)] == ["21 B", "9.2 kB", "92 kB"]
    assert [format_bytes(n) for n in (0, 9_600_000, 640_000_000, 1_340_000_000)] == ["–", "9.6 MB", "640 MB", "1.34 GB"]
    assert [format_count(n) for n in (0, 900, 61_700, 128_420, 23_500_000)] == ["–", "900", "61.7 k", "128 k", "23.5 M"]
    assert [format_seconds(s) for s in (0, 3.21, 42, 600, 9000)] == ["–", "3.2 s", "42 s", "10.0 min", "2.5 h"]
    assert (format_percent(0.8423), format_percent(None)) == ("84.2 %", "–")
    assert format_estimate(rank([make_record("f@32", None, state=State.FAILED)])[0]) == "–"
    assert format_memory_error(rank([make_record()])[0]) == "-6 %"
    assert format_memory_error(rank([make_record(memory_predicted_bytes=0)])[0]) == "–"


def test_the_factory_makes_consistent_records() -> None:
    metrics = make_metrics(0.5, 10)
    assert metrics.top1_ci95[0] < metrics.top1 < metrics.top1_ci95[1]
    assert make_record("a@32").id != make_record("b@32").id
