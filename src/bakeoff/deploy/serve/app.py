"""The paths of the server."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse

import bakeoff
from bakeoff.data.pixels import decode
from bakeoff.deploy.bundle import Bundle, Images
from bakeoff.deploy.serve.answers import Health, ImageAnswer, ModelAnswer, Problem, name_classes
from bakeoff.deploy.serve.batching import Batcher, BusyError
from bakeoff.deploy.serve.documentation import render_documentation
from bakeoff.deploy.serve.guard import Guard
from bakeoff.deploy.serve.metrics import ServerMetrics
from bakeoff.deploy.serve.reading import Uploaded, Uploads
from bakeoff.deploy.serve.settings import Settings
from bakeoff.errors import DataError

__all__ = ["make_app"]

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "image/*": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"image": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            },
        },
    }
}
_WHY = {
    400: "A malformed request",
    401: "No token, or a wrong one",
    408: "The request took too long to arrive",
    413: "Too many bytes",
    415: "Neither an image nor a form",
    503: "The queue is full; see Retry-After",
}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    **{status: {"model": Problem, "description": words} for status, words in _WHY.items()},
    422: {"description": "No image could be read"},
}


def make_app(bundle: Bundle, settings: Settings, report: Path | None = None) -> FastAPI:
    """The application for a bundle. `report` is the page of the study that it came from."""
    metrics = ServerMetrics()
    batcher = Batcher(
        bundle.probabilities,
        batch_images=settings.batch_images,
        waiting_images=settings.waiting_images,
        on_batch=metrics.count_batch,
    )
    metrics.waiting.set_function(lambda: batcher.reserved)
    uploads = Uploads(settings)
    decoders = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode")
    card = (bundle.folder / "model_card.md").read_text(encoding="utf-8")

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        answering = asyncio.create_task(batcher.run())
        yield
        answering.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await answering
        decoders.shutdown(wait=False, cancel_futures=True)

    app = FastAPI(
        title=f"bakeoff: {bundle.facts.candidate}",
        description=f"Names what is on images: {len(bundle.class_names)} classes.",
        version=bakeoff.__version__,
        lifespan=lifespan,
        # FastAPI's own pages load their scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )

    app.state.stopping = False

    @app.post("/predict", response_model=list[ImageAnswer], responses=_PROBLEMS, openapi_extra=_BODY)
    async def predict(
        request: Request,
        top: Annotated[int, Query(ge=1, description="How many classes to name.")] = 5,
    ) -> Any:
        """Name what is on an image (its bytes as the body) or several (files of a form), in the order given.

        An image that cannot be read has an error instead of classes; if none can be read, the status is 422.
        """
        try:
            async with uploads.read(request) as uploaded:
                with batcher.reserve(len(uploaded)):
                    answers = await _answer(uploaded, top)
        except BusyError as error:
            raise HTTPException(503, "too many images are waiting; try again", {"Retry-After": "1"}) from error
        metrics.images.labels("answered").inc(sum(answer.error is None for answer in answers))
        metrics.images.labels("unreadable").inc(sum(answer.error is not None for answer in answers))
        if all(answer.error for answer in answers):
            return JSONResponse([answer.model_dump() for answer in answers], 422)
        return answers

    async def _answer(uploaded: list[Uploaded], top: int) -> list[ImageAnswer]:
        loop = asyncio.get_running_loop()
        read = partial(_decode, side=bundle.side, pixels=settings.image_pixels)
        decoded = await asyncio.gather(*(loop.run_in_executor(decoders, read, one.data) for one in uploaded))
        images = [one for one in decoded if not isinstance(one, str)]
        rows = iter(await batcher.answer(np.stack(images)) if images else ())
        return [
            ImageAnswer(name=one.name, top=[], error=image)
            if isinstance(image, str)
            else ImageAnswer(name=one.name, top=name_classes(bundle.name(next(rows), top)))
            for one, image in zip(uploaded, decoded, strict=True)
        ]

    @app.get("/healthz")
    async def healthz() -> Health:
        """Whether the server takes requests."""
        return Health(status="ok")

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def show_metrics() -> Response:
        """Counts and times in Prometheus' text format."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/model")
    async def model() -> ModelAnswer:
        """What the model is: where it came from, its classes, its card."""
        return ModelAnswer(bundle=bundle.facts, classes=bundle.labels.classes, card=card, report=report is not None)

    @app.get("/report", response_class=Response, include_in_schema=report is not None)
    async def show_report() -> Response:
        """The report of the study that the model came from."""
        if report is None or not report.is_file():
            raise HTTPException(404, "there is no report beside this bundle")
        # A page of its own making, so it gets an origin of its own: it cannot ask this server anything.
        return FileResponse(
            report, media_type="text/html", headers={"Content-Security-Policy": "sandbox allow-scripts"}
        )

    @app.get("/docs", include_in_schema=False)
    async def documentation() -> HTMLResponse:
        return HTMLResponse(render_documentation(app.openapi()))

    _add_page(app)

    paths = {getattr(route, "path", "") for route in app.routes}

    def count(path: str, status: int, seconds: float) -> None:
        # Only paths that there are, or anybody could make up labels without end.
        metrics.count_request(path if path in paths else "other", status, seconds)

    app.add_middleware(Guard, settings=settings, on_answer=count)
    return app


def _add_page(app: FastAPI) -> None:
    folder = files("bakeoff.deploy.serve") / "page"
    pages = {
        "/": ("index.html", "text/html"),
        "/page.css": ("page.css", "text/css"),
        "/page.js": ("page.js", "text/javascript"),
    }
    for path, (name, kind) in pages.items():
        text = (folder / name).read_text(encoding="utf-8")
        response = partial(Response, text, media_type=f"{kind}; charset=utf-8")
        app.add_api_route(path, _always(response), include_in_schema=False, response_class=Response)


def _always(respond: Callable[[], Response]) -> Callable[[], Awaitable[Response]]:
    async def answer() -> Response:
        return respond()

    return answer


def _decode(data: bytes, *, side: int, pixels: int) -> Images | str:
    """The pixels, or why there are none."""
    try:
        return decode(data, side, pixels)
    except DataError as error:
        return str(error)
