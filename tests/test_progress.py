"""The progress of a run with a deadline, on a simulated machine that becomes slower, or faster again."""

import math
import re
from dataclasses import asdict, dataclass
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bakeoff.runs.config import Optim, Train
from bakeoff.training.optimizer import learning_rate
from bakeoff.training.progress import LAST_STEPS, MIN_SHARE, Clock, Course, RunState, ToScore

START, COMPILE, SAVE = 8.0, 4.0, 2.0
SIZES = (64, 96)
IMAGES = 1000
TO_SCORE = ToScore(evaluation=512, end=1536)
OPTIM = Optim()


@dataclass
class Machine:
    """A machine on which work takes `slow` times as long between two times."""

    step: float = 0.1
    """Seconds of a step at the largest size, at full pace."""
    scored: float = 0.002
    """Seconds per image scored."""
    slow: float = 1.0
    begins: float = 0.0
    ends: float = math.inf
    now: float = 0.0

    def work(self, seconds):
        self.now += seconds * (self.slow if self.begins <= self.now < self.ends else 1.0)


@dataclass
class Ran:
    """What a simulated run did."""

    course: Course
    ended: float
    rates: list[float]
    progress: list[float]
    unavoidable: float
    """When it would have ended with hardly any training after the machine became slow."""


def simulate(config, machine, wall=None, state=None, until=1.0):
    """Run a config on a machine as the training loop does, up to a progress."""
    machine.work(START)
    state = state or RunState()
    clock = Clock(lambda: machine.now)
    clock.seconds.update(state.seconds)
    course = Course(config, SIZES, state, clock, images=IMAGES, to_score=TO_SCORE, ends=wall, saving=SAVE)

    def score(images):
        with clock.measure("evaluate"), course.scoring() as count:
            for first in range(0, images, 128):
                machine.work(machine.scored * min(128, images - first))
                count(min(128, images - first))

    def must():
        """Seconds at full pace of what cannot be shortened."""
        evaluations = config.evaluations - 1 - state.evaluations
        scored = evaluations * TO_SCORE.evaluation + TO_SCORE.end
        steps = max(2 * LAST_STEPS * machine.step, MIN_SHARE * (config.seconds or 0.0) - clock.seconds["train"])
        return (len(SIZES) - len(seen)) * COMPILE + machine.scored * scored + SAVE + steps

    score(TO_SCORE.evaluation)
    seen, rates, progress, unavoidable = set(), [], [], 0.0
    while state.progress < until:
        was_fast = machine.now < machine.begins
        rates.append(learning_rate(OPTIM, state.progress))
        with course.step() as position:
            machine.work(0.0 if position in seen else COMPILE)
            machine.work(machine.step * (SIZES[position] / SIZES[-1]) ** 2)
        seen.add(position)
        progress.append(state.progress)
        if course.is_evaluation_due:
            state.evaluations += 1
            score(TO_SCORE.evaluation)
        if was_fast and machine.now >= machine.begins:
            unavoidable = machine.now + machine.slow * must()
    if until == 1.0:
        was_fast = machine.now < machine.begins
        score(TO_SCORE.end)
        machine.work(SAVE)
        if was_fast:  # nothing is left that could be shortened
            unavoidable = machine.now
    state.seconds = dict(clock.seconds)
    return Ran(course, machine.now, rates, progress, unavoidable)


@cache
def plan(config, **machine):
    """The seconds that a config takes on a machine at full pace."""
    return simulate(config, Machine(**machine)).ended


lengths = st.sampled_from([{"seconds": 40.0}, {"seconds": 100.0}, {"images": 30_000}, {"epochs": 30.0}])


@settings(deadline=None, max_examples=60)
@given(
    length=lengths,
    evaluations=st.integers(1, 8),
    step=st.sampled_from([0.1, 0.4]),
    scored=st.sampled_from([0.0003, 0.002]),
    slow=st.floats(2.0, 4.0),
    begins=st.floats(0.3, 0.95),
)
# The last size began with two steps left; the machine became slow when nothing was left to be shortened.
@example(length={"seconds": 40.0}, evaluations=4, step=0.4, scored=0.002, slow=4.0, begins=0.3125)
@example(length={"seconds": 40.0}, evaluations=1, step=0.1, scored=0.002, slow=3.0, begins=0.9375)
def test_a_run_on_a_machine_that_becomes_slow_ends_in_time_with_its_schedule_at_its_end(
    length, evaluations, step, scored, slow, begins
):
    config = Train(**length, evaluations=evaluations)
    wall = plan(config, step=step, scored=scored)
    ran = simulate(config, Machine(step, scored, slow, begins * wall), wall)
    # In time; or, if what cannot be shortened takes longer than that, soon after it. That saving will take longer, too,
    # cannot always be seen.
    assert ran.ended <= max(1.05 * wall, ran.unavoidable + 0.05 * wall) + slow * step + (slow - 1) * SAVE
    assert ran.progress == sorted(ran.progress)
    assert ran.progress[-1] == 1.0
    assert ran.rates[-1] < 0.1 * OPTIM.learning_rate
    assert ran.course.state.left == 0.0


@pytest.mark.parametrize("slow", [1.5, 2.0, 3.0])
@pytest.mark.parametrize("length", [{"seconds": 100.0}, {"images": 60_000}])
def test_a_machine_that_is_slower_than_planned_from_the_first_second_is_no_exception(length, slow):
    config = Train(**length)
    wall = plan(config)
    ran = simulate(config, Machine(slow=slow), wall)
    # Nothing shows that saving will take longer than usual, too.
    assert 0.95 * wall <= ran.ended <= 1.02 * wall + (slow - 1) * SAVE
    assert ran.rates[-1] < 0.1 * OPTIM.learning_rate


# If the machine recovers when the run is about to end, it has been shortened for nothing, and nobody could know.
@settings(deadline=None, max_examples=30)
@given(length=lengths, slow=st.floats(1.5, 4.0), begins=st.floats(0.1, 0.5), lasts=st.floats(0.0, 0.2))
def test_a_run_that_was_slow_for_a_while_uses_its_time_and_never_more_than_its_length(length, slow, begins, lasts):
    config = Train(**length)
    wall = plan(config)
    ran = simulate(config, Machine(slow=slow, begins=begins * wall, ends=(begins + lasts) * wall), wall)
    assert 0.9 * wall <= ran.ended <= 1.05 * wall
    assert ran.progress == sorted(ran.progress)
    assert ran.progress[-1] == 1.0
    assert ran.course.clock.seconds["train"] <= (config.seconds or math.inf) + slow * 0.1
    assert ran.course.images_seen <= (30 * IMAGES if config.seconds is None else math.inf) + config.batch


@pytest.mark.parametrize("length", [{"seconds": 40.0}, {"images": 20_000}, {"epochs": 20.0}])
def test_a_deadline_that_is_far_enough_changes_nothing_and_nothing_is_said(length):
    config = Train(**length)
    free = simulate(config, Machine())
    ran = simulate(config, Machine(), 1.01 * free.ended)
    # One step more where the input size changes is the error of adding up.
    assert abs(len(ran.progress) - len(free.progress)) <= 1
    assert ran.progress[:200] == pytest.approx(free.progress[:200])
    assert ran.course.note == free.course.note == ""


@pytest.mark.parametrize(
    ("length", "said"),
    [
        ({"seconds": 40.0}, r"trained 2\d of the 40 s that were planned, to end in its time"),
        ({"images": 20_000}, r"trained 1\d,\d\d\d of the 20,000 images that were planned, to end in its time"),
        ({"epochs": 20.0}, r"trained 1\d\.\d of the 20\.0 epochs that were planned, to end in its time"),
    ],
)
def test_a_run_that_was_shortened_says_by_how_much(length, said):
    config = Train(**length)
    ran = simulate(config, Machine(), 0.8 * plan(config))
    assert re.fullmatch(said, ran.course.note), ran.course.note


def test_a_deadline_that_cannot_be_met_leaves_a_tenth_of_the_length():
    ran = simulate(Train(seconds=40.0), Machine(), 10.0)
    # And a few steps at the last size, which the smaller one before it must not use up.
    assert 3.9 < ran.course.clock.seconds["train"] < 4.0 + LAST_STEPS * Machine.step
    assert ran.rates[-1] < 0.1 * OPTIM.learning_rate


@pytest.mark.parametrize("length", [{"seconds": 40.0}, {"images": 20_000}])
def test_a_shortened_run_that_is_interrupted_goes_on_with_the_time_that_it_is_given_anew(length):
    config = Train(**length)
    wall = plan(config)
    first = simulate(config, Machine(slow=2.0), wall, until=0.6)
    state = RunState(**asdict(first.course.state))
    again = simulate(config, Machine(), 0.5 * wall, state)
    assert again.ended <= 0.5 * wall * 1.05
    assert first.progress[-1] <= again.progress[0]
    assert again.progress[-1] == 1.0
    # Without a deadline, what was planned is still done.
    state = RunState(**asdict(first.course.state))
    free = simulate(config, Machine(), None, state)
    assert free.course.note == ""
    assert free.progress == sorted(free.progress)


# Two sizes, each of which is compiled by its first step, which is not timed.
@pytest.mark.parametrize(
    ("length", "step", "steps", "timed"),
    [({"images": 64}, 0.1, 1, 0), ({"images": 640}, 0.1, 10, 8), ({"seconds": 1.0}, 5.0, 2, 1)],
    ids=["fewer steps than sizes", "both sizes", "a size that is skipped"],
)
def test_the_images_of_steps_that_were_not_timed_do_not_count_for_the_pace(length, step, steps, timed):
    course = simulate(Train(**length), Machine(step)).course
    assert (course.images_seen, course.timed_images) == (64 * steps, 64 * timed)


def test_the_first_step_after_an_interruption_is_not_timed_either():
    config = Train(images=640)
    state = RunState(**asdict(simulate(config, Machine(), until=0.6).course.state))
    again = simulate(config, Machine(), state=state).course
    assert (again.images_seen, again.timed_images) == (640, 640 - 3 * 64)
    assert again.clock.seconds["train"] == pytest.approx((4 * (64 / 96) ** 2 + 3) * 0.1)
