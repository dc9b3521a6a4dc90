"""Executes docs/notebook.ipynb again if the Python API has changed since, or with --always.

    python docs/run_notebook.py

The notebook's metadata have a hash of the names and signatures of what `bakeoff` exports. It takes about four minutes.
Its cache is empty at the start, so that it prints what it prints on a machine that is new to bakeoff.
"""

import hashlib
import inspect
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

import bakeoff

NOTEBOOK = Path(__file__).parent / "notebook.ipynb"
KEY = "bakeoff_api"
# What is printed fits the width of the site's page.
COLUMNS = {"JUPYTER_COLUMNS": "100"}
# Bars that are drawn over themselves; what stays of them says nothing.
BARS = ("\r", "━")


def main() -> None:
    """Execute the notebook in an empty folder, and write it with its outputs and the hash."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    if notebook.metadata.get(KEY) == hash_api() and "--always" not in sys.argv:
        return
    sys.stderr.write(f"executing {NOTEBOOK.name}, because the API has changed; this takes minutes\n")
    with tempfile.TemporaryDirectory() as folder:
        # The kernel is reached through files and no port, so that no other user of the machine can listen.
        reached = Config({"KernelManager": {"transport": "ipc", "ip": f"{folder}/kernel"}})
        place = {"metadata": {"path": folder}}
        environment = os.environ | COLUMNS | {"BAKEOFF_CACHE_DIR": f"{folder}/cache"}
        NotebookClient(notebook, timeout=1800, config=reached, resources=place).execute(env=environment)
        text = nbformat.writes(clean(notebook)).replace(f"{Path(folder).resolve()}/", "")
    NOTEBOOK.write_text(text + "\n", encoding="utf-8")


def hash_api() -> str:
    """A hash of what `bakeoff` exports: names, parameters of functions, and the public parts of classes."""
    lines = []
    for name in bakeoff.__all__:
        value = getattr(bakeoff, name)
        if inspect.isclass(value):
            own = [kind for kind in value.__mro__ if kind.__module__.startswith("bakeoff")]
            parts = {part for kind in own for part in (*vars(kind), *inspect.get_annotations(kind))}
            lines += [f"{name}.{part}" for part in sorted(parts) if not part.startswith(("_", "model_"))]
        if callable(value):
            lines.append(f"{name}{inspect.signature(value)}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without the output of progress bars and without times, and with the hash."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _is_bar(output)]
    notebook.metadata[KEY] = hash_api()
    return notebook


def _is_bar(output: nbformat.NotebookNode) -> bool:
    text = output.get("text", "") + output.get("data", {}).get("text/plain", "")
    return any(mark in text for mark in BARS)


if __name__ == "__main__":
    main()
