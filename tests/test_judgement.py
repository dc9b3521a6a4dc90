"""What benchmarks/judgement.py makes of its rows, and LogME."""

import dataclasses
import importlib
from pathlib import Path

import numpy as np
import pytest

FACTS = {"imagenet": "", "probe_val": "", "logme": "", "parameters": "1"}


@pytest.fixture
def judged(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module("judged")


@pytest.fixture
def of_rows(judged):
    """The answer that rows give."""
    return judged.Truth.of


@pytest.fixture
def log_me(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module("logme").log_me


def _row(network, seed, val, test, **facts):
    return FACTS | {"network": network, "seed": str(seed), "val_top1": str(val), "test_top1": str(test)} | facts


ROWS = [
    *(_row("small", seed, 0.5, 0.60, imagenet="70", parameters="1") for seed in range(2)),
    _row("large", 0, 0.9, 0.80, imagenet="80", parameters="9"),
    _row("large", 1, 0.4, 0.80, imagenet="80", parameters="9"),
    _row("scratch", 0, 0.1, 0.10, parameters="2"),
    _row("scratch", 1, 0.1, 0.10, parameters="2"),
]


def test_regret_is_what_the_best_has_more_in_points(of_rows):
    truth = of_rows(ROWS)
    assert truth.best == "large"
    assert truth.regret("small") == pytest.approx(20)
    assert truth.rule("imagenet") == pytest.approx(0)
    assert truth.rule("parameters", least=True) == pytest.approx(20)


def test_luck_is_the_regret_of_choosing_by_one_seed(of_rows):
    assert of_rows(ROWS).luck == pytest.approx(10)


def test_a_candidate_that_lacks_a_seed_is_left_out(of_rows):
    truth = of_rows([*ROWS, _row("half", 0, 1.0, 1.0)])
    assert "half" not in truth.means
    assert truth.left_out == ("half",)


def test_a_rule_that_knows_no_candidate_has_no_regret(of_rows):
    assert of_rows(ROWS).rule("logme") is None


def _study(data, share, seed, chosen):
    orders = {"screened": "small large scratch", "raced": "", "cut": "", "tied": "small=large:-0.3:0.1"}
    return {"data": data, "share": share, "seed": seed, "chosen": chosen} | orders


def test_the_tables_average_over_data_sets_with_every_study_and_name_what_is_missing(judged, capsys):
    tuned = [{"data": data} | row for data in ("a", "b", "c") for row in ROWS]
    tuned.append({"data": "a"} | _row("half", 0, 1.0, 1.0))
    studies = [_study("a", "0.1", "0", "large"), _study("b", "0.1", "0", "small"), _study("b", "0.1", "1", "scratch")]
    studies += [_study("c", "0.1", "0", "new"), _study("c", "0.1", "1", "large")]
    judged.print_tables(tuned, studies)
    said = capsys.readouterr().out
    rows = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:]]
        for line in said.split("\n")
        if "│" in line
    }
    assert rows["a"][:4] == ["large", "80.0", "10.00", "0.00"]
    assert rows["b"][:4] == ["large", "80.0", "10.00", "45.00"]  # the mean of 20 and 70 points
    assert rows["c"][3] == ""
    assert rows["mean of 2"][2:4] == ["10.00", "22.50"]
    assert rows["worst of 2"][3] == "45.00"
    assert rows["mean of 2"][5] == ""  # no candidate has a probe
    assert "ties that hold: 5 of 5" in said
    assert "a, 10%, seed 0: it was chosen" in said
    assert "the screen had it on place 2; scratch was chosen, 70.00 points below" in said
    assert "new was chosen, which was not fine-tuned by every seed" in said
    assert "a: left out, with fewer seeds than others: half" in said


def test_candidates_of_another_length_are_not_mixed(judged):
    judged.check_length([{"seconds": "30.0"}], 30.0)
    with pytest.raises(SystemExit, match=r"rows of 4\.0 training seconds, not 30\.0: give another --csv"):
        judged.check_length([{"seconds": "30.0"}, {"seconds": "4.0"}], 30.0)


def test_a_right_order_agrees_and_its_reverse_does_not(of_rows):
    truth = of_rows(ROWS)
    assert truth.agreement(["large", "small", "scratch"]) == pytest.approx(1)
    assert truth.agreement(["scratch", "small", "large"]) == pytest.approx(-1)
    assert truth.agreement(["scratch", "large"]) is None


def test_a_tie_holds_if_the_difference_is_inside_its_interval(of_rows):
    truth = of_rows(ROWS)
    assert truth.holds("large=small:-0.01:0.25") is True
    assert truth.holds("large=small:-0.01:0.15") is False
    assert truth.holds("large=other:-0.01:0.15") is None


@pytest.mark.usefixtures("judged")  # which finds the benchmarks
def test_a_file_of_figures_with_fewer_columns_is_kept_beside_new_rows(tmp_path):
    results = importlib.import_module("results")
    row = dataclasses.make_dataclass("Row", [("name", str), ("value", float), ("lost", int)])
    (tmp_path / "a.csv").write_text("name,value\nold,0.5\nnew,0.1\n")
    results.keep(tmp_path / "a.csv", [row("new", 0.7, 3)], same=("name",))
    assert results.read(tmp_path / "a.csv") == [
        {"name": "old", "value": "0.5", "lost": ""},
        {"name": "new", "value": "0.7", "lost": "3"},
    ]


def test_features_that_separate_the_classes_have_a_higher_logme_than_noise(log_me):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 200).astype(np.int32)
    noise = generator.normal(size=(200, 16)).astype(np.float32)
    signal = noise + 4 * np.eye(3, 16, dtype=np.float32)[labels]
    assert log_me(signal, labels, 3) > log_me(noise, labels, 3) + 0.1


@pytest.mark.parametrize("width", [5, 40])
def test_logme_is_the_evidence_of_the_regression_it_describes(log_me, width):
    """At its own precisions, against the density of a normal distribution of all images together."""
    from scipy.optimize import minimize
    from scipy.stats import multivariate_normal

    generator = np.random.default_rng(1)
    features = generator.normal(size=(30, width)).astype(np.float32)
    labels = (features[:, 0] + generator.normal(size=30) > 0).astype(np.int32)

    def evidence(logs, target):
        covariance = np.exp(-logs[1]) * np.eye(30) + np.exp(-logs[0]) * features @ features.T
        return -multivariate_normal(np.zeros(30), covariance).logpdf(target)

    best = [
        -minimize(evidence, [0.0, 0.0], args=(np.equal(labels, label).astype(float),), method="Nelder-Mead").fun / 30
        for label in (0, 1)
    ]
    assert log_me(features, labels, 2) == pytest.approx(np.mean(best), abs=0.02)
