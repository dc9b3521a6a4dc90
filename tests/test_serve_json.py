"""Images in JSON: what encodes an image is predicted as the image is, and what does not gets a 4xx that says why."""

import base64
import json

import pytest

from serving import encode

JSON = {"Content-Type": "application/json; charset=utf-8"}
RED = encode("red")
TEXT = base64.b64encode(RED).decode()
WAYS = {
    "base64": TEXT,
    "lines": "\r\n".join(TEXT[start : start + 76] for start in range(0, len(TEXT), 76)) + "\n",
    "URL-safe": base64.urlsafe_b64encode(RED).decode(),
    "no padding": TEXT.rstrip("="),
    "data URL": f"data:image/png;base64,{TEXT}",
    "data URL with another type": f"data:image/jpeg;base64,{TEXT}",
    "data URL in capitals": f"DATA:image/png;charset=utf-8;BASE64,{TEXT}",
    "data URL with escapes": f"data:;base64,{TEXT.replace('+', '%2B').replace('/', '%2F').replace('=', '%3D')}",
}


@pytest.mark.parametrize("text", WAYS.values(), ids=WAYS)
def test_an_encoded_image_is_predicted_as_its_bytes_are(make_client, text):
    with make_client() as client:
        raw = client.post("/predict", content=RED, headers={"Content-Type": "image/png"}).json()
        answer = client.post("/predict?top=5", json={"image": text})
    assert (answer.status_code, answer.json()) == (200, raw)


def test_several_images_are_predicted_in_order_and_a_bad_one_has_its_error(make_client):
    blue = base64.b64encode(encode("blue")).decode()
    with make_client() as client:
        answer = client.post("/predict?top=1", json={"images": [blue, "no base64!", "", "bm8=", TEXT]})
    assert answer.status_code == 200
    rows = answer.json()
    assert [row["name"] for row in rows] == [f"images[{number}]" for number in range(5)]
    assert [row["top"][0]["label"] if row["top"] else None for row in rows] == ["sea", None, None, None, "apple"]
    assert "not base64" in rows[1]["error"]
    assert "empty" in rows[2]["error"]
    assert "not a JPEG, PNG" in rows[3]["error"]


BAD = {
    "empty": (b"", 400, "JSON"),
    "words": (b"these are words", 400, "JSON"),
    "cut off": (b'{"image": "aaaa', 400, "JSON"),
    "not UTF-8": (b'{"image": "\xff\xfe"}', 400, "JSON"),
    "half of a surrogate pair": (b'{"image": "\\ud800"}', 400, "JSON"),
    "deep": (b'{"image": ' + b"[" * 90_000, 400, "JSON"),
    "ten lists deep": (b'{"image": ' + b"[" * 10 + b"]" * 10 + b"}", 400, "image"),
    "a number of many digits": (b'{"image": ' + b"9" * 90_000 + b"}", 400, "image"),
    "a list": (json.dumps([TEXT]).encode(), 400, '{"image": "BASE64"}'),
    "a number": (b'{"image": 7}', 400, "image"),
    "no text among the images": (json.dumps({"images": [TEXT, None]}).encode(), 400, "images.1"),
    "an unknown field": (json.dumps({"image": TEXT, "top": 3}).encode(), 400, "top"),
    "a long unknown field": (json.dumps({"x" * 90_000: 1}).encode(), 400, "xxx"),
    "both fields": (json.dumps({"image": TEXT, "images": [TEXT]}).encode(), 400, "both"),
    "no field": (b"{}", 422, "no image"),
    "null": (b'{"image": null}', 422, "no image"),
    "no images": (b'{"images": []}', 422, "no image"),
    "many numbers": (b'{"images": [' + b"0," * 40_000 + b"0]}", 400, "more values than 32 images"),
    "many lists": (b'{"images": ' + b"[[]," * 20_000, 400, "more values than 32 images"),
    "many fields": (b"{" + b'"a":0,' * 15_000 + b'"b":0}', 400, "more values than 32 images"),
    "too many images": (json.dumps({"images": ["aaaa"] * 33}).encode(), 400, "32"),
    "too many bytes": (json.dumps({"image": "a" * 200_000}).encode(), 413, "0.1 MB"),
    "too many pixels": (
        json.dumps({"image": base64.b64encode(encode("red", (2000, 2000))).decode()}).encode(),
        422,
        "2000x2000 pixels",
    ),
    "an address": (b'{"image": "https://example.org/cat.png"}', 422, "not base64"),
    "Python's bytes": (json.dumps({"image": str(TEXT.encode())}).encode(), 422, "not base64"),
    "a data URL without base64": (b'{"image": "data:image/svg+xml;utf8,<svg/>"}', 422, "data:image/png;base64,"),
    "other letters": ('{"image": "äöü="}'.encode(), 422, "not base64"),
}


@pytest.mark.parametrize(("content", "status", "words"), BAD.values(), ids=BAD)
def test_bad_json_gets_a_4xx_that_says_why_in_one_line(make_client, content, status, words):
    with make_client(request_bytes=100_000, image_pixels=1_000_000) as client:
        answer = client.post("/predict", content=content, headers=JSON)
        assert answer.status_code == status, answer.text
        found = answer.json()
        (said,) = [found["detail"]] if isinstance(found, dict) else [row["error"] for row in found]
        assert words in said
        assert "\n" not in said
        assert len(said) < 300
        assert client.post("/predict", json={"image": TEXT}).status_code == 200


def test_as_many_images_as_are_allowed_are_predicted(make_client):
    with make_client() as client:
        answer = client.post("/predict", json={"images": [f"data:image/png;base64,{TEXT}"] * 32})
    assert (answer.status_code, len(answer.json())) == (200, 32)


def test_images_in_json_have_their_places_in_the_queue(make_client):
    with make_client(waiting_images=2) as client:
        answer = client.post("/predict", json={"images": [TEXT] * 3})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
