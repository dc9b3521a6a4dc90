"""The page at / in a browser: five bars for an image, a message otherwise, no requests to other servers."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

# Six classes without a framework: the redder, the more of an apple.
PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from bakeoff.deploy.bundle import Bundle, BundleFacts, Labels
from bakeoff.deploy.serve import Settings, serve

def answer(images):
    red = images[..., 0].mean(axis=(1, 2)) / 255
    shares = np.stack([red, 1 - red, *[np.full(len(images), 0.1)] * 4], axis=1)
    return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)

labels = Labels(
    classes=("red_apple", "sea", "bear", "lamp", "oak_tree", "bus"),
    superclasses=("fruit", "large_natural_scene", "thing"),
    superclass_of=(0, 1, 2, 2, 2, 2),
)
facts = BundleFacts(run="r", candidate="efficientnet-lite0@96", side=8, bakeoff="0", files={})
folder, token = Path(sys.argv[1]), sys.argv[2]
serve(
    Bundle(folder, facts, labels, answer, min_confidence=0.6),
    Settings(port=0, token=token or None, request_bytes=1_000_000),
    folder / "report.html",
    lambda address: print(address, flush=True),
)
"""


def _serve(folder: Path, token: str) -> Iterator[str]:
    (folder / "model_card.md").write_text("# efficientnet-lite0@96\n\nA card.")
    (folder / "report.html").write_text("<h1>The report</h1>")
    command = [sys.executable, "-c", PROGRAM, str(folder), token]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait(30)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from _serve(tmp_path_factory.mktemp("open"), "")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from _serve(tmp_path_factory.mktemp("guarded"), "secret")


class Tab:
    """The page, with its requests and its console output."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(60_000)
        self.page = self.context.new_page()
        self.requested: list[str] = []
        self.printed: list[str] = []
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.on("console", lambda message: self.printed.append(message.text))
        self.page.on("pageerror", lambda error: self.printed.append(str(error)))
        self.page.goto(address)

    def choose(self, name: str, kind: str, data: bytes) -> None:
        self.page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": data})

    def drop(self, name: str, kind: str, data: bytes) -> None:
        """As from a folder's window onto the page."""
        transfer = self.page.evaluate_handle(
            """([name, type, bytes]) => {
                const transfer = new DataTransfer();
                transfer.items.add(new File([new Uint8Array(bytes)], name, {type}));
                return transfer;
            }""",
            [name, kind, list(data)],
        )
        self.page.dispatch_event("#give", "dragover", {"dataTransfer": transfer})
        assert "over" in (self.page.get_attribute("#give", "class") or "")
        self.page.dispatch_event("#give", "drop", {"dataTransfer": transfer})
        assert "over" not in (self.page.get_attribute("#give", "class") or "")

    def message(self, words: str) -> None:
        """Wait until the page shows a message."""
        self.page.locator("#message", has_text=words).wait_for()

    def bars(self) -> list[str]:
        found: list[str] = self.page.eval_on_selector_all("#bars li", "rows => rows.map(row => row.innerText)")
        return [" ".join(text.split()) for text in found]


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Tab]:
    tab = Tab(browser, address)
    yield tab
    tab.context.close()


def picture(color: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), color).save(buffer, format="PNG")
    return buffer.getvalue()


RED = ["red apple fruit 71.4 %", *[f"{name} thing 7.1 %" for name in ("bear", "lamp", "oak tree", "bus")]]


@pytest.mark.parametrize("way", ["choose", "drop"])
def test_an_image_gets_five_bars_with_their_superclasses(tab: Tab, address: str, way: str) -> None:
    getattr(tab, way)("apple.png", "image/png", picture("red"))
    tab.message("Most likely red apple.")
    assert tab.bars() == RED
    assert tab.page.is_visible("#shown")
    # The page forbids `eval`, which waiting for a function would need.
    tab.page.locator(".bar[style*='71.4']").first.wait_for()
    tab.choose("sea.png", "image/png", picture("blue"))
    tab.message("Most likely sea.")
    assert tab.bars()[0] == "sea large natural scene 71.4 %"
    assert tab.printed == []
    assert all(url.startswith((address, "blob:", "data:")) for url in tab.requested)


def test_a_file_that_is_no_image_gets_a_message_and_the_next_is_predicted(tab: Tab) -> None:
    tab.choose("notes.txt", "text/plain", b"these are words")
    tab.message("This image cannot be read: not a JPEG, PNG, BMP, GIF, WebP, TIFF, JPEG 2000, AVIF, HEIC or PPM image")
    assert tab.bars() == []
    assert not tab.page.is_visible("#shown")
    tab.choose("apple.png", "image/png", picture("red"))
    tab.message("Most likely red apple.")
    assert tab.bars() == RED


def test_an_answer_below_the_least_confidence_is_called_unsure(tab: Tab) -> None:
    tab.page.locator("#model", has_text="6 classes; below 60 % it is unsure").wait_for()
    tab.choose("dusk.png", "image/png", picture("#800080"))
    tab.message("Unsure. Most likely red apple.")
    assert "wrong" in (tab.page.get_attribute("#message", "class") or "")
    tab.choose("apple.png", "image/png", picture("red"))
    tab.page.locator("#message", has_text=re.compile(r"^Most likely red apple\.$")).wait_for()
    assert tab.page.get_attribute("#message", "class") == ""


def test_an_image_that_is_too_large_gets_a_message(tab: Tab) -> None:
    tab.choose("large.png", "image/png", picture("red") + bytes(1_500_000))
    tab.message("1 MB")
    assert tab.bars() == []


def test_the_page_links_to_the_card_the_report_and_the_api(tab: Tab, address: str) -> None:
    tab.page.locator("#model", has_text="efficientnet-lite0@96, 6 classes").wait_for()
    tab.page.click("summary")
    assert "A card." in tab.page.inner_text("#card")
    tab.page.click("#report")
    tab.page.locator("h1", has_text="The report").wait_for()
    tab.page.goto(f"{address}/docs")
    assert "POST /predict" in tab.page.inner_text("main")
    assert tab.printed == []


def test_a_server_with_a_token_asks_for_it_and_predicts_then(browser: Any, guarded: str) -> None:
    tab = Tab(browser, guarded)
    tab.message("Enter the token first.")
    tab.page.fill("#token", "wrong")
    tab.page.click("text=Use the token")
    tab.message("This token is wrong.")
    tab.page.fill("#token", "secret")
    tab.page.click("text=Use the token")
    tab.page.locator("#model", has_text="6 classes").wait_for()
    tab.choose("apple.png", "image/png", picture("red"))
    tab.message("Most likely red apple.")
    tab.context.close()


@pytest.mark.parametrize("width", [320, 390, 1100])
def test_no_page_is_wider_than_its_screen(browser: Any, address: str, width: int) -> None:
    tab = Tab(browser, address, viewport={"width": width, "height": 800})
    tab.choose("apple.png", "image/png", picture("red"))
    tab.message("Most likely")
    for path in ("/", "/docs"):
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width, path
        tab.page.goto(f"{address}/docs")
    tab.context.close()


def test_a_page_of_another_origin_cannot_send_requests(browser: Any, address: str, tmp_path: Path) -> None:
    (tmp_path / "other.html").write_text("<p>another page</p>")
    tab = Tab(browser, (tmp_path / "other.html").as_uri())
    asked = f"fetch({json.dumps(address + '/model')}).then(() => 'answered', () => 'refused')"
    assert tab.page.evaluate(asked) == "refused"
    tab.context.close()
