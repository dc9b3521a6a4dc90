"""Verbs that carry pretrained weights to a machine without a network: weights export, weights import."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.options import JsonOption
from bakeoff.cli.output import exit_on_interrupt, print_error, print_json, print_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bakeoff.networks.weights import ExportedWeights

__all__ = ["export", "import_"]

FolderArgument = Annotated[Path, typer.Argument(help="Folder of the exported weights.", metavar="DIR")]


def export(
    folder: FolderArgument,
    *,
    networks: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Names of networks or of fields, separated by commas; downloaded if necessary.",
            show_default="all whose weights are on this machine, but for presets of hubs",
        ),
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option("--weights", metavar="NAME=PATH", help="A weight file of another origin; may be repeated."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Gather pretrained weights into a folder, with their hashes and licences.

    What was exported into it before stays.

    **Examples**

    - `bakeoff weights export weights/`

    - `bakeoff weights export weights/ --networks mobilenet-v2,densenet-201`
    """
    from bakeoff.console.bars import draw_bars
    from bakeoff.errors import ConfigError
    from bakeoff.networks.find import find_network
    from bakeoff.networks.table import TABLE
    from bakeoff.networks.weights import describe_for_export, export_weights, is_available_locally
    from bakeoff.runs.config import Candidate, WeightsChoice, parse_weights
    from bakeoff.study import expand_fields, find_missing
    from bakeoff.study.presets import fetch_presets
    from bakeoff.study.provide import fetch_missing
    from bakeoff.text import name_some

    choice = parse_weights(files or [])
    if choice.default != "auto" or {"auto", "none"} & set(choice.named.values()):
        raise ConfigError("--weights takes NAME=PATH here, as in --weights mobilenet-v2=mine.h5")
    if networks is not None:
        wanted = [Candidate(name=name.strip()) for name in networks.split(",") if name.strip()]
        with exit_on_interrupt(), draw_bars() as move:
            fetch_presets((candidate.name for candidate in wanted), move)
        specs = [find_network(candidate.name) for candidate in expand_fields(wanted)]
    else:
        wanted, specs = [], [spec for spec in TABLE if is_available_locally(spec)]
    asked_for = {candidate.name for candidate in wanted}
    specs = [spec for spec in specs if spec.name not in choice.named]
    left_out = [spec.name for spec in specs if spec.from_scratch and spec.name in asked_for]
    specs = [spec for spec in specs if not spec.from_scratch] + [find_network(name) for name in choice.named]
    if not specs:
        raise ConfigError("no network with pretrained weights is named; give one, as in --networks mobilenet-v2")
    if left_out:
        print_error(
            f"note: left out: {name_some(left_out)}; networks that are trained from scratch have no pretrained weights"
        )
    with exit_on_interrupt(), draw_bars() as move:
        missing = find_missing([Candidate(name=spec.name) for spec in specs], WeightsChoice(named=choice.named))
        fetch_missing(missing, move)
        files_and_entries = [describe_for_export(spec, choice.of(spec.name)) for spec in specs]
        before = export_weights(folder, files_and_entries, move)
    entries = [entry for _, entry in files_and_entries]
    _show(entries, as_json)
    if not as_json:
        if before:
            print_line(f"also there, from an earlier export: {name_some([entry.network for entry in before])}")
        print_line(f"exported to {folder}; on the other machine: bakeoff weights import {shlex.quote(str(folder))}")


def import_(folder: FolderArgument, *, as_json: JsonOption = False) -> None:
    """Copy exported weights to this machine, each checked by its hash, for every later run.

    **Example**: `bakeoff weights import weights/`
    """
    from bakeoff.console.bars import draw_bars
    from bakeoff.networks.weights import import_weights, imported_weights_dir

    with exit_on_interrupt(), draw_bars() as move:
        entries = import_weights(folder, move)
    _show(entries, as_json)
    if not as_json:
        print_line(f"checked and copied to {imported_weights_dir()}; `bakeoff models` now shows them as available")


def _show(entries: "Sequence[ExportedWeights]", as_json: bool) -> None:
    if as_json:
        print_json([entry.model_dump(mode="json") for entry in entries])
        return
    from rich.console import Console

    from bakeoff.console.results import render_weights

    Console().print(render_weights(entries))
