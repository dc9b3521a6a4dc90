"""How a study divides its budget among its stages, by the pace of this machine.

Pure functions: no clock, no files, no Keras. The machine is an argument, the Forecast.
"""

import math
from collections.abc import Mapping, Sequence

from bakeoff.errors import ConfigError
from bakeoff.networks.find import find_network
from bakeoff.profile import Variant
from bakeoff.runs.config import Candidate, Data, Mode, WeightsChoice
from bakeoff.runs.default_field import DefaultField
from bakeoff.study.deciding import BY_TOP1, Decision
from bakeoff.study.defaults import progressive_sizes
from bakeoff.study.forecast import Forecast
from bakeoff.study.plan import StudyPlan
from bakeoff.study.screening import Screen, plan_screen
from bakeoff.study.search import MIN_SEARCH_SECONDS
from bakeoff.study.sizes import predict_error
from bakeoff.study.small import is_small

__all__ = [
    "MIN_CONFIRM_SECONDS",
    "RACE_SHARE",
    "SCREEN_SHARE",
    "USUAL_TRAINING_SHARE",
    "begin_screen",
    "count_views",
    "divide_training",
    "limit_screen",
    "make_plan",
    "plan_race",
    "predict_probe",
    "predict_refit",
    "predict_screening",
    "predict_views",
]

MIN_BUDGET_SECONDS = 30.0
# The screen ends within this share of the budget; the larger part is left for the winner.
SCREEN_SHARE = 0.35
# The share in which the winner usually trains.
USUAL_TRAINING_SHARE = 0.5
# The share that the screen usually takes: where there is time, probes get more images.
USUAL_SCREEN_SHARE = 0.2
# The share for all rungs of the race together.
RACE_SHARE = 0.15
# A race shows nothing if its runs see fewer images than this, or than the training split has.
MIN_RACE_IMAGES = 6000
MAX_FINALISTS = 8
# The share for the search of the winner's recipe, if there is one.
TUNE_SHARE = 0.35
# A confirming run has at least this much training.
MIN_CONFIRM_SECONDS = 5.0
# Small data are refitted only if there is time to see every training image so often before, and again in the refit.
MIN_REFIT_EPOCHS = 3
# A refit has a length in epochs. With several input sizes it sees more images of the larger ones than a run with a
# length in seconds, which takes so much longer.
REFIT_SLACK = 1.1
# Augmented views of each image that the head of a probe is fitted on, where there is time. More images, their views
# counted, have all the variety that a linear head can use, and would take more memory than the network.
MAX_VIEWS, MAX_VIEWED_IMAGES = 4, 20_000
# With at least this budget a search is planned by default. Within half an hour it cost more than it gained
# (docs/why/what-it-reaches.md); from what budget on it gains has not been measured.
DEFAULT_TUNE_BUDGET_SECONDS = 7200.0


def make_plan(
    budget: float,
    *,
    data: Data,
    counts: Mapping[str, int],
    candidates: Sequence[Candidate],
    forecast: Forecast,
    weights: WeightsChoice | None = None,
    seed: int = 0,
    tune: bool | None = None,
    refit: bool | None = None,
    slots: int = 1,
    spent: float = 0.0,
    side: int = 0,
    decision: Decision = BY_TOP1,
    classes: int = 0,
    mirror: bool = True,
    field: DefaultField | None = None,
) -> StudyPlan:
    """Divide a budget among the stages of a study.

    The race is successive halving (Jamieson & Talwalkar 2016; Li et al. 2018): each rung has half of the runs of the
    one before, and twice the time for each.

    Args:
        budget: Wall-clock seconds for the whole study.
        data: The data to train on.
        counts: Images by split.
        candidates: The networks with their input sizes; where time is short those of which least is expected are left
            out: networks without pretrained weights first, then further input sizes of a network.
        forecast: The time that runs take on this machine.
        weights: The weights that were asked for.
        seed: The seed of every run.
        tune: Whether the winner's recipe is searched; None to decide by the budget.
        refit: Whether the winner's recipe is trained once more with the validation images; None to decide by their
            number.
        slots: Runs in parallel, in the screen and the race.
        spent: Wall-clock seconds of the budget that preparing the data has used.
        side: Side of the stored images in pixels.
        decision: The metric that decides.
        classes: Number of classes.
        mirror: Whether images may be mirrored.
        field: How the candidates were chosen, if none were named.

    Raises:
        ConfigError: The budget is too short for any run, or for the search that was asked for.
    """
    if budget < MIN_BUDGET_SECONDS:
        raise ConfigError(
            f"a budget of {budget:.0f} s is too short to train anything; give at least {MIN_BUDGET_SECONDS:.0f}s"
        )
    tune_seconds = _plan_search(budget, tune)
    weights, variant = weights or WeightsChoice(), forecast.profile.variant or Variant()
    usable = _usable(budget, spent)
    screen = begin_screen(budget, forecast, weights, counts, classes, slots=slots)
    alone = forecast.for_stage(1)  # as the winner is trained

    def expect_error(each: Candidate) -> float:
        network, size, seconds = find_network(each.name), each.size or 0, USUAL_TRAINING_SHARE * budget
        return predict_error(network, size, side=side, seconds=seconds, images=counts["train"], forecast=alone)

    limit = limit_screen(budget, spent)
    ordered = screen.order(candidates, expect_error, limit=limit)
    screen, affordable, images, val = plan_screen(screen, ordered, limit=limit, usual=USUAL_SCREEN_SHARE * usable)
    kept = [candidate for candidate in candidates if candidate in affordable]
    dropped = [candidate for candidate in ordered if candidate not in affordable]
    leader = next((each for each in kept if not screen.trains(each)), kept[0])
    # Who will lead is not known yet.
    fastest = sorted(kept, key=lambda each: -forecast.rate(each, Mode.FIT).value)
    finalists, race_seconds = plan_race(
        RACE_SHARE * usable, fastest, forecast=forecast, train_images=counts["train"], slots=slots
    )
    plan = StudyPlan(
        budget_seconds=budget,
        data=data,
        seed=seed,
        weights=weights,
        candidates=tuple(map(str, kept)),
        sources={each.name: source for each in candidates if (source := find_network(each.name).source)},
        cut=(*map(str, dropped), *(field.waiting if field else ())),
        screen_images=images,
        screen_val=val,
        screen_folds=screen.folds,
        scratch_seconds=screen.scratch_seconds,
        finalists=finalists,
        race_seconds=race_seconds,
        tune_seconds=tune_seconds,
        refit=is_small(counts["train"], counts["val"]) if refit is None else refit,
        count_val=counts["val"],
        count_test=counts["test"],
        count_train=counts["train"],
        count_classes=classes,
        side=side,
        precision=variant.precision,
        xla=variant.jit_compile,
        field=field,
        rests_on=forecast.describe(kept),
        metric=decision.metric,
        decides=decision.sentence,
        mirror=mirror,
    )
    screening = screen.seconds(kept, images, val)
    racing = RACE_SHARE * usable if race_seconds else 0.0
    return _share_rest(plan, leader, alone, usable, screening, racing, is_probed=not screen.trains(leader))


def _plan_search(budget: float, tune: bool | None) -> float:
    """Seconds for the search of the winner's recipe; 0 for none. Raises ConfigError if they are too few."""
    if not (budget >= DEFAULT_TUNE_BUDGET_SECONDS if tune is None else tune):
        return 0.0
    seconds = round(TUNE_SHARE * budget)
    if seconds < MIN_SEARCH_SECONDS:
        raise ConfigError(
            f"a budget of {budget:.0f} s leaves too little for a search;"
            f" give at least {MIN_SEARCH_SECONDS / TUNE_SHARE:.0f}s, or --no-tune"
        )
    return seconds


def _share_rest(
    plan: StudyPlan,
    leader: Candidate,
    forecast: Forecast,
    usable: float,
    screening: float,
    racing: float,
    *,
    is_probed: bool,
) -> StudyPlan:
    """The plan with what screen, race and search leave of the usable seconds: for the winner, its refit and the end."""
    finish = forecast.finish(leader, 2 * plan.count_test)
    confirming = max(0.0, usable - screening - racing - plan.tune_seconds - finish)
    around = forecast.overhead(leader, Mode.FIT, sizes=_count_sizes(leader))
    around += forecast.scoring(leader, 3 * plan.count_val)
    if plan.is_small and is_probed:
        around += predict_probe(plan, leader, forecast)
    seconds, refitting = confirming - around, 0.0
    # Whether there is a refit is decided as if screen and race took all that they may: a faster machine, which screens
    # more images and has a race, must not lose the refit by that.
    at_least = (1 - SCREEN_SHARE - RACE_SHARE) * usable - plan.tune_seconds - finish - around
    if divide_training(plan, leader, min(seconds, at_least), forecast)[1]:
        seconds, refitting = divide_training(plan, leader, seconds, forecast)
    predicted = {
        "screen": round(screening, 1),
        "race": round(racing, 1),
        "tune": plan.tune_seconds,
        "confirm": round(confirming - refitting, 1),
        "refit": round(refitting, 1),
        "finish": round(finish, 1),
    }
    return plan.model_copy(update={"confirm_seconds": round(max(1.0, seconds), 1), "predicted_seconds": predicted})


def begin_screen(
    budget: float,
    forecast: Forecast,
    weights: WeightsChoice,
    counts: Mapping[str, int],
    classes: int,
    *,
    slots: int = 1,
) -> Screen:
    """The screen of a study with this budget, before its folds are decided."""
    return Screen(forecast, weights, min(60.0, max(3.0, 0.015 * budget)), counts, classes, slots=slots)


def limit_screen(budget: float, spent: float) -> float:
    """Wall-clock seconds in which candidates have to be screened, or are left out."""
    return SCREEN_SHARE * _usable(budget, spent)


def _usable(budget: float, spent: float) -> float:
    return max(MIN_BUDGET_SECONDS / 2, budget - spent)


def divide_training(plan: StudyPlan, candidate: Candidate, seconds: float, forecast: Forecast) -> tuple[float, float]:
    """Divide the seconds for all training into those of the confirming run and those of the whole refit.

    There is no refit if they are too few.
    """
    if not plan.refit:
        return seconds, 0.0
    left = seconds - predict_refit(plan, candidate, 0.0, forecast)
    training = left / (1 + REFIT_SLACK * plan.refit_ratio)
    passes = training * forecast.rate(candidate, Mode.FIT).value / max(plan.count_train, 1)
    # Half of the time is worth more than some more images where there is no time to see all of them often.
    if training < MIN_CONFIRM_SECONDS or (plan.is_small and passes < MIN_REFIT_EPOCHS):
        return seconds, 0.0
    return training, predict_refit(plan, candidate, training, forecast)


def predict_refit(
    plan: StudyPlan, candidate: Candidate, seconds: float, forecast: Forecast, *, sizes: int | None = None
) -> float:
    """Wall-clock seconds of a refit of a recipe that trained for some seconds, at so many input sizes."""
    overhead = forecast.overhead(candidate, Mode.FIT, sizes=sizes or _count_sizes(candidate))
    return overhead + REFIT_SLACK * plan.refit_ratio * seconds


def predict_probe(plan: StudyPlan, candidate: Candidate, forecast: Forecast, *, whole: bool = True) -> float:
    """Wall-clock seconds of a probe after the screen, on all training images or on those of the screen; all validation
    images are scored. Features that the screen has computed are in the cache."""
    images = plan.count_train if whole and plan.screen_images < plan.count_train else 0
    images += plan.count_val if plan.screen_val < plan.count_val else 0
    return forecast.overhead(candidate, Mode.PROBE) + forecast.scoring(candidate, images)


def predict_views(plan: StudyPlan, candidate: Candidate, forecast: Forecast, views: int, images: int) -> float:
    """Wall-clock seconds that a probe on so many images, and its refit, take longer with augmented views of each."""
    shown, fitted = views * images, [(1 + views) * images]
    if plan.refit:  # the views of the training images are in the cache then
        shown += views * plan.count_val
        fitted.append((1 + views) * (images + plan.count_val))
    fitting = sum(forecast.fitting(candidate, 1, each, plan.count_classes) for each in fitted)
    return forecast.scoring(candidate, shown) + fitting


def count_views(plan: StudyPlan, candidate: Candidate, forecast: Forecast, seconds: float, images: int) -> int:
    """Augmented views of each image that a probe on so many images has time for in these seconds."""
    possible = (views for views in range(MAX_VIEWS, 0, -1) if (1 + views) * images <= MAX_VIEWED_IMAGES)
    return next((each for each in possible if predict_views(plan, candidate, forecast, each, images) <= seconds), 0)


def plan_race(
    seconds: float, candidates: Sequence[Candidate], *, forecast: Forecast, train_images: int, slots: int = 1
) -> tuple[int, tuple[float, ...]]:
    """The number of finalists and each rung's training seconds; 1 and none if there is no time for a race.

    Args:
        seconds: Wall-clock seconds for all rungs.
        candidates: Who may be raced, the best first.
        forecast: The time that runs take on this machine.
        train_images: Images of the training split.
        slots: Runs in parallel.
    """
    enough = min(MIN_RACE_IMAGES, train_images)
    finalists = MAX_FINALISTS
    while finalists > 1:
        raced, paced = candidates[:finalists], forecast.for_stage(finalists)
        rungs = int(math.log2(finalists))
        overhead = max(paced.overhead(each, Mode.FIT) for each in raced)
        slowest = min(paced.rate(each, Mode.FIT).value for each in raced)
        lengths = tuple(
            round(seconds / rungs / math.ceil((finalists >> rung) / slots) - overhead, 1) for rung in range(rungs)
        )
        if len(raced) == finalists and min(lengths) * slowest >= enough:
            return finalists, lengths
        finalists //= 2
    return 1, ()


def predict_screening(plan: StudyPlan, candidate: Candidate, forecast: Forecast) -> float:
    """Wall-clock seconds of a candidate's run in the screen of a plan."""
    counts = {"train": plan.count_train, "val": plan.count_val}
    screen = Screen(forecast, plan.weights, plan.scratch_seconds, counts, plan.count_classes, folds=plan.screen_folds)
    return screen.seconds([candidate], plan.screen_images, plan.screen_val)


def _count_sizes(candidate: Candidate) -> int:
    """The number of input sizes at which a candidate's confirming run trains."""
    return 1 + len(progressive_sizes(find_network(candidate.name), candidate.size or 0))
