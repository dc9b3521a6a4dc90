"""Parts of a page in Markdown."""

import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence

NOTE = "<!-- Written by `python docs/write_reference.py`. -->"
WIDTH = 120


def page(title: str, *parts: str) -> str:
    """A page: the note that it is generated, its title, and what is on it. Parts that are empty are left out."""
    return "\n\n".join([f"{NOTE}\n# {title}", *(part.strip("\n") for part in parts if part)]) + "\n"


def paragraphs(text: str) -> str:
    """Text of a docstring with its lines filled to the width of a page; indented blocks stay code."""
    blocks = re.split(r"\n\s*\n", inspect.cleandoc(text))
    return "\n\n".join(
        block if block.startswith((" ", "- ", "|", "```")) else textwrap.fill(" ".join(block.split()), WIDTH)
        for block in blocks
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; columns without any text are left out. Empty if there are no rows."""
    cells = [[" ".join(cell.replace("|", r"\|").split()) for cell in row] for row in rows]
    kept = [number for number in range(len(heads)) if any(row[number] for row in cells)]
    lines = [heads, ["---"] * len(heads), *cells]
    return "\n".join(f"| {' | '.join(line[number] for number in kept)} |" for line in lines) if cells else ""


def code(value: object) -> str:
    """A value in a code font; empty text as two quotes."""
    text = '""' if value == "" else str(value)
    return f"``{text}``" if "`" in text else f"`{text}`"
