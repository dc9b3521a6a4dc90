"""Writes the pages of docs/reference that say what the code says, and the schemas beside them.

    python docs/write_reference.py

commands.py     the command line, by the parsers of its verbs; exit codes
keys.py         the keys of a recipe and of a search space
variables.py    the environment variables
files.py        what is in each file, with its JSON schema
names.py        the functions and classes of Python
networks.py     the networks, by family

tests/test_reference.py checks that the pages are as the code says.
"""

from pathlib import Path

from writers import commands, files, keys, names, networks, variables

DOCS = Path(__file__).parent
REFERENCE = DOCS / "reference"
# Written by hand.
OTHERS = ("index.md",)


def main() -> None:
    """Write all files, and delete those that are not written any more."""
    made = make_files()
    for name in sorted(find_files() - set(made)):
        (REFERENCE / name).unlink()
    for name, text in made.items():
        path = REFERENCE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def make_files() -> dict[str, str]:
    """The text of each file, by its path in docs/reference."""
    made: dict[str, str] = {}
    for writer in (commands, keys, variables, files, names, networks):
        made |= writer.make_files()
    return made


def find_files() -> set[str]:
    """The paths in docs/reference of the files that are there and not written by hand."""
    there = (path.relative_to(REFERENCE).as_posix() for path in REFERENCE.rglob("*") if path.is_file())
    return {name for name in there if name not in OTHERS}


if __name__ == "__main__":
    main()
