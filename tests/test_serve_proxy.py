"""What a server needs behind a proxy: a path prefix, hosts, origins, HEAD and OPTIONS, and whether it is ready."""

import http.client
import re
import threading
import time
from urllib.parse import urljoin

import pytest

from bakeoff.deploy.bundle import Format
from bakeoff.deploy.serve import Settings
from bakeoff.deploy.serve.batching import Batcher
from bakeoff.errors import ConfigError
from running import run_cli
from serving import Running, encode, redness

PNG = {"Content-Type": "image/png"}
GETS = ("/", "/page.css", "/page.js", "/healthz", "/readyz", "/metrics", "/model", "/report", "/docs", "/openapi.json")


@pytest.mark.parametrize("path", GETS)
def test_head_is_get_without_its_body(make_client, path):
    with make_client() as client:
        got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Type"] == got.headers["Content-Type"]
    if path != "/metrics":
        assert head.headers["Content-Length"] == str(len(got.content))


@pytest.mark.parametrize("path", [*GETS, "/predict"])
def test_options_and_a_method_that_a_path_does_not_have_name_those_that_it_has(make_client, path):
    with make_client() as client:
        options, deleted = client.options(path), client.delete(path)
    assert (options.status_code, options.content) == (204, b"")
    assert (deleted.status_code, deleted.json()) == (405, {"detail": "Method Not Allowed"})
    allowed = "OPTIONS, POST" if path == "/predict" else "GET, HEAD, OPTIONS"
    assert options.headers["Allow"] == deleted.headers["Allow"] == allowed


def test_an_unknown_path_is_not_found_by_any_method(make_client):
    with make_client() as client:
        assert {client.request(method, "/nowhere").status_code for method in ("GET", "HEAD", "OPTIONS")} == {404}


def test_links_of_the_pages_are_relative(make_client):
    with make_client() as client:
        for path in ("/", "/docs"):
            links = re.findall(r'(?:href|src)="([^"]*)"', client.get(path).text)
            assert "page.css" in links
            assert not [link for link in links if link.startswith("/") or "//" in link]
        assert not re.findall(r"""["'`]/[a-z]""", client.get("/page.js").text)


@pytest.mark.parametrize("root_path", ["/pictures", "pictures/", "/team-1/pictures", "/model"])
@pytest.mark.parametrize("removes", [True, False], ids=["prefix removed", "prefix kept"])
def test_every_path_works_under_a_prefix(make_client, root_path, removes):
    prefix = f"/{root_path.strip('/')}"

    def sent(path):
        """What the proxy sends for a path that its client sees."""
        return path.removeprefix(prefix) if removes else path

    with make_client(root_path=root_path, token="secret") as client:
        client.headers["Authorization"] = "Bearer secret"
        for path in GETS:
            assert client.get(sent(prefix + path)).status_code == 200
        assert client.post(sent(f"{prefix}/predict"), content=encode("red"), headers=PNG).status_code == 200
        moved = client.post(sent(f"{prefix}/predict/?top=1"), follow_redirects=False)
        assert urljoin(f"http://a.test{prefix}/predict/", moved.headers["Location"]) == (
            f"http://a.test{prefix}/predict?top=1"
        )
        assert client.get("/openapi.json").json()["servers"] == [{"url": prefix}]
        assert f"http://127.0.0.1{prefix}/predict" in client.get(sent(f"{prefix}/docs")).text
        text = client.get("/metrics").text
    assert 'bakeoff_requests_total{path="/predict",status="200"} 1.0' in text
    assert prefix not in text.replace('path="/model"', "")


def test_the_prefix_alone_leads_to_the_page_and_to_nothing_else(make_client):
    with make_client(root_path="/pictures", token="secret") as client:
        moved = client.get("/pictures", follow_redirects=False)
        assert (moved.status_code, urljoin("http://a.test/pictures", moved.headers["Location"])) == (
            307,
            "http://a.test/pictures/",
        )
        assert client.get("/pictures").status_code == 200
        assert client.get("/picturesque").status_code == client.get("/pictures/model").status_code == 401


def test_a_prefix_that_is_also_a_path_needs_the_token_of_that_path(make_client):
    with make_client(root_path="/model", token="secret") as client:
        assert client.get("/model").status_code == client.get("/model/model").status_code == 401
        assert client.get("/model/").status_code == 200


ACCEPTED = {
    "model.example.org": ("model.example.org", "MODEL.example.org:8443", "model.example.org.", "localhost", "[::1]:80"),
    "*.example.org": ("a.example.org", "a.b.example.org:80", "127.0.0.1"),
    "10.0.0.7": ("10.0.0.7:8000",),
    "[2001:db8::7]": ("[2001:db8::7]:8000",),
    "*": ("anything.test", "192.0.2.1"),
}
REJECTED = {
    "model.example.org": ("evil.test", "model.example.org.evil.test", "xmodel.example.org", "", "10.0.0.7"),
    "*.example.org": ("example.org", "xexample.org", "example.org.evil.test"),
}


@pytest.mark.parametrize("listens", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("allowed", ACCEPTED)
def test_hosts_are_accepted_if_they_are_allowed(make_client, allowed, listens):
    with make_client(host=listens, allowed_hosts=("other.test", allowed)) as client:
        for host in ("other.test", *ACCEPTED[allowed]):
            assert client.get("/model", headers={"Host": host}).status_code == 200, host
        for host in REJECTED.get(allowed, ()):
            answer = client.get("/model", headers={"Host": host})
            assert answer.status_code == 421, host
            assert "--allow-host" in answer.json()["detail"]


ORIGIN = "https://shop.example"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


def test_no_page_of_another_origin_may_read_responses(make_client):
    with make_client() as client:
        asked = client.options("/predict", headers=PREFLIGHT | {"Origin": ORIGIN})
        answer = client.post("/predict", content=encode("red"), headers=PNG | {"Origin": ORIGIN})
    assert (asked.status_code, answer.status_code) == (204, 200)
    assert not [name for name in (*asked.headers, *answer.headers) if name.startswith("access-control")]


@pytest.mark.parametrize("origins", [("http://localhost:3000", ORIGIN), ("HTTPS://Shop.example:443/",), ("*",)])
def test_pages_of_an_allowed_origin_may_read_every_response(make_client, origins):
    allowed = "*" if origins == ("*",) else ORIGIN
    with make_client(cors_origins=origins, token="secret", request_bytes=1000) as client:
        asked = client.options("/predict", headers=PREFLIGHT | {"Origin": ORIGIN})
        assert (asked.status_code, asked.headers["Access-Control-Allow-Origin"]) == (200, allowed)
        assert "POST" in asked.headers["Access-Control-Allow-Methods"]
        assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]
        ask = PNG | {"Origin": ORIGIN}
        authorized = ask | {"Authorization": "Bearer secret"}
        for headers, body, status in (
            (ask, encode("red"), 401),
            (authorized, encode("red"), 200),
            (authorized, b"words", 422),
            (authorized, bytes(2000), 413),
        ):
            answer = client.post("/predict", content=body, headers=headers)
            assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (status, allowed)
            assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    ("settings", "status"), [({}, 500), ({"request_seconds": 0.05}, 503), ({"running_requests": 0}, 503)]
)
def test_pages_of_an_allowed_origin_may_read_why_the_server_fails(make_client, settings, status):
    gate = threading.Event()

    def fail(_images):
        gate.wait(0 if status == 500 else 20)
        raise RuntimeError("secrets of the runtime")

    with make_client(fail, cors_origins=(ORIGIN,), **settings) as client:
        client._transport.raise_server_exceptions = False
        answer = client.post("/predict", content=encode("red"), headers=PNG | {"Origin": ORIGIN})
        gate.set()
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (status, ORIGIN)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_pages_of_other_origins_than_the_allowed_may_not_read_responses(make_client):
    with make_client(cors_origins=(ORIGIN,)) as client:
        asked = client.options("/predict", headers=PREFLIGHT | {"Origin": "https://evil.test"})
        answer = client.get("/model", headers={"Origin": "https://evil.test"})
    assert asked.status_code == 400
    assert "--cors-origin" in asked.json()["detail"]
    assert not {"access-control-allow-origin"} & {*asked.headers, *answer.headers}
    assert "Origin" in answer.headers["Vary"]


WRONG = {
    "root_path": ["https://a.test/pictures", "/a/../b", "/a?b", "/a b", "/a//b", "/a%20b"],
    "allowed_hosts": ["https://a.test", "a.test:80", "a.*.test", "", "*test", "a test"],
    "cors_origins": ["a.test", "https://a.test/page", "null", "https://*.a.test", "https://", ""],
    "trusted_proxies": ["localhost", "10.0.0.1/8", "10.0.0", ""],
    "token": ["schlüssel", "a\nb", " \n"],
}


@pytest.mark.parametrize(("name", "given"), [(name, given) for name, values in WRONG.items() for given in values])
def test_a_setting_that_cannot_be_is_refused(name, given):
    option = {"allowed_hosts": "allow-host", "cors_origins": "cors-origin", "trusted_proxies": "trust-proxy"}
    with pytest.raises(ConfigError, match=f"--{option.get(name, name.replace('_', '-'))} "):
        Settings(**{name: given if name in ("root_path", "token") else ("*", given)})


@pytest.mark.parametrize(
    ("option", "value"), [("--cors-origin", "null"), ("--max-megabytes", "inf"), ("--max-megapixels", "inf")]
)
def test_an_option_that_cannot_be_is_one_line_and_exit_code_2(tmp_path, option, value):
    done = run_cli("serve", tmp_path, option, value)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"{option} takes" in done.stderr


def test_the_options_of_the_command_become_settings(bundled, monkeypatch):
    served = []
    monkeypatch.setattr("bakeoff.deploy.serve.serve", lambda _bundle, settings, *_: served.append(settings))
    options = ["--root-path", "pictures/", "--keep-alive", "120", "--cors-origin", "*", "--trust-proxy", "10.0.0.0/8"]
    done = run_cli("serve", bundled(Format.KERAS), *options, "--allow-host", "a.test", "--allow-host", "*.b.test")
    assert done.returncode == 0, done.stderr
    assert "without --token" in done.stderr
    assert served == [
        Settings(
            root_path="/pictures",
            idle_seconds=120,
            cors_origins=("*",),
            trusted_proxies=("10.0.0.0/8",),
            allowed_hosts=("a.test", "*.b.test"),
        )
    ]


def test_a_server_with_a_full_queue_is_alive_but_not_ready(make_client):
    gate = threading.Event()

    def stuck(images):
        gate.wait(20)
        return redness(images)

    with make_client(stuck, waiting_images=1) as client:
        assert client.get("/readyz").json() == {"status": "ok"}
        asking = threading.Thread(target=lambda: client.post("/predict", content=encode("red"), headers=PNG))
        asking.start()
        while (full := client.get("/readyz")).status_code == 200:
            time.sleep(0.01)
        assert client.get("/healthz").status_code == 200
        gate.set()
        asking.join(20)
        assert client.get("/readyz").status_code == 200
    assert (full.status_code, full.headers["Retry-After"]) == (503, "1")
    assert "wait" in full.json()["detail"]


def test_a_server_that_stops_is_alive_but_not_ready(make_client):
    with make_client() as client:
        client.app.state.stopping = True
        assert (client.get("/healthz").status_code, client.get("/readyz").status_code) == (200, 503)


def test_a_server_with_too_many_requests_is_alive_but_not_ready(make_client):
    with make_client(running_requests=0) as client:
        assert (client.get("/healthz").status_code, client.get("/readyz").status_code) == (200, 503)


def test_a_server_whose_model_does_not_run_any_more_is_not_alive(make_client, monkeypatch):
    async def end(self, _thread):
        await self._arrived.wait()

    monkeypatch.setattr(Batcher, "_process", end)
    with make_client(request_seconds=0.2) as client:
        assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
        client.post("/predict", content=encode("red"), headers=PNG)
        assert client.get("/healthz").status_code == client.get("/readyz").status_code == 503


@pytest.mark.parametrize(
    ("trusted", "scheme"),
    [((), "https"), (("127.0.0.0/8",), "https"), (("*", "10.0.0.7"), "https"), (("10.0.0.7",), "http")],
)
def test_the_scheme_that_a_proxy_states_is_believed_if_the_proxy_is_trusted(tmp_path, monkeypatch, trusted, scheme):
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    running = Running(tmp_path, trusted_proxies=trusted)
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
    connection.request("GET", "/docs", headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"})
    text = connection.getresponse().read().decode()
    connection.close()
    assert f"{scheme}://127.0.0.1:{running.port}/predict" in text
    assert running.stop() == (0, "")
