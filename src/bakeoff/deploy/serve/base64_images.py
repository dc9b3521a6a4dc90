"""Images in JSON, as base64 or as data URLs."""

import base64
import codecs
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bakeoff.errors import DataError
from bakeoff.text import counted

__all__ = ["ImageRequest", "decode_base64", "parse_images"]

_FORM = 'send {"image": "BASE64"} or {"images": ["BASE64", …]}'
_URL_SAFE = str.maketrans("-_", "+/")
_Encoded = Annotated[str, Field(description="The bytes of an image file as base64, or a data URL.")]


class ImageRequest(BaseModel):
    """A request in JSON: one image, or several."""

    model_config = ConfigDict(extra="forbid")

    image: _Encoded | None = None
    images: list[_Encoded] | None = None


def parse_images(body: bytes, limit: int) -> dict[str, str]:
    """The images of a request in JSON, still encoded, by their names in it: `image`, or `images[0]` and so on.

    Args:
        body: The JSON.
        limit: The largest number of images.

    Raises:
        DataError: The body is not JSON, or not an ImageRequest, or has too many images.
    """
    # Before anything is parsed: millions of values would take minutes and gigabytes. An image needs at most two commas,
    # one in its data URL and one after it.
    if sum(body.count(mark) for mark in (b",", b"[", b"{")) > 2 * limit + 2:
        raise DataError(
            f"the JSON has more values than {counted(limit, 'image')} can have, which is the limit; {_FORM}"
        )
    try:
        request = ImageRequest.model_validate_json(body.removeprefix(codecs.BOM_UTF8))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))[:50]
        raise DataError(
            f"the JSON cannot be read{f', at {where}' if where else ''}: {first['msg']}; {_FORM}"
        ) from error
    if request.image is not None and request.images is not None:
        raise DataError(f"the JSON has both image and images; {_FORM}")
    if request.image is not None:
        return {"image": request.image}
    if len(request.images or ()) > limit:
        raise DataError(f"the JSON has {counted(len(request.images or ()), 'image')}; send at most {limit}")
    return {f"images[{number}]": image for number, image in enumerate(request.images or ())}


def decode_base64(text: str) -> bytes:
    """The bytes in base64 or in a data URL. Line breaks, the URL-safe letters and missing padding are accepted.

    Raises:
        DataError: It is something else.
    """
    if text[:5].lower() == "data:":
        kind, _, text = text.partition(",")
        if not kind.lower().endswith(";base64"):
            raise DataError("its data URL is not in base64; it must begin like data:image/png;base64,")
        # urllib's unquote takes seconds for a text that is full of escapes, and base64 needs only these.
        for letter in "+/=":
            text = text.replace(f"%{ord(letter):X}", letter).replace(f"%{ord(letter):x}", letter)
    text = "".join(text.split()).translate(_URL_SAFE)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        raise DataError("it is not base64; send the bytes of an image file as base64 or as a data URL") from error
