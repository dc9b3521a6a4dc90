"""What benchmarks/past.py makes of the scores of searches."""

import importlib
from pathlib import Path

import pytest


@pytest.fixture
def past(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module("past")


def _row(seed, store, scores):
    return {"data": "digits", "seed": seed, "store": str(store), "scores": scores}


@pytest.mark.parametrize(("target", "trials"), [(0.5, 1), (0.7, 3), (0.75, 4)])
def test_trials_are_counted_until_a_score_is_reached_and_one_more_if_it_never_is(past, target, trials):
    assert past.count_until([0.6, None, 0.7], target) == trials


def test_searches_with_the_store_are_counted_beside_other_seeds_without(past, capsys):
    rows = [_row("0", False, "0.5 - 0.9"), _row("1", False, "0.9 0.95"), _row("0", True, "0.9"), _row("1", True, "0.5")]
    past.print_table(rows)
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    # The target of seed 0 is 90 %: seed 1 reaches it at once; with the store one search does, the other never.
    assert ["digits", "0", "90.0%", "3 of 3", "1.0", "1.5"] in lines
    assert ["digits", "1", "95.0%", "2 of 2", "4.0", "2.0"] in lines
