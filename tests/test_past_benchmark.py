"""What benchmarks/past.py makes of the scores of searches."""

import importlib
from pathlib import Path

import pytest


@pytest.fixture
def past(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module("past")


def _row(seed, store, scores, cpu="one"):
    settings = {"data": "digits", "network": "lenet@32", "budget": "6m", "cpu": cpu}
    return settings | {"seed": seed, "store": str(store), "scores": scores}


@pytest.mark.parametrize(("target", "trials"), [(0.5, 1), (0.7, 3), (0.75, 9)])
def test_trials_are_counted_until_a_score_is_reached(past, target, trials):
    assert past.count_until([0.6, None, 0.7], target, 9) == trials


def test_searches_of_other_seeds_with_the_store_are_counted_beside_those_without(past, capsys):
    rows = [
        _row("0", False, "0.5 - 0.9"),
        _row("1", False, "0.9 0.95"),
        _row("0", True, "0.99"),
        _row("1", True, "0.5"),
    ]
    past.print_table([*rows, _row("0", False, "0.5 0.6 0.7 0.8", cpu="another")])
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    # The target of seed 0 is 90 %: seed 1 reaches it at once without the store, and never with it, which counts as 4.
    never, at_once = "4.0 (4 to 4; 0 of 1 reached it)", "1.0 (1 to 1; 1 of 1 reached it)"
    assert ["digits", "one", "0", "90.0%", "3 of 3", at_once, never] in lines
    assert ["digits", "one", "1", "95.0%", "2 of 2", never, at_once] in lines
    assert ["digits", "another", "0", "80.0%", "4 of 4", "", ""] in lines


def test_one_data_set_is_too_few(past, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.argv", ["past.py", "--out", str(tmp_path), "--data-sets", "digits"])
    with pytest.raises(SystemExit):
        past.main()
    assert "at least two" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
