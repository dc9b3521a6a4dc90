"""What mkdocs does for the site besides: the executed notebook is a page of it."""

import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter

NOTEBOOK, PAGE = "notebook.ipynb", "notebook.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Show the notebook as Markdown, with the outputs of its cells."""
    notebook = files.src_uris[NOTEBOOK]
    text, _ = MarkdownExporter().from_filename(notebook.abs_src_path)
    files.remove(notebook)
    files.append(File.generated(config, PAGE, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Let links to the notebook, which GitHub shows itself, lead to that page; and let pages begin with their title."""
    if page.file.src_uri.startswith("trouble"):
        # Who searches for the words of a message wants its cause first.
        page.meta["search"] = {"boost": 3}
    return re.sub(r"\A<!--.*-->\n", "", markdown).replace(f"{NOTEBOOK})", f"{PAGE})")
