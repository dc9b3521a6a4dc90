"""The server: images get predictions, and bad requests a 4xx or 503 that says why."""

import io
import struct
import threading
import zlib

import pytest
from PIL import Image

from bakeoff.runs.config import Fit
from serving import SIDE, encode, redness

PNG = {"Content-Type": "image/png"}


def test_a_raw_image_is_classified_with_its_superclass(make_client):
    with make_client() as client:
        answer = client.post("/predict?top=1", content=encode("red"), headers=PNG)
    assert answer.status_code == 200
    assert answer.json() == [
        {
            "name": "image",
            "top": [{"label": "apple", "probability": pytest.approx(256 / 257), "superclass": "fruit"}],
            "error": None,
            "unsure": None,
        }
    ]


def test_an_answer_below_the_least_confidence_is_marked_and_counted(make_client):
    files = [("image", (color, encode(color))) for color in ("red", "purple", "blue")]
    with make_client(min_confidence=0.9) as client:
        rows = client.post("/predict", files=[*files, ("image", ("bad", b"no"))]).json()
        text = client.get("/metrics").text
        assert client.get("/model").json()["min_confidence"] == 0.9
    assert [row["unsure"] for row in rows] == [False, True, False, None]
    assert "bakeoff_unsure_images_total 1.0" in text
    assert 'bakeoff_images_total{outcome="answered"} 3.0' in text


@pytest.mark.parametrize(("fit", "label"), [(Fit.CROP, "sea"), (Fit.PAD, "apple"), (Fit.SQUASH, "apple")])
def test_a_wide_image_becomes_square_as_the_bundle_says(make_client, fit, label):
    image = Image.new("RGB", (4 * SIDE, SIDE), "red")
    image.paste("blue", (SIDE + SIDE // 2, 0, 2 * SIDE + SIDE // 2, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    with make_client(fit=fit) as client:
        answer = client.post("/predict?top=1", content=buffer.getvalue(), headers=PNG)
        assert client.get("/model").json()["bundle"]["fit"] == fit
    assert answer.json()[0]["top"][0]["label"] == label


def test_files_of_a_form_are_predicted_in_order_and_a_bad_one_has_its_error(make_client):
    files = [("image", ("a.png", encode("blue"))), ("image", ("b.png", b"no")), ("other", ("c.png", encode("red")))]
    with make_client() as client:
        answer = client.post("/predict", files=files)
    assert answer.status_code == 200
    rows = answer.json()
    assert [row["name"] for row in rows] == ["a.png", "b.png", "c.png"]
    assert [row["top"][0]["label"] if row["top"] else None for row in rows] == ["sea", None, "apple"]
    assert "not a JPEG, PNG" in rows[1]["error"]


def _claim(width, height):
    """A PNG of a few bytes whose header states that size."""
    size = struct.pack(">II", width, height)
    chunks = [(b"IHDR", size + bytes([8, 2, 0, 0, 0])), (b"IDAT", zlib.compress(bytes(10_000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


BOUNDARY = {"Content-Type": "multipart/form-data; boundary=x"}


PART = b'--x\r\nContent-Disposition: form-data; name="a"'
BAD = {
    "empty": (b"", PNG, 422, "no image"),
    "words": (b"these are words", PNG, 422, "not a JPEG, PNG"),
    "cut off": (encode("red")[:40], PNG, 422, "is damaged"),
    "too many pixels": (encode("red", (2000, 2000)), PNG, 422, "2000x2000 pixels"),
    "bomb": (_claim(60_000, 60_000), PNG, 422, "more than 1,000,000"),
    "fewer pixels than claimed": (_claim(900, 900), PNG, 422, "cut short"),
    "no image's type": (b"words", {"Content-Type": "text/plain"}, 415, "text/plain"),
    "too many bytes": (bytes(200_000), PNG, 413, "0.1 MB"),
    "another boundary": (b"--y\r\nnonsense", BOUNDARY, 400, "multipart"),
    "no boundary": (b"", {"Content-Type": "multipart/form-data"}, 400, "boundary"),
    "empty form": (b"--x--\r\n", BOUNDARY, 422, "no image in the form"),
    "form without files": (PART + b"\r\n\r\nwords\r\n--x--\r\n", BOUNDARY, 422, "no image in the form"),
    "form cut off": (PART + b'; filename="a.png"\r\n\r\ncut off', BOUNDARY, 422, "form"),
    "boundaries alone": (b"--x\r\n" * 1000, BOUNDARY, 400, ""),
    "too many files": ((PART + b'; filename="a"\r\n\r\n\r\n') * 40 + b"--x--\r\n", BOUNDARY, 400, "Too many files"),
}


@pytest.mark.parametrize(("content", "headers", "status", "words"), BAD.values(), ids=BAD)
def test_bad_requests_get_a_4xx_that_says_why(make_client, content, headers, status, words):
    with make_client(request_bytes=100_000, image_pixels=1_000_000) as client:
        answer = client.post("/predict", content=content, headers=headers)
        assert answer.status_code == status, answer.text
        assert words in answer.text
        good = client.post("/predict", content=encode("red"), headers=PNG)
    assert good.status_code == 200


def test_images_beyond_the_queue_are_rejected_with_retry_after(make_client):
    files = [("image", (f"{number}.png", encode("red"))) for number in range(3)]
    with make_client(waiting_images=2) as client:
        answer = client.post("/predict", files=files)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"


def test_a_request_beyond_its_deadline_is_rejected_and_the_next_is_answered(make_client):
    gate = threading.Event()

    def stuck_at_first(images):
        gate.wait(20)
        return redness(images)

    ask = {"content": encode("red"), "headers": PNG}
    with make_client(stuck_at_first, request_seconds=0.3) as client:
        answer = client.post("/predict", **ask)
        gate.set()
        # On a busy machine others may take too long as well.
        assert 200 in (client.post("/predict", **ask).status_code for _ in range(20))
        text = client.get("/metrics").text
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert 'bakeoff_requests_total{path="/predict",status="503"}' in text
    assert "bakeoff_waiting_images 0.0" in text


def test_too_many_concurrent_requests_are_rejected(make_client):
    with make_client(running_requests=0) as client:
        answer = client.get("/readyz")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_a_failing_model_is_a_500_without_details_and_the_next_request_is_answered(make_client):
    moods = iter([RuntimeError("secrets of the runtime"), None])

    def moody(images):
        if error := next(moods):
            raise error
        return redness(images)

    ask = {"content": encode("red"), "headers": PNG}
    with make_client(moody) as client:
        client._transport.raise_server_exceptions = False
        answer = client.post("/predict", **ask)
        assert client.post("/predict", **ask).status_code == 200
        text = client.get("/metrics").text
    assert answer.status_code == 500
    assert "secrets" not in answer.text
    assert "log says why" in answer.json()["detail"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert 'bakeoff_requests_total{path="/predict",status="500"} 1.0' in text


@pytest.mark.parametrize("token", ["secret", "secret\n"])
def test_a_token_is_required_if_one_is_set(make_client, token):
    with make_client(token=token) as client:
        assert client.get("/").status_code == client.get("/healthz").status_code == 200
        for path in ("/model", "/metrics", "/report", "/docs", "/openapi.json"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401
            assert client.get(path, headers={"Authorization": "Bearer secret"}).status_code == 200


def test_a_local_server_accepts_only_local_host_names(make_client):
    with make_client() as client:
        assert client.get("/healthz", headers={"Host": "evil.example"}).status_code == 421
        assert client.get("/healthz", headers={"Host": "localhost:8000"}).status_code == 200
        assert client.get("/healthz", headers={"Host": "[::1]:8000"}).status_code == 200
    with make_client(host="0.0.0.0") as client:
        assert client.get("/healthz", headers={"Host": "models.example"}).status_code == 200


def test_the_page_loads_nothing_from_other_servers_and_may_not(make_client):
    with make_client() as client:
        for path in ("/", "/page.css", "/page.js", "/docs"):
            answer = client.get(path)
            assert answer.status_code == 200
            assert 'src="http' not in answer.text
            assert "url(http" not in answer.text
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in client.get("/report").headers["Content-Security-Policy"]


def test_requests_are_counted_under_existing_paths(make_client):
    with make_client() as client:
        client.post("/predict", content=encode("red"), headers=PNG)
        client.get("/nowhere/1")
        client.get("/nowhere/2")
        text = client.get("/metrics").text
    assert 'bakeoff_requests_total{path="/predict",status="200"} 1.0' in text
    assert 'bakeoff_requests_total{path="other",status="404"} 2.0' in text
    assert "nowhere" not in text
    assert 'bakeoff_images_total{outcome="answered"} 1.0' in text


def test_the_model_and_the_api_are_described(make_client):
    with make_client() as client:
        model = client.get("/model").json()
        described = client.get("/openapi.json").json()
    assert model["card"] == "# A card"
    assert model["classes"] == ["apple", "sea"]
    assert set(described["paths"]) == {"/predict", "/healthz", "/readyz", "/metrics", "/model", "/report"}
    assert {"image/*", "multipart/form-data", "application/json"} == set(
        described["paths"]["/predict"]["post"]["requestBody"]["content"]
    )


def test_memory_is_given_back_again_and_again(make_client, monkeypatch):
    times, twice = [], threading.Event()

    def release():
        times.append(None)
        if len(times) > 1:
            twice.set()

    monkeypatch.setattr("bakeoff.deploy.serve.app.RELEASE_SECONDS", 0.01)
    monkeypatch.setattr("bakeoff.deploy.serve.app.release_memory", release)
    with make_client():
        assert twice.wait(30)
