"""A request's body as images. If it is too large, too slow or malformed, an HTTPException with status 4xx is raised."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from bakeoff.deploy.serve.base64_images import decode_base64, parse_images
from bakeoff.deploy.serve.settings import Settings
from bakeoff.errors import DataError

__all__ = ["Upload", "Uploads"]

# The connection is closed, so that the rest of a rejected body is not read as the next request.
_CLOSE = {"Connection": "close"}
_RAW = ("application/octet-stream", "image/")
_FORM = "multipart/form-data"
_JSON = "application/json"


@dataclass(frozen=True)
class Upload:
    """An encoded image, and its name in the request."""

    name: str
    data: bytes | str
    """Its bytes, or a text that encodes them as base64 or as a data URL."""

    def read(self) -> bytes:
        """The bytes of the encoded image. Raises DataError if the text is not base64."""
        return self.data if isinstance(self.data, bytes) else decode_base64(self.data)


class Uploads:
    """Reads the images of requests, within a limit on all bodies that are in memory at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bytes_in_memory = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[list[Upload]]:
        """Read the images of a request: its body as one image, the files of a form, or base64 in JSON.

        The images count towards the limit until the block ends. Raises HTTPException.
        """
        media_type = request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
        if media_type not in (_FORM, _JSON) and not media_type.startswith(_RAW):
            raise HTTPException(
                415,
                f"cannot read {media_type}; send an image, several as {_FORM}, or base64 as {_JSON}",
                _CLOSE,
            )
        expected = self._expected_bytes(request)
        if self._bytes_in_memory + expected > self._settings.upload_bytes:
            raise HTTPException(503, "too many uploads at once; try again", _CLOSE | {"Retry-After": "1"})
        self._bytes_in_memory += expected
        try:
            body = await self._body(request)
            if media_type == _FORM:
                yield await self._files(request, body)
            elif media_type == _JSON:
                yield self._images(body)
            elif body:
                yield [Upload("image", body)]
            else:
                raise HTTPException(422, "there is no image in the request; send one as its body")
        finally:
            self._bytes_in_memory -= expected

    def _expected_bytes(self, request: Request) -> int:
        """The size of the body by its header; the limit if the header does not state it."""
        limit = self._settings.request_bytes
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            return limit
        if int(length) > limit:
            raise self._too_large()
        return int(length)

    async def _body(self, request: Request) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._settings.upload_seconds):
                async for part in request.stream():
                    size += len(part)
                    if size > self._settings.request_bytes:
                        raise self._too_large()
                    parts.append(part)
        except TimeoutError as error:
            raise HTTPException(
                408, f"the request took longer than {self._settings.upload_seconds:g} s to arrive", _CLOSE
            ) from error
        except ClientDisconnect as error:
            raise HTTPException(400, "the request ended early", _CLOSE) from error
        return b"".join(parts)

    async def _files(self, request: Request, body: bytes) -> list[Upload]:
        limit = self._settings.request_images
        buffered = Request(request.scope, _replay(body))
        try:
            async with buffered.form(max_files=limit, max_fields=limit) as form:
                files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
                uploads = [Upload(file.filename or "image", await file.read()) for file in files]
        except (ValueError, KeyError, LookupError) as error:  # such as a malformed boundary or an unknown character set
            raise HTTPException(400, "the form cannot be read; send multipart/form-data with a boundary") from error
        if not uploads:
            raise HTTPException(422, "there is no image in the form; send files, as in -F image=@cat.png")
        return uploads

    def _images(self, body: bytes) -> list[Upload]:
        try:
            images = parse_images(body, self._settings.request_images)
        except DataError as error:
            raise HTTPException(400, str(error)) from error
        if not images:
            raise HTTPException(422, 'there is no image in the JSON; send {"image": "BASE64"}')
        return [Upload(name, text) for name, text in images.items()]

    def _too_large(self) -> HTTPException:
        megabytes = self._settings.request_bytes / 1e6
        return HTTPException(413, f"the request has more than {megabytes:g} MB; send fewer or smaller images", _CLOSE)


def _replay(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
