"""The server behind a real proxy, nginx: with the path prefix removed and kept, buffered and not."""

import http.client
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving import Running, encode
from test_docs import ROOT, blocks

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

# Around the configuration of docs/how-to/behind-a-proxy.md. `/kept/` removes no prefix and passes uploads on while they
# arrive.
CONFIG = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {documented}
}}
"""
DOCUMENTED = blocks(ROOT / "docs" / "how-to" / "behind-a-proxy.md", "nginx")[0]
HOST = "model.example.org"
PREFIXES = ("/pictures", "/kept")


class Proxy:
    """nginx in front of a server."""

    def __init__(self, folder: Path, running: Running) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        documented = (
            DOCUMENTED.replace("127.0.0.1:8000", f"127.0.0.1:{running.port}")
            .replace("server_name", f"listen 127.0.0.1:{self.port}; server_name")
            .replace("client_max_body_size 10m", "client_max_body_size 40m")
            .replace("$scheme", "https")
        )
        location = documented[documented.index("  location") : documented.rindex("}")]
        kept = location.replace("/pictures/", "/kept/").replace("bakeoff/;", "bakeoff; proxy_request_buffering off;")
        (folder / "nginx.conf").write_text(
            CONFIG.format(folder=folder, documented=documented.replace(location, location + kept))
        )
        self.errors = folder / "error.log"
        self.running = running
        assert NGINX is not None
        self.process = subprocess.Popen([NGINX, "-p", folder, "-c", folder / "nginx.conf"], stderr=subprocess.PIPE)
        while self.process.poll() is None:
            try:
                self.connect().connect()
                return
            except ConnectionRefusedError:
                time.sleep(0.05)
        assert self.process.stderr is not None
        pytest.fail(self.process.stderr.read().decode())

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, bytes]:
        """The status, the headers and the body of a response. A body in parts is sent in chunks."""
        connection = self.connect()
        named = {"Host": HOST} | {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named, encode_chunked=isinstance(body, list))
        response = connection.getresponse()
        found = response.status, response.headers, response.read()
        connection.close()
        return found


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("nginx")
    running = Running(folder, root_path="/kept", allowed_hosts=[HOST], cors_origins=["https://shop.example"])
    proxy = Proxy(folder, running)
    yield proxy
    proxy.process.terminate()
    proxy.process.wait(30)
    assert running.stop() == (0, "")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_path_answers_get_head_and_options_under_the_prefix(proxy: Proxy, prefix: str) -> None:
    for path in ("/", "/page.css", "/page.js", "/healthz", "/readyz", "/metrics", "/model", "/docs", "/openapi.json"):
        got, head, options = (proxy.ask(method, prefix + path) for method in ("GET", "HEAD", "OPTIONS"))
        assert (got[0], head[0], options[0]) == (200, 200, 204), path
        assert got[2]
        assert not head[2]
    assert proxy.ask("GET", prefix)[0] in (301, 307)
    assert "https://model.example.org/kept/predict" in proxy.ask("GET", f"{prefix}/docs")[2].decode()


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_uploads_of_any_size_are_answered_by_the_server_and_not_by_the_proxy(
    proxy: Proxy, prefix: str, chunked: bool
) -> None:
    small, large = encode("red"), encode("red", (1500, 1500)) + bytes(9_000_000)
    for body, status in ((small, 200), (large, 200), (bytes(30_000_000), 413)):
        parts = [body[start : start + 100_000] for start in range(0, len(body), 100_000)] if chunked else body
        found, _, answer = proxy.ask("POST", f"{prefix}/predict", parts, Content_Type="image/png")
        assert found == status, answer
        assert ("top" in json.loads(answer)[0]) if status == 200 else ("10 MB" in json.loads(answer)["detail"])
    assert "reset by peer" not in proxy.errors.read_text()


def test_a_preflight_and_the_request_after_it_pass(proxy: Proxy) -> None:
    origin = {"Origin": "https://shop.example"}
    asked = proxy.ask("OPTIONS", "/pictures/predict", **origin, Access_Control_Request_Method="POST")
    answer = proxy.ask("POST", "/pictures/predict", encode("red"), **origin, Content_Type="image/png")
    for status, headers, _ in (asked, answer):
        assert (status, headers["Access-Control-Allow-Origin"]) == (200, "https://shop.example")


def test_a_host_that_is_not_allowed_is_rejected(proxy: Proxy) -> None:
    status, _, body = proxy.ask("GET", "/pictures/", Host="evil.example")
    assert (status, "--allow-host" in json.loads(body)["detail"]) == (421, True)


def test_requests_of_the_proxy_share_a_connection(proxy: Proxy) -> None:
    def opened() -> set[str]:
        """The ports of the proxy's connections to the server."""
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        server, established = f":{proxy.running.port:04X}", "01"
        return {row[1] for row in rows if row[2].endswith(server) and row[3] == established}

    proxy.ask("GET", "/pictures/healthz")
    before = opened()
    for _ in range(5):
        proxy.ask("GET", "/pictures/healthz")
    assert before
    assert opened() == before


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_page_predicts_an_image_in_a_browser(proxy: Proxy, browser: Any, prefix: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"http://127.0.0.1:{proxy.port}{prefix}/")
    page.locator("#model", has_text="2 classes").wait_for(timeout=60_000)
    page.set_input_files("#file", {"name": "apple.png", "mimeType": "image/png", "buffer": encode("red")})
    page.locator("#message", has_text="Most likely apple.").wait_for(timeout=60_000)
    page.click("#docs")
    page.wait_for_url(f"**{prefix}/docs")
    assert said == []
    # Chromium shows the JSON and looks for an icon of the host, which there is none of.
    page.click("text=openapi.json")
    page.wait_for_url(f"**{prefix}/openapi.json")
    context.close()
