"""Servers for tests: a bundle of two classes without a framework, in this process or in one of its own."""

import http.client
import io
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

from bakeoff.deploy.bundle import Bundle, BundleFacts, Floats, Images, Labels, Runtime
from bakeoff.deploy.serve import Settings, make_app
from bakeoff.runs.config import Fit

__all__ = ["LOCAL", "SIDE", "Running", "encode", "make_client", "redness"]

LOCAL = "http://127.0.0.1"
SIDE = 4

# A model that takes its time.
PROGRAM = """
import json, sys, time
from pathlib import Path
import numpy as np
from bakeoff.deploy.bundle import Bundle, BundleFacts, Labels
from bakeoff.deploy.serve import Settings, serve

def answer(images):
    time.sleep(float(sys.argv[2]))
    return np.tile(np.float32([0.75, 0.25]), (len(images), 1))

facts = BundleFacts(run="r", candidate="lenet@32", side=4, bakeoff="0", files={})
bundle = Bundle(Path(sys.argv[1]), facts, Labels(classes=("apple", "sea")), answer)
settings = Settings(port=0, **json.loads(sys.argv[3]))
serve(bundle, settings, on_ready=lambda address: print(address, flush=True))
"""


def redness(images: Images) -> Floats:
    """Two classes: how red the mean pixel is, and how blue."""
    mean = images.reshape(len(images), -1, 3).astype(np.float32).mean(axis=1) + 1
    red_and_blue: Floats = mean[:, [0, 2]] / mean[:, [0, 2]].sum(axis=1, keepdims=True)
    return red_and_blue


def encode(color: str, size: tuple[int, int] = (8, 8)) -> bytes:
    """An image of one colour as PNG."""
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, format="PNG")
    return buffer.getvalue()


def make_client(
    folder: Path,
    runtime: Runtime = redness,
    fit: Fit = Fit.CROP,
    min_confidence: float | None = None,
    **settings: Any,
) -> TestClient:
    """A client of a server in this process, with a report."""
    (folder / "model_card.md").write_text("# A card")
    (folder / "report.html").write_text("<p>report</p>")
    facts = BundleFacts(run="r", candidate="lenet@32", side=SIDE, fit=fit, bakeoff="0", files={})
    labels = Labels(classes=("apple", "sea"), superclasses=("fruit", "water"), superclass_of=(0, 1))
    bundle = Bundle(folder, facts, labels, runtime, min_confidence)
    app = make_app(bundle, Settings(**settings), folder / "report.html")
    return TestClient(app, base_url=LOCAL)


class Running:
    """A server in its own process, whose model takes some seconds."""

    def __init__(self, folder: Path, seconds: float = 0, **settings: Any) -> None:
        (folder / "model_card.md").write_text("# A card")
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder), str(seconds), json.dumps(settings)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().rpartition(":")[2])

    def connect(self) -> socket.socket:
        """A connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def ask(self) -> tuple[int, Any, str | None]:
        """The status and the body of a response, and whether the connection stays open."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("POST", "/predict", encode("red"), {"Content-Type": "image/png"})
        answer = connection.getresponse()
        found = answer.status, json.loads(answer.read()), answer.headers["Connection"]
        connection.close()
        return found

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code after a signal, and what it wrote as errors."""
        assert self.process.stderr is not None
        self.process.send_signal(number)
        return self.process.wait(30), self.process.stderr.read()
