"""The choice of variants, and pairs that are taken again, in `benchmarks/step.py`."""

import importlib
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

# Each variant does nothing for some time; `mode` says what it does instead.
SIDE = f"""
import sys, time
sys.path.insert(0, {str(BENCHMARKS)!r})
from turns import answer

def open_step(name, size, batch, batch_norm, precision, mode):
    if mode == "refused":
        raise ValueError("no compiler\\nwas found")
    if mode == "dies":
        sys.exit(7)
    return lambda: time.sleep({{"fast": 0.003, "medium": 0.03, "slow": 0.3, "hangs": 1000}}[mode])

answer(open_step, "side 1.0")
"""


@pytest.fixture
def benchmark(monkeypatch):
    """Returns a module of the benchmarks by its name."""
    pytest.importorskip("psutil")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture
def choose(benchmark, tmp_path, monkeypatch):
    """Chooses among variants of these modes: `(mode of the fastest, trials)`."""
    step_side = benchmark("step_side")
    monkeypatch.setattr(step_side, "BUILD_SECONDS", 2.0)
    script = tmp_path / "side.py"
    script.write_text(SIDE)

    def choose(*modes):
        side = step_side.Side(sys.executable, script, [step_side.Variant("float32", mode) for mode in modes])
        try:
            assert side.versions == "side 1.0"
            choice = side.open_fastest(step_side.Task("lenet", 32, 64, "train"))
            assert 0 < side.time(2) < 64 / 0.003
            return choice.variant.mode, choice.trials.split("; ")
        finally:
            side.close()

    return choose


def test_the_fastest_variant_is_opened(choose):
    fastest, trials = choose("medium", "fast")
    assert fastest == "fast"
    assert [trial.split()[:2] for trial in trials] == [["float32", "medium"], ["float32", "fast"]]


def test_variants_that_cannot_be_timed_are_given_up_with_the_reason(choose):
    fastest, trials = choose("refused", "fast", "slow", "dies", "hangs")
    assert fastest == "fast"
    assert trials[0] == "float32 refused given up: ValueError: no compiler was found"
    assert trials[2].startswith("float32 slow given up: a step took 0.3 s")
    assert trials[3] == "float32 dies given up: it ended with 7"
    assert trials[4] == "float32 hangs given up: no answer in 2 s"


def test_without_any_variant_the_benchmark_ends(choose):
    with pytest.raises(SystemExit, match="lenet could be timed: float32 refused given up"):
        choose("refused")


@pytest.mark.parametrize(
    ("shares", "kept", "retaken"),
    [
        ([0.01], 0, 0),
        ([0.4, 0.02], 1, 1),
        ([0.4, 0.3, 0.04], 2, 2),
        ([0.4, 0.2, 0.3, 0.0], 1, 2),
    ],
)
def test_what_others_disturbed_is_taken_again_at_most_twice(benchmark, shares, kept, retaken):
    disturbance = benchmark("disturbance")

    class Watch:
        def __init__(self):
            self._share = next(coming)

        def share(self):
            return self._share

    coming, values = iter(shares), iter(range(9))
    measured = disturbance.measure_undisturbed(lambda: next(values), Watch)
    assert (measured.value, measured.others, measured.retaken) == (kept, shares[kept], retaken)
    assert measured.is_disturbed == (shares[kept] > 0.05)


def test_time_of_other_programs_is_told_from_the_own(benchmark, monkeypatch):
    disturbance = benchmark("disturbance")
    readings = iter([(100.0, 40.0, 30.0), (110.0, 46.0, 35.0), (120.0, 50.0, 41.0)])
    monkeypatch.setattr(disturbance, "_read", lambda: next(readings))
    others = disturbance.OthersTime()
    assert others.share() == pytest.approx(0.1)
    # The clocks differ by a little.
    assert others.share() == 0.0


class Opened:
    """A side that takes steps at one pace."""

    def __init__(self, variant, rate):
        self.versions, self._variant, self._rate = "side 1.0", variant, rate

    def open_fastest(self, task):
        assert task.network in ("vgg-16", "vgg16")
        return sys.modules["step_side"].Choice(self._variant, f"{self._variant} {self._rate}")

    def time(self, steps):
        assert steps == 4
        return self._rate


def test_rows_of_other_machines_stay(benchmark, tmp_path):
    step = benchmark("step")
    table = tmp_path / "step.csv"
    task = step.Task("vgg-16", 96, 64, "frozen")
    for peer_rate in (10.0, 8.0):
        row = step.compare(task, Opened(step.OURS[0], 12.0), Opened(step.PEERS[1], peer_rate), pairs=2, steps=4)
        step.keep(table, [row], same=step.KEY, order=step._place)
        if peer_rate == 10.0:
            step.keep(table, [step.replace(row, cpu="another")], same=step.KEY, order=step._place)
    rows = step.read(table)
    assert sorted((row["cpu"] == "another", row["ratio"], row["peer_mode"]) for row in rows) == [
        (False, "1.5", "compiled"),
        (True, "1.2", "compiled"),
    ]
    step.print_table(rows)


def test_the_rows_that_are_kept_have_the_columns_of_today(benchmark):
    step = benchmark("step")
    rows = step.read(step.CSV)
    assert rows
    assert list(rows[0]) == list(step.Row.__annotations__)
    step.print_table(rows)
