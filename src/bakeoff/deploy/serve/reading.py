"""A request's body as images, within the limits: too large, too slow or malformed is an HTTPException of 4xx."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from bakeoff.deploy.serve.settings import Settings

__all__ = ["Uploaded", "Uploads"]

# What is left of a body must not be read as the next request.
_CLOSE = {"Connection": "close"}
_RAW = ("application/octet-stream", "image/")


@dataclass(frozen=True)
class Uploaded:
    """An encoded image, and what its sender calls it."""

    name: str
    data: bytes


class Uploads:
    """Reads bodies; all that are in memory at once, until they are answered, have a limit together."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._held = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[list[Uploaded]]:
        """The images of a request: its body as it is, or the files of a form."""
        kind = request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
        if kind != "multipart/form-data" and not kind.startswith(_RAW):
            raise HTTPException(
                415, f"cannot read {kind}; send an image as it is, or several as multipart/form-data", _CLOSE
            )
        expected = self._announced(request)
        if self._held + expected > self._settings.upload_bytes:
            raise HTTPException(503, "too many uploads at once; try again", _CLOSE | {"Retry-After": "1"})
        self._held += expected
        try:
            body = await self._body(request)
            if kind == "multipart/form-data":
                yield await self._files(request, body)
            elif body:
                yield [Uploaded("image", body)]
            else:
                raise HTTPException(422, "there is no image in the request; send one as its body")
        finally:
            self._held -= expected

    def _announced(self, request: Request) -> int:
        """Bytes that the body will have at most."""
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

    async def _files(self, request: Request, body: bytes) -> list[Uploaded]:
        limit = self._settings.request_images
        whole = Request(request.scope, _replay(body))
        try:
            async with whole.form(max_files=limit, max_fields=limit) as form:
                files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
                found = [Uploaded(file.filename or "image", await file.read()) for file in files]
        except (ValueError, KeyError, LookupError) as error:  # an odd boundary, an unknown character set
            raise HTTPException(400, "the form cannot be read; send multipart/form-data with a boundary") from error
        if not found:
            raise HTTPException(422, "there is no image in the form; send files, as in -F image=@cat.png")
        return found

    def _too_large(self) -> HTTPException:
        megabytes = self._settings.request_bytes / 1e6
        return HTTPException(413, f"the request has more than {megabytes:g} MB; send fewer or smaller images", _CLOSE)


def _replay(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
