"""The visible text of a report, to compare two versions of it."""

from html.parser import HTMLParser

__all__ = ["read_page_text"]


def read_page_text(page: str) -> list[str]:
    """The visible texts of an HTML page in order, without figures and commands."""
    parser = _Text()
    parser.feed(page)
    return parser.texts


class _Text(HTMLParser):
    """The visible text of a page, without figures, and without commands, which name the folder of the study."""

    HIDDEN = ("style", "script", "svg", "kbd")

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        """Count the hidden elements around the text."""
        self._depth += tag in self.HIDDEN

    def handle_endtag(self, tag: str) -> None:
        """End a hidden element."""
        self._depth -= tag in self.HIDDEN

    def handle_data(self, data: str) -> None:
        """Collect text outside hidden elements."""
        if not self._depth and data.strip():
            self.texts.append(" ".join(data.split()))
