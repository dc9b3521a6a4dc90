"""Weights that arrive while other candidates are screened: whom to wait for, and whom to leave out."""

from collections.abc import Iterator, Mapping, Sequence

from bakeoff.networks.find import find_network
from bakeoff.networks.weights import Downloads, needs_download
from bakeoff.runs.config import Candidate, WeightsChoice
from bakeoff.runs.record import Stage, State
from bakeoff.runs.study_file import Download
from bakeoff.study.context import MAX_SCREEN_SHARE, StudyContext
from bakeoff.study.forecast import Forecast
from bakeoff.study.plan import StudyPlan
from bakeoff.study.planning import SCREEN_SHARE, predict_screening

__all__ = ["await_weights", "end_downloads", "expect_downloads", "find_awaited", "find_late", "follow_downloads"]

POLL_SECONDS = 0.5
TOO_LATE = "its weights would arrive too late for the screen"
NOT_HERE = "its weights are not on this machine"


def expect_downloads(plan: StudyPlan, candidates: Sequence[Candidate], downloads: Downloads) -> StudyPlan:
    """The plan, with what is downloaded, and with the candidates whose weights cannot be."""
    # What fails while the plan is made is still in it; `follow_downloads` takes it out, and says so.
    failed, planned = downloads.failed, (*plan.candidates, *plan.cut)
    unavailable = {
        str(each): failed[each.name] for each in candidates if each.name in failed and str(each) not in planned
    }
    return plan.model_copy(update={"downloads": dict(downloads.pending), "unavailable": unavailable})


def find_awaited(context: StudyContext) -> list[str]:
    """The candidates of the plan whose weights have not arrived yet."""
    plan = context.study.plan
    assert isinstance(plan, StudyPlan)
    return [name for name in plan.candidates if _network(name) in context.downloads.pending]


def follow_downloads(context: StudyContext) -> None:
    """Let the plan agree with what has arrived: leave out whom nothing will come for, and take back who was left out.

    A study that is resumed tries to download again what it could not.
    """
    study, downloads = context.study, context.downloads
    plan = study.plan
    assert isinstance(plan, StudyPlan)
    # `bakeoff train` may have written a run into the folder meanwhile.
    if any(record.stage not in (Stage.SCREEN, Stage.TRAIN) for record in context.records):
        return
    screened = _list_screened(context)

    def may_come(name: str) -> bool:
        return _network(name) in downloads.pending or name in screened or not _lacks_weights(name, plan.weights)

    came = [name for name in plan.unavailable if may_come(name)]
    gone = {name: downloads.failed.get(_network(name), NOT_HERE) for name in plan.candidates if not may_come(name)}
    if not came and not gone:
        return
    changes = {
        "candidates": (*(name for name in plan.candidates if name not in gone), *came),
        "cut": (*plan.cut, *_list_stand_ins(plan, len(gone))),
        "unavailable": {name: why for name, why in plan.unavailable.items() if name not in came} | gone,
    }
    study.plan = plan.model_copy(update=changes)
    for why in _describe(came, gone):
        context.revise("downloads", why)
    _keep_facts(context)


def _list_stand_ins(plan: StudyPlan, count: int) -> list[str]:
    """So many networks of the default field, at most, that may be screened in place of others, if there is time."""
    stand_ins = plan.field.stand_ins if plan.field else ()
    return [name for name in stand_ins if name not in (*plan.candidates, *plan.cut)][:count]


def await_weights(context: StudyContext) -> None:
    """Wait until weights of a candidate have arrived, or cannot any more; leave out those that would come too late."""
    study, downloads = context.study, context.downloads
    plan = study.plan
    assert isinstance(plan, StudyPlan)
    screened = _list_screened(context)
    awaited = [name for name in plan.candidates if name not in screened]
    # As long as nothing has been screened, any result is better than none.
    has_result = any(record.state is State.COMPLETE for record in context.records)
    share = SCREEN_SHARE if has_result else MAX_SCREEN_SHARE
    with study.timed(context.out, Stage.SCREEN) as save_time:
        while awaited and all(_network(name) in downloads.pending for name in awaited):
            waits = {name: downloads.seconds_left(_network(name)) for name in awaited}
            for name in find_late(plan, waits, share, study.seconds_left or 0.0, context.forecast):
                downloads.give_up(_network(name), TOO_LATE)
            downloads.wait(POLL_SECONDS)
            save_time()


def find_late(
    plan: StudyPlan, waits: Mapping[str, float | None], share: float, seconds_left: float, forecast: Forecast
) -> list[str]:
    """The candidates that the screen would not be done with in time.

    Args:
        plan: The plan.
        waits: By candidate: seconds until its weights will have arrived; None: not known yet.
        share: The share of the budget within which the screen ends.
        seconds_left: Wall-clock seconds that are left of the budget.
        forecast: The time that runs take on this machine.
    """
    spare = seconds_left - (1 - share) * plan.budget_seconds
    return [
        name
        for name, wait in waits.items()
        if (wait or 0.0) + predict_screening(plan, Candidate.read(name), forecast) > spare
    ]


def end_downloads(context: StudyContext) -> None:
    """Download nothing further, because the screen has ended."""
    context.downloads.stop()
    _keep_facts(context)


def _keep_facts(context: StudyContext) -> None:
    """Write what was downloaded to the study's file."""
    study, downloads = context.study, context.downloads
    facts = {each.network: each for each in study.downloads}
    for network, (arrived, seconds) in downloads.ended.items():
        why = downloads.failed.get(network, "")
        facts[network] = Download(network=network, bytes=arrived, seconds=seconds, why=why)
    for network, why in downloads.failed.items():
        facts.setdefault(network, Download(network=network, bytes=0, seconds=0.0, why=why))
    if list(facts.values()) != study.downloads:
        study.downloads = list(facts.values())
        study.write(context.out)


def _list_screened(context: StudyContext) -> set[str]:
    return {
        record.candidate
        for record in context.records
        if record.stage is Stage.SCREEN and record.state is not State.RUNNING
    }


def _lacks_weights(name: str, weights: WeightsChoice) -> bool:
    spec = find_network(_network(name))
    return weights.of(spec.name) == "auto" and needs_download(spec)


def _network(candidate: str) -> str:
    return Candidate.read(candidate).name


def _describe(came: Sequence[str], gone: Mapping[str, str]) -> Iterator[str]:
    """A sentence for those that take part after all, and one for each reason to leave candidates out."""
    if came:
        yield f"{', '.join(came)} can take part after all: the weights are here, or on their way"
    for reason in dict.fromkeys(gone.values()):
        yield f"left out {', '.join(name for name, why in gone.items() if why == reason)}: {reason}"
