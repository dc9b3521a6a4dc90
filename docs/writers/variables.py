"""The page of the environment variables, from `bakeoff.variables`."""

from bakeoff.variables import VARIABLES
from writers.markdown import code, page, table

ABOUT = """\
Environment variables that bakeoff reads, or sets for the libraries that it uses. A value that is empty counts as
none. `bakeoff info` shows which of them are set.
"""
END = """\
What bakeoff sets holds for its own processes; a value of your own is kept, except for `KERAS_BACKEND` and
`RAY_USAGE_STATS_ENABLED`. In Python, your process keeps the environment that it has.
"""


def make_files() -> dict[str, str]:
    """The page by its path in docs/reference."""
    rows = [
        (code(variable.name), variable.owner, f"{variable.about}{f' In {variable.unit}.' if variable.unit else ''}",
         variable.default)
        for variable in VARIABLES
    ]  # fmt: skip
    found = table(["variable", "of", "what it does", "without it"], rows)
    return {"environment.md": page("Environment variables", ABOUT, found, END)}
