"""The server as a process: slow and broken clients are disconnected, and a stop finishes running requests."""

import http.client
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from PIL import Image

from bakeoff.deploy.bundle import Bundle, BundleFacts, Labels
from bakeoff.deploy.serve import Settings, serve
from bakeoff.deploy.serve.server import _listen
from bakeoff.errors import OutputError

# A slow model, without a framework.
PROGRAM = """
import sys, time
from pathlib import Path
import numpy as np
from bakeoff.deploy.bundle import Bundle, BundleFacts, Labels
from bakeoff.deploy.serve import Settings, serve
from bakeoff.deploy.serve.server import _listen

def answer(images):
    time.sleep(float(sys.argv[2]))
    return np.tile(np.float32([0.75, 0.25]), (len(images), 1))

facts = BundleFacts(run="r", candidate="lenet@32", side=4, bakeoff="0", files={})
bundle = Bundle(Path(sys.argv[1]), facts, Labels(classes=("apple", "sea")), answer)
settings = Settings(port=0, upload_seconds=0.5, idle_seconds=1)
serve(bundle, settings, on_ready=lambda address: print(address, flush=True))
"""


class Running:
    """A server in its own process."""

    def __init__(self, folder, seconds):
        (folder / "model_card.md").write_text("# A card")
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder), str(seconds)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.port = int(self.process.stdout.readline().rpartition(":")[2])

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def ask(self):
        """The status and the body of a response, and whether the connection stays open."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("POST", "/predict", picture(), {"Content-Type": "image/png"})
        answer = connection.getresponse()
        found = answer.status, json.loads(answer.read()), answer.headers["Connection"]
        connection.close()
        return found

    def stop(self, number):
        self.process.send_signal(number)
        return self.process.wait(30), self.process.stderr.read()


def picture():
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("bundle"), 0)
    yield running
    assert running.stop(signal.SIGTERM) == (0, "")


HEAD = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"


BROKEN = {
    "silent": (b"", b"408"),
    "half a line": (b"POST /pre", b"408"),
    "headers without an end": (HEAD, b"408"),
    "half a body": (HEAD + b"Content-Length: 100\r\n\r\nsome", b"408"),
    "half a chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n", b"408"),
    "another protocol": (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", b"400"),
    "a header too long": (b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000, b"400"),
    "a terabyte": (HEAD + b"Content-Length: 1000000000000\r\n\r\n", b"413"),
    "a negative length": (HEAD + b"Content-Length: -1\r\n\r\n", b"400"),
}


@pytest.mark.parametrize(("sent", "status"), BROKEN.values(), ids=BROKEN)
def test_a_slow_or_broken_client_gets_an_error_and_the_next_is_answered(quick, sent, status):
    with quick.connect() as client:
        client.sendall(sent)
        answer = b""
        while part := client.recv(65536):
            answer += part
    assert answer.split()[1] == status, answer
    assert quick.ask()[0] == 200


def test_a_client_that_hangs_up_leaves_nothing_behind(quick):
    for _ in range(20):
        with quick.connect() as client:
            client.sendall(HEAD + b"Content-Length: 100000\r\n\r\nsome")
    status, (answer,), _ = quick.ask()
    assert (status, [named["label"] for named in answer["top"]]) == (200, ["apple", "sea"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_finishes_running_requests_and_accepts_no_new_ones(number, tmp_path):
    running = Running(tmp_path, 1)
    answers = []
    asking = [threading.Thread(target=lambda: answers.append(running.ask())) for _ in range(3)]
    for thread in asking:
        thread.start()
    while _waiting(running) < len(asking):
        time.sleep(0.02)
    status, stderr = running.stop(number)
    for thread in asking:
        thread.join(20)
    assert [(answer[0], answer[2]) for answer in answers] == [(200, "close")] * len(asking)
    assert (status, stderr) == (0, "")
    with pytest.raises(OSError, match="refused"):
        running.connect()


def _waiting(running):
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return float(next(line for line in lines if line.startswith("bakeoff_waiting_images ")).split()[1])


def test_responses_do_not_wait_for_an_acknowledgement():
    with (
        _listen(Settings(port=0)) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_in_use_is_named(tmp_path):
    facts = BundleFacts(run="r", candidate="lenet@32", side=4, bakeoff="0", files={})
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OutputError, match=f"127.0.0.1:{port}: Address already in use; choose another --port"):
            serve(Bundle(tmp_path, facts, Labels(classes=("a",)), len), Settings(port=port))
