"""The verb that improves one network's recipe: tune."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bakeoff.cli.begin import begin, choose_data, executing, introduce, open_study, parse_candidates
from bakeoff.cli.options import (
    BudgetOption,
    ClusterOption,
    DataArgument,
    DataDirOption,
    ExcludeOption,
    JsonOption,
    OutOption,
    OwnClassesOption,
    OwnSeedOption,
    PartialOption,
    RecipeOption,
    SettingsOption,
    WeightsOption,
    WorkersOption,
)
from bakeoff.cli.output import interruptible, make_console, print_json

__all__ = ["Strategy", "tune"]


class Strategy(StrEnum):
    """How a recipe is improved."""

    TPE = "tpe"
    ABLATE = "ablate"


def tune(
    data: DataArgument = "digits",
    *,
    candidate: Annotated[
        str | None,
        typer.Option(help="The network: NAME or NAME@SIZE.", show_default="the recipe's, or efficientnet-lite0"),
    ] = None,
    strategy: Annotated[
        Strategy, typer.Option(help="tpe searches all parameters at once; ablate varies one factor at a time.")
    ] = Strategy.TPE,
    budget: BudgetOption = "30m",
    space: Annotated[
        Path | None, typer.Option(help="TOML of [[knob]] tables; else what suits the network.", show_default=False)
    ] = None,
    factors: Annotated[
        str | None, typer.Option(help="Only these keys of the space, separated by commas, as in model.size,optim.name.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Repetitions of every run (ablate).", min=1, max=20)] = 1,
    recipe: RecipeOption = None,
    settings: SettingsOption = None,
    classes: OwnClassesOption = None,
    seed: OwnSeedOption = None,
    weights: WeightsOption = None,
    partial: PartialOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    exclude: ExcludeOption = None,
    workers: WorkersOption = None,
    cluster: ClusterOption = None,
    out: OutOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Improve one network's recipe inside a budget; the best one is written to OUT/recipe.toml.

    All runs train for equally long and are scored on validation; the test split stays locked. The best trial counts
    only if it beats the recipe that the search began with a second time, with another seed.

    **Examples**

    - `bakeoff tune cifar100 --classes 20 --candidate efficientnet-lite0 --budget 30m`

    - `bakeoff tune photos/ --strategy ablate --factors model.size,optim.learning_rate --seeds 3 --budget 2h`

    - `bakeoff tune cifar100 --recipe recipes/cifar100.toml --space mine.toml --dry-run`
    """
    from rich.console import Console

    from bakeoff.cli.console import render_ablation, render_effects, render_found, render_search, reporting
    from bakeoff.errors import ConfigError
    from bakeoff.runs.config import Candidate, override, parse_duration, read_run
    from bakeoff.runs.findings import Effects, SearchResult
    from bakeoff.study import (
        Ablation,
        Search,
        default_factors,
        default_space,
        make_ablation,
        make_search,
        planned_slots,
        read_space,
        run_ablation,
        run_tuning,
        start_from,
    )

    if strategy is Strategy.TPE and seeds > 1:
        raise ConfigError("--seeds repeats the runs of --strategy ablate; a search tries new recipes instead")
    seconds = parse_duration(budget)
    own = read_run(recipe) if recipe else None
    wanted = parse_candidates(candidate or "efficientnet-lite0") or []
    if len(wanted) != 1:
        raise ConfigError(f"--candidate {candidate!r}: name one network")
    if own and candidate is None:
        wanted = [Candidate(name=own.model.name, size=own.model.size)]
    own_space = read_space(space) if space else None
    with interruptible(), executing(workers, cluster) as executor:
        chosen = choose_data(data, classes, seed, exclude, own)
        begun = begin(chosen, seed, wanted, weights, partial, data_dir, recipe=own)
        changed = settings or []
        base = override(start_from(own, begun.candidates[0], begun.data, begun.weights, begun.seed), changed)
        fresh, counts = own is None, begun.dataset.counts
        parameters = own_space or (default_space(base) if strategy is Strategy.TPE else default_factors(base))
        if factors:
            parameters = parameters.only([key.strip() for key in factors.split(",")])
        folder = out or Path(f"bakeoff-tune-{begun.dataset.name}")
        slots = planned_slots(folder, executor.slots)
        plan: Search | Ablation
        if strategy is Strategy.TPE:
            plan = make_search(base, parameters, budget=seconds, counts=counts, head_start=fresh, settings=changed)
            view = render_search(plan)
        else:
            plan = make_ablation(
                base,
                parameters,
                budget=seconds,
                seeds=seeds,
                counts=counts,
                head_start=fresh,
                settings=changed,
                slots=slots,
            )
            view = render_ablation(plan)
        if dry_run:
            introduce(begun.dataset, view)
            return
        study = open_study(begun, plan, folder, view, slots=slots)
        result: SearchResult | Effects
        with reporting(make_console()) as watcher:
            run = run_tuning if isinstance(plan, Search) else run_ablation
            result = run(study, folder, begun.shards, watcher, executor)
    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        shown = render_effects(result) if isinstance(result, Effects) else render_found(result, folder / "recipe.toml")
        Console().print(shown, highlight=False, soft_wrap=True)
        make_console().print(f"  report   {folder / 'report.html'}", highlight=False, soft_wrap=True)
