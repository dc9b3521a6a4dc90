"""What benchmarks/judgement.py makes of its rows, and LogME."""

import dataclasses
import importlib
from pathlib import Path

import numpy as np
import pytest

from bakeoff.runs.folder import RunFolder, run_dir
from bakeoff.runs.record import Stage, write_record
from factories import make_record

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


def test_luck_is_the_regret_of_choosing_by_one_seed_which_equal_scores_share(of_rows):
    assert of_rows(ROWS).luck == pytest.approx(10)
    assert of_rows([_row("small", 0, 0.5, 0.60), _row("large", 0, 0.5, 0.80)]).luck == pytest.approx(10)


def test_a_candidate_that_lacks_a_seed_or_has_others_is_left_out(of_rows):
    others = [_row("other", seed, 1.0, 1.0) for seed in (1, 2)]
    truth = of_rows([*ROWS, _row("half", 0, 1.0, 1.0), *others])
    assert truth.means.keys() == {"small", "large", "scratch"}
    assert truth.left_out == ("half", "other")
    assert truth.luck == pytest.approx(10)
    # One that alone has more seeds, because the others are still to come, takes their place from none.
    assert of_rows([*ROWS, *(_row("ahead", seed, 1.0, 1.0) for seed in (0, 1, 2))]).left_out == ("ahead",)


def test_a_rule_that_knows_no_candidate_has_no_regret(of_rows):
    assert of_rows(ROWS).rule("logme") is None


def _study(data, share, seed, chosen):
    orders = {"screened": "small large scratch", "raced": "", "cut": "", "tied": "small=large:-0.3:0.1"}
    return {"data": data, "share": share, "seed": seed, "chosen": chosen} | orders


def test_the_tables_average_over_data_sets_with_every_study_and_name_what_is_missing(judged, capsys):
    tuned = [{"data": data} | row for data in ("a", "b", "c", "d") for row in ROWS]
    tuned.append({"data": "a", "code": "f00d"} | _row("half", 0, 1.0, 1.0))
    tuned += [{"data": "a"} | _row("probed", seed, 0.1, 0.7, probe_val="0.5") for seed in range(2)]
    chosen = {"a": ("large", "large"), "b": ("small", "scratch"), "c": ("new", "large"), "d": ("small",)}
    studies = [_study(data, "0.1", str(seed), each) for data in chosen for seed, each in enumerate(chosen[data])]
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
    assert rows["d"][3] == "20.00"
    assert rows["mean of 2"][2:4] == ["10.00", "22.50"]
    assert rows["worst of 2"][3] == "45.00"
    assert (rows["a"][5], rows["mean of 2"][5]) == ("10.00", "")  # no candidate of b has a probe
    assert "ties that hold: 7 of 7" in said
    assert "a, 10%, seed 0: it was chosen" in said
    assert "the screen had it on place 2; scratch was chosen, 70.00 points below" in said
    assert "new was chosen, which was not fine-tuned by every seed" in said
    assert "a: left out, not with the seeds of the others: half" in said
    assert "d, 10%: not in the mean, without a study of seed 1" in said
    assert "judgement_tuned.csv has rows of 2 versions of bakeoff or processors" in said


def test_a_network_of_two_rungs_is_once_in_the_order_and_ties_with_its_rung(judged, tmp_path):  # noqa: ARG001
    judgement = importlib.import_module("judgement")
    first = [make_record(f"{name}@32", top1, n=100) for name, top1 in (("lenet", 0.5), ("cnn-small", 0.48))]
    last = []
    for record in first:
        config = record.config.revised(model={"start": str(RunFolder(run_dir(tmp_path, record.id)).model)})
        last.append(make_record(config=config, top1=record.val.top1 + 0.3, n=100))
    ties = list(judgement.list_ties([*first, *last], tmp_path))
    assert [tie.partition(":")[0] for tie in ties] == ["lenet@32=cnn-small@32"] * 2
    order = judgement.name_scored([*first, *last], Stage.RACE, tmp_path)
    assert order == "lenet@32 cnn-small@32"


def test_candidates_of_another_length_are_not_mixed(judged):
    judged.check_length([{"seconds": "30.0"}], 30.0)
    with pytest.raises(SystemExit, match=r"rows of 4\.0 training seconds, not 30\.0: give another --csv"):
        judged.check_length([{"seconds": "30.0"}, {"seconds": "4.0"}], 30.0)


@pytest.mark.usefixtures("judged")  # which finds the benchmarks
def test_small_data_of_another_length_are_not_mixed():
    small_data = importlib.import_module("small_data")
    small_data.check_images(small_data.read(small_data.CSV), 4000)
    with pytest.raises(SystemExit, match=r"has rows of 4008 images, not 8000: move it away first"):
        small_data.check_images([{"images": "8016"}, {"images": "4008"}], 8000)


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
def test_a_new_row_replaces_the_one_with_an_equal_number(tmp_path):
    results = importlib.import_module("results")
    row = dataclasses.make_dataclass("Row", [("lever", str), ("seconds", float), ("value", int)])
    (tmp_path / "a.csv").write_text("lever,seconds,value\nbase,240,1\nbase,400.0,2\n")
    results.keep(tmp_path / "a.csv", [row("base", 240.0, 3)], same=("lever", "seconds"))
    assert [(each["seconds"], each["value"]) for each in results.read(tmp_path / "a.csv")] == [
        ("400.0", "2"),
        ("240.0", "3"),
    ]


@pytest.mark.usefixtures("judged")
def test_a_lever_gives_the_run_of_its_length(tmp_path, monkeypatch):
    levers = importlib.import_module("levers")
    monkeypatch.setattr(levers.subprocess, "run", lambda *_, **__: None)
    for seconds in (240.0, 400.0):
        config = make_record().config.revised(train={"epochs": None, "seconds": seconds})
        record = make_record(config=config)
        write_record(run_dir(tmp_path, record.id), record)
    assert [levers.train("base", each, tmp_path, None).config.train.seconds for each in (240.0, 400.0)] == [240, 400]
    again = make_record(config=config.revised(train={"batch": 32}))
    write_record(run_dir(tmp_path, again.id), again)
    with pytest.raises(SystemExit, match="several runs of 400 s"):
        levers.train("base", 400.0, tmp_path, None)


@pytest.mark.usefixtures("judged")
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
