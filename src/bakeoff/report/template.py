"""The Jinja environment of the report: all values are escaped, and an undefined name is an error."""

import re

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from bakeoff.report.board import (
    field_of,
    format_arm,
    format_bytes,
    format_caveats,
    format_count,
    format_estimate,
    format_headline,
    format_memory_error,
    format_percent,
    format_range,
    format_score,
    format_seconds,
    format_value,
    is_scored,
    name_images,
    name_rungs,
    read_losses,
    round_of,
)
from bakeoff.text import times

__all__ = ["make_environment", "mark_commands", "read_source"]


def make_environment() -> Environment:
    """The templates of this package, with the board's formats as filters."""
    environment = Environment(
        loader=PackageLoader("bakeoff.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "arm": format_arm,
        "bytes": format_bytes,
        "caveats": format_caveats,
        "commands": mark_commands,
        "count": format_count,
        "estimate": format_estimate,
        "field_of": field_of,
        "headline": format_headline,
        "images": name_images,
        "losses": read_losses,
        "memory_error": format_memory_error,
        "percent": format_percent,
        "range": format_range,
        "round_of": round_of,
        "rungs": name_rungs,
        "score": format_score,
        "scored": is_scored,
        "seconds": format_seconds,
        "times": times,
        "value": format_value,
    }
    return environment


def mark_commands(text: str) -> Markup:
    """A sentence of the terminal as HTML: what stands in backticks is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def read_source(environment: Environment, name: str) -> str:
    """The text of a file in the templates' folder, not rendered."""
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]
