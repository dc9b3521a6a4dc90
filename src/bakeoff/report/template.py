"""How templates are read and filled: everything is escaped, a name that is not given is an error."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from bakeoff.board import (
    is_scored,
    read_losses,
    say_bytes,
    say_caveats,
    say_count,
    say_memory_error,
    say_percent,
    say_range,
    say_seconds,
    say_top1,
)

__all__ = ["make_environment", "read_source"]


def make_environment() -> Environment:
    """The templates of this package, with the words of the board as filters."""
    environment = Environment(
        loader=PackageLoader("bakeoff"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "bytes": say_bytes,
        "caveats": say_caveats,
        "count": say_count,
        "losses": read_losses,
        "memory_error": say_memory_error,
        "percent": say_percent,
        "range": say_range,
        "scored": is_scored,
        "seconds": say_seconds,
        "top1": say_top1,
    }
    return environment


def read_source(environment: Environment, name: str) -> str:
    """A file beside the templates as it stands."""
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]
