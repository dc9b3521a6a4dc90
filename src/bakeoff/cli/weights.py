"""Verbs that carry pretrained weights to a machine without a network: weights pack, weights use."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.begin import fetch
from bakeoff.cli.options import JsonOption
from bakeoff.cli.output import interruptible, make_console, print_json, print_line, require_tensorflow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bakeoff.networks.weights import ExportedWeights

__all__ = ["pack", "use"]

KitArgument = Annotated[Path, typer.Argument(help="Folder of the kit.", metavar="DIR")]


def pack(
    folder: KitArgument,
    *,
    networks: Annotated[
        str | None, typer.Option(help="Names separated by commas, fetched if need be; else all that are at hand.")
    ] = None,
    files: Annotated[
        list[str] | None, typer.Option("--weights", help="NAME=PATH: a weight file of your own; may be repeated.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Gather pretrained weights into a folder, with their hashes and licences.

    **Examples**

    - `bakeoff weights pack kit/`

    - `bakeoff weights pack kit/ --networks mobilenet-v2,densenet-201`
    """
    from bakeoff.cli.console import preparing
    from bakeoff.errors import ConfigError
    from bakeoff.networks.table import TABLE, find_network
    from bakeoff.networks.weights import describe_for_export, export_weights, is_available_locally
    from bakeoff.runs.config import Candidate, WeightsChoice, parse_weights
    from bakeoff.study import find_missing

    choice = parse_weights(files or [])
    if choice.default != "auto" or {"auto", "none"} & set(choice.named.values()):
        raise ConfigError("--weights takes NAME=PATH here, as in --weights mobilenet-v2=mine.h5")
    if networks is not None:
        rows = [find_network(name.strip()) for name in networks.split(",") if name.strip()]
    else:
        rows = [row for row in TABLE if is_available_locally(row)]
    rows = [row for row in rows if not row.from_scratch and row.name not in choice.named]
    rows += [find_network(name) for name in choice.named]
    with interruptible():
        missing = find_missing([Candidate(name=row.name) for row in rows], WeightsChoice(named=choice.named))
        if missing:
            require_tensorflow()
            fetch(missing)
        packed = [describe_for_export(row, choice.of(row.name)) for row in rows]
        with preparing(make_console()) as move:
            export_weights(folder, packed, move)
    entries = [entry for _, entry in packed]
    _show(entries, as_json)
    if not as_json:
        print_line(f"packed into {folder}; on the other machine: bakeoff weights use {folder}")


def use(folder: KitArgument, *, as_json: JsonOption = False) -> None:
    """Bring a kit's weights to this machine, each checked by its hash, for every later run.

    **Example**: `bakeoff weights use kit/`
    """
    from bakeoff.cli.console import preparing
    from bakeoff.networks.weights import import_weights, imported_weights_dir

    with interruptible(), preparing(make_console()) as move:
        entries = import_weights(folder, move)
    _show(entries, as_json)
    if not as_json:
        print_line(f"checked and copied to {imported_weights_dir()}; `bakeoff models` shows them as at hand")


def _show(entries: "Sequence[ExportedWeights]", as_json: bool) -> None:
    if as_json:
        print_json([entry.model_dump(mode="json") for entry in entries])
        return
    from rich.console import Console

    from bakeoff.cli.console import render_kit

    Console().print(render_kit(entries))
