"""The server as a process: slow and broken clients are disconnected, and a stop finishes running requests."""

import http.client
import signal
import socket
import threading
import time

import pytest

from bakeoff.deploy.bundle import Bundle, BundleFacts, Labels
from bakeoff.deploy.serve import Settings, serve
from bakeoff.deploy.serve.server import _listen
from bakeoff.errors import OutputError
from serving import Running


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("bundle"), upload_seconds=0.5, idle_seconds=1)
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


def test_a_client_that_sends_on_after_its_rejection_gets_the_response(tmp_path):
    running = Running(tmp_path, request_bytes=100_000)
    with running.connect() as client:
        client.sendall(HEAD + b"Content-Length: 20000000\r\n\r\n")
        for _ in range(200):
            client.sendall(bytes(100_000))
        answer = b""
        while part := client.recv(65536):
            answer += part
    assert answer.split()[1] == b"413"
    assert running.stop() == (0, "")


def test_a_client_that_never_stops_sending_is_disconnected(quick):
    with quick.connect() as client:
        client.sendall(HEAD + b"Content-Length: 1000000000000\r\n\r\n")
        for _ in range(1000):
            try:
                client.sendall(b"some")
            except OSError:
                break
            time.sleep(0.02)
        else:
            pytest.fail("the server reads without an end")
    assert quick.ask()[0] == 200


@pytest.mark.parametrize(("seconds", "kept"), [(0.2, False), (75, True)])
def test_an_idle_connection_is_kept_as_long_as_is_set(tmp_path, seconds, kept):
    running = Running(tmp_path, idle_seconds=seconds)
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
    connection.request("GET", "/healthz")
    connection.getresponse().read()
    if kept:
        connection.sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.sock.recv(1)
    else:
        assert connection.sock.recv(1) == b""
    connection.close()
    assert running.stop() == (0, "")


def test_a_client_that_hangs_up_leaves_nothing_behind(quick):
    for _ in range(20):
        with quick.connect() as client:
            client.sendall(HEAD + b"Content-Length: 100000\r\n\r\nsome")
    status, (answer,), _ = quick.ask()
    assert (status, [named["label"] for named in answer["top"]]) == (200, ["apple", "sea"])


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
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


@pytest.mark.parametrize(
    ("host", "reason"),
    [("bakeoff.invalid", "Name or service not known"), ("model..example.org", "label empty or too long")],
)
def test_a_host_without_an_address_is_named_with_its_reason(host, reason, monkeypatch):
    def look_up(_socket, address):
        address[0].encode("idna")
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket.socket, "bind", look_up)
    with pytest.raises(
        OutputError, match=f"cannot listen on {host}:8000: .*{reason}.*; choose another --port"
    ) as raised:
        _listen(Settings(host=host))
    assert "while attempting" not in str(raised.value)


def test_a_request_has_its_whole_time_after_the_server_is_asked_to_stop():
    assert Settings(request_seconds=120).drain_seconds >= 120


def test_a_port_in_use_is_named(tmp_path):
    facts = BundleFacts(run="r", candidate="lenet@32", side=4, bakeoff="0", files={})
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OutputError, match=f"127.0.0.1:{port}: Address already in use; choose another --port"):
            serve(Bundle(tmp_path, facts, Labels(classes=("a",)), len), Settings(port=port))
