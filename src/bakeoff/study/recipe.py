"""A run as a recipe: a TOML file that `bakeoff train --recipe` takes as it is."""

from pathlib import Path
from typing import Any

import tomlkit

from bakeoff.files import write_text
from bakeoff.runs.config import Run

__all__ = ["write_recipe"]


def write_recipe(path: Path, run: Run, base: Run) -> None:
    """Write every setting of a run; those that differ from the base recipe say from what."""
    document = tomlkit.document()
    document.add(tomlkit.comment(f"{run.candidate}: bakeoff train DATA --recipe {path.name} --set train.seconds=600"))
    before = base.model_dump(mode="json")
    raw = run.model_dump(mode="json")
    # Top-level keys would be swallowed by the table before them.
    for name, value in sorted(raw.items(), key=lambda item: isinstance(item[1], dict)):
        if not isinstance(value, dict):
            document.add(name, value)
            continue
        table = tomlkit.table()
        for key, inner in value.items():
            if inner is None:
                continue
            table.add(key, _item(inner, before[name][key]))
        document.add(name, table)
    write_text(path, tomlkit.dumps(document))


def _item(value: Any, before: Any) -> Any:
    item = tomlkit.item(value)
    return item if value == before else item.comment(f"was {'not set' if before is None else before}")
