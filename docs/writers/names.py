"""The pages of the Python API: what `bakeoff` exports, as mkdocstrings shows it on the site."""

import inspect

import bakeoff
from writers.markdown import code, page, table

ABOUT = """\
These functions have the names and the options of verbs of the command line ([how to use them](../how-to/python.md)).
`import bakeoff` loads no TensorFlow. Everything raises exceptions of [`bakeoff.errors`](exit-codes.md#exceptions).
"""
NOT_HERE = """\
What these pages show is made from the docstrings when the site is built; `help(bakeoff.run)` prints the same.
"""
GROUPS = {
    "Train": ("run", "screen", "compare", "tune", "train"),
    "Look": ("load", "evaluate", "verify", "check", "models", "check_network", "info"),
    "Use": ("predict", "export"),
    "Results": ("Results", "ProgressEvent", "CheckResult", "ContractCheck", "ExportedBundle", "Info"),
}


def make_files() -> dict[str, str]:
    """The pages by their path in docs/reference: an index, and a page for each group."""
    index = []
    made = {}
    for group, names in GROUPS.items():
        path = f"python/{group.lower()}.md"
        rows = [(f"[{code(f'bakeoff.{name}')}]({path}#{name.lower()})", _summary(name)) for name in names]
        index += [f"## {group}", table(["name", "what it is"], rows)]
        parts = [part for name in names for part in (f"## {name}", f"::: bakeoff.{name}")]
        made[path] = page(f"Python: {group.lower()}", NOT_HERE, *parts)
    return {"python.md": page("Python", ABOUT, *index), **made}


def find_missing() -> set[str]:
    """What `bakeoff` exports and no group has, or the other way round."""
    named = {name for names in GROUPS.values() for name in names}
    return named ^ (set(bakeoff.__all__) - {"__version__"})


def _summary(name: str) -> str:
    return (inspect.getdoc(getattr(bakeoff, name)) or "").partition("\n\n")[0]
