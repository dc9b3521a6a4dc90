"""The plan of a study as a table: what each stage does, with how much time."""

from collections.abc import Mapping, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from bakeoff.data.folds import half_interval
from bakeoff.networks.find import find_network
from bakeoff.report.board import format_bytes, format_seconds
from bakeoff.report.default_field import describe_absent, describe_entrants
from bakeoff.runs.config import Candidate, Mode, Precision, Train, look_up
from bakeoff.runs.default_field import DefaultField
from bakeoff.runs.predictions import name_folds
from bakeoff.study import MIN_CONFIRM_SECONDS, Ablation, AnyPlan, Comparison, Search, StudyPlan
from bakeoff.study.space import Parameter, Scalar, Space
from bakeoff.study.trials import STOPS
from bakeoff.text import counted

__all__ = ["PlanTable", "render_plan"]

# Values of a condition that are listed, if those that are missing are fewer.
_LISTED = 3


class PlanTable:
    """A Rich renderable: a row for each thing that is planned, with what it is about.

    Its lines are broken between words, or not at all where text is not wrapped.
    """

    def __init__(self, title: str, metric: str) -> None:
        self._title = title
        self._rows: list[tuple[str, Text]] = []
        if metric:
            self.add_row("metric", metric)

    def add_row(self, stage: str, what: str) -> None:
        """Add a row; `what` may have Rich's markup in it."""
        self._rows.append((stage, Text.from_markup(what)))

    def add_rows(self, stage: str, texts: Sequence[str]) -> None:
        """Add rows about the same thing, which is named in the first."""
        for place, text in enumerate(texts):
            self.add_row("" if place else stage, text)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(self._title, style="italic")
        if options.no_wrap:
            width = max(len(stage) for stage, _ in self._rows)
            for stage, what in self._rows:
                yield Text.assemble(f" {stage:<{width}}  ", what)
            return
        table = Table(box=None, show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for stage, what in self._rows:
            table.add_row(stage, what)
        yield table


def render_plan(plan: AnyPlan) -> PlanTable:
    """The plan of a study of any kind: what each stage does, with how much time."""
    match plan:
        case StudyPlan():
            return _render_whole_job(plan)
        case Comparison():
            return _render_comparison(plan)
        case Search():
            return _render_search(plan)
        case Ablation():
            return _render_ablation(plan)


def _render_whole_job(plan: StudyPlan) -> PlanTable:
    """Screen, races, search and confirmation."""
    table = PlanTable(f"Plan for {format_seconds(plan.budget_seconds)}", plan.decides)
    if plan.rests_on:
        table.add_row("times", f"predicted from {plan.rests_on}")
    if plan.xla or plan.precision is not Precision.FLOAT32:
        compiled = " and XLA" if plan.xla else ""
        table.add_row("steps", f"in {plan.precision}{compiled}: the fastest of what was tried on this GPU")
    _describe_field(table, plan.field)
    table.add_row(_with_time("screen", plan), ", ".join(plan.candidates))
    scored = f"scored on {counted(plan.screen_val, 'validation image')}"
    scratch = {name for name in plan.candidates if _starts_at_random(plan, name)}
    if scratch != set(plan.candidates):
        on = f" on {counted(plan.screen_images, 'image')}, {scored}"
        table.add_row("", f"pretrained: a probe{f', {_describe_folds(plan)}' if plan.screen_folds else on}")
    if scratch:
        table.add_row("", f"from scratch: {format_seconds(plan.scratch_seconds)} of training, {scored}")
    _warn_of_random(table, {name: plan.weights.of(Candidate.read(name).name) for name in plan.candidates})
    if plan.cut:
        table.add_row("", f"no time for {', '.join(plan.cut)}")
    if plan.downloads:
        table.add_row("download", f"meanwhile: {_name_downloads(plan)}; each is screened once its weights are here")
    for number, reason in enumerate(dict.fromkeys(plan.unavailable.values())):
        names = [name for name, why in plan.unavailable.items() if why == reason]
        stage = "" if number or plan.downloads else "download"
        table.add_row(stage, f"without {', '.join(names)}: {reason}")
    for rung, seconds in enumerate(plan.race_seconds):
        table.add_row(
            "race" if rung else _with_time("race", plan),
            f"the best {plan.finalists >> rung}, {format_seconds(seconds)} of training each",
        )
    if not plan.race_seconds:
        no_time = "there is no time for one, the screen decides"
        table.add_row("race", f"none: {no_time if len(plan.candidates) > 1 else 'there is only one candidate'}")
    if plan.tune_seconds:
        table.add_row("tune", f"the recipe of the leader, searched for {format_seconds(plan.tune_seconds)}")
    opened = "then the test split is opened once"
    trained = "the winner, trained with what is left"
    if plan.confirm_seconds < MIN_CONFIRM_SECONDS:
        trained = f"{trained} if that is {MIN_CONFIRM_SECONDS:.0f} s; else the best frozen probe"
    if not plan.refit:
        table.add_row(_with_time("confirm", plan), f"{trained}; {opened}")
        return table
    table.add_row(_with_time("confirm", plan), trained)
    proviso = "" if plan.predicted_seconds.get("refit") else "if there is time: "
    table.add_row(
        _with_time("refit", plan),
        f"{proviso}its recipe for as many epochs, on training and validation images together; {opened}, for this model",
    )
    return table


def _starts_at_random(plan: StudyPlan, candidate: str) -> bool:
    """Whether a candidate is trained from scratch in the screen."""
    network = Candidate.read(candidate).name
    return find_network(network).from_scratch or plan.weights.of(network) == "none"


def _name_downloads(plan: StudyPlan) -> str:
    """What is downloaded, with its size."""
    return ", ".join(f"{name} ({format_bytes(size)})" for name, size in plan.downloads.items())


def _describe_field(table: PlanTable, field: DefaultField | None) -> None:
    """Say which networks take part and why, and which do not, if none were named."""
    if field is None:
        return
    about = "none were named, so these were chosen: of each family that fits, the network with the least expected error"
    table.add_row("field", about)
    for name, why in describe_entrants(field):
        table.add_row("", f"{name}: {why}")
    table.add_rows("left out", [f"{names}: {why}" for names, why in describe_absent(field)])


def _describe_folds(plan: StudyPlan) -> str:
    """How probes are scored by cross-validation, and why."""
    images = plan.screen_images + plan.screen_val
    points = f"{100 * half_interval(plan.screen_val):.0f} points"
    return (
        f"scored by {name_folds(plan.screen_folds, images)} on {counted(images, 'image')}, because"
        f" {counted(plan.screen_val, 'validation image')} tell only within ±{points}"
    )


def _with_time(stage: str, plan: StudyPlan) -> str:
    """The stage with its predicted time."""
    seconds = plan.predicted_seconds.get(stage)
    return f"{stage}, {format_seconds(seconds)}" if seconds else stage


def _render_comparison(plan: Comparison) -> PlanTable:
    """What a comparison is about to do: its candidates, and the one length that all of them get."""
    title = "Plan" if plan.budget_seconds is None else f"Plan for {format_seconds(plan.budget_seconds)}"
    table = PlanTable(title, plan.decides)
    _describe_field(table, plan.field)
    table.add_row("compare", ", ".join(run.candidate for run in plan.runs))
    each = _describe_length(plan.runs[0].train)
    table.add_row("", f"{each} for each, on the same data; compiling and scoring are measured apart")
    _warn_of_random(table, {run.candidate: run.model.weights for run in plan.runs})
    table.add_row("", "scored on validation; the test split stays locked")
    return table


def _describe_length(train: Train) -> str:
    """What each run of a comparison gets: so much training, or a probe, which has no length."""
    if train.mode is Mode.PROBE:
        return "a linear classifier on frozen features"
    if train.seconds:
        return f"{format_seconds(train.seconds)} of training"
    amount = counted(train.images, "image") if train.images else f"{train.epochs:,g} epochs"
    return f"{amount} of training"


def _warn_of_random(table: PlanTable, weights: Mapping[str, str]) -> None:
    """Name the candidates that have pretrained weights and start without them; `weights` are choices by candidate."""
    chosen = [name for name, choice in weights.items() if choice == "none"]
    if random := [name for name in chosen if not find_network(Candidate.read(name).name).from_scratch]:
        table.add_row("", f"[bold red]RANDOM WEIGHTS[/], as asked for: {', '.join(random)}")


def _render_search(plan: Search) -> PlanTable:
    """The plan of a search: its trials, and what may differ between them."""
    table = PlanTable(f"Plan for {format_seconds(plan.budget_seconds)}", plan.decides)
    train = plan.base.train
    length = format_seconds(train.seconds or 0.0)
    table.add_row("trials", f"{plan.base.candidate}, {length} of training each, {_describe_scoring(train)}")
    stops = [f"{100 * stop / train.evaluations:.0f} %" for stop in STOPS if stop < train.evaluations]
    if stops:
        table.add_row(
            "",
            f"at {' and '.join(stops)} of its length a trial is stopped if it is in the worse half of those that got as"
            " far; the base recipe is never stopped, and not counted",
        )
    _warn_of_random(table, {plan.base.candidate: plan.base.model.weights})
    table.add_rows("may change", [_describe_parameter(parameter, plan.space) for parameter in plan.space.parameters])
    table.add_row(
        "check", "the best recipe and the one it began with once more, with another seed, on all of validation"
    )
    table.add_row("", "the test split stays locked")
    return table


def _describe_scoring(train: Train) -> str:
    """What a run of a search is scored on."""
    images = "all validation images" if train.val_images is None else counted(train.val_images, "validation image")
    return f"scored on {images}"


def _describe_parameter(parameter: Parameter, space: Space) -> str:
    """A parameter with its values, and with the values of others on which it depends."""
    if parameter.choices:
        values = ", ".join(map(str, parameter.choices))
    else:
        values = f"{parameter.low:g} to {parameter.high:g}{' on a logarithmic scale' if parameter.log else ''}"
    conditions = ", ".join(_describe_condition(key, needed, space) for key, needed in parameter.when.items())
    return f"{parameter.key}: {values}{f' ({conditions})' if conditions else ''}"


def _describe_condition(key: str, needed: Sequence[Scalar], space: Space) -> str:
    """The values that another key must have for a parameter to be tried, or those that it must not have."""
    others = [value for each in space.parameters if each.key == key for value in each.choices if value not in needed]
    if len(needed) > _LISTED and 0 < len(others) < len(needed):
        return f"unless {key} is {' or '.join(map(str, others))}"
    return f"if {key} is {' or '.join(map(str, needed))}"


def _render_ablation(plan: Ablation) -> PlanTable:
    """The plan of a factor-by-factor study: the base recipe's length, and each factor's other values."""
    table = PlanTable(f"Plan for {format_seconds(plan.budget_seconds)}", plan.decides)
    base = plan.base[0]
    seeds = f", with {counted(len(plan.base), 'seed')}" if len(plan.base) > 1 else ""
    table.add_row(
        "runs",
        f"{len(plan.runs)} of {base.candidate}, {format_seconds(base.train.seconds or 0.0)} of training each{seeds},"
        f" {_describe_scoring(base.train)}",
    )
    _warn_of_random(table, {base.candidate: base.model.weights})
    values: dict[str, list[str]] = {}
    for level in plan.levels:
        values.setdefault(level.key, []).append(str(level.value))
    factors = [f"{key}: {look_up(base, key)}, against {', '.join(others)}" for key, others in values.items()]
    table.add_rows("factors", factors)
    table.add_row("", "the test split stays locked")
    return table
