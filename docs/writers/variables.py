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
        (code(each.name), each.owner, each.default, f"{each.about} In {each.unit}." if each.unit else each.about)
        for each in VARIABLES
    ]
    found = table(["variable", "of", "without it", "what it does"], rows)
    return {"environment.md": page("Environment variables", ABOUT, found, END)}
