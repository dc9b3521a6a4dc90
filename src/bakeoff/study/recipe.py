"""A run as a recipe: a TOML file for `bakeoff train --recipe`."""

import shlex
from pathlib import Path
from typing import Any

import tomlkit

from bakeoff.files import write_text
from bakeoff.runs.config import Run
from bakeoff.text import printable

__all__ = ["write_recipe"]


def write_recipe(path: Path, run: Run, base: Run, options: str = "") -> None:
    """Write all settings of a run as TOML. A setting that differs from the base run's has the old value as a comment.

    Args:
        path: The file to write.
        run: The run.
        base: The run to compare with.
        options: What the command in the first line needs besides, as ` --data-dir PLACE`.
    """
    document = tomlkit.document()
    # For the folder above the study's, which a relative path of the data usually begins in.
    place = shlex.quote(f"{path.resolve().parent.name}/{path.name}")
    command = f"bakeoff train --recipe {place} --set train.seconds=600{options}"
    document.add(tomlkit.comment(printable(f"{run.candidate}: {command}")))
    base_values = base.model_dump(mode="json")
    values = run.model_dump(mode="json")
    # Top-level keys come first: after a table they would belong to it.
    for name, value in sorted(values.items(), key=lambda item: isinstance(item[1], dict)):
        if not isinstance(value, dict):
            document.add(name, value)
            continue
        table = tomlkit.table()
        for key, inner in value.items():
            if inner is None:
                continue
            table.add(key, _make_item(inner, base_values[name][key]))
        document.add(name, table)
    write_text(path, tomlkit.dumps(document))


def _make_item(value: Any, base_value: Any) -> Any:
    item = tomlkit.item(value)
    return item if value == base_value else item.comment(f"was {'not set' if base_value is None else base_value}")
