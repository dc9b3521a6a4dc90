"""The routes of the server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from starlette.routing import Route

import bakeoff
from bakeoff.data.pixels import decode
from bakeoff.deploy.bundle import Bundle, Images
from bakeoff.deploy.serve.access import Access, CrossOrigin
from bakeoff.deploy.serve.base64_images import ImageRequest
from bakeoff.deploy.serve.batching import Batcher, BusyError
from bakeoff.deploy.serve.documentation import render_documentation
from bakeoff.deploy.serve.guard import Guard, Responses
from bakeoff.deploy.serve.metrics import ServerMetrics
from bakeoff.deploy.serve.paths import Methods, Prefix
from bakeoff.deploy.serve.responses import Health, ImageAnswer, ModelAnswer, Problem, to_answer
from bakeoff.deploy.serve.settings import Settings
from bakeoff.deploy.serve.uploads import Upload, Uploads
from bakeoff.errors import DataError
from bakeoff.machine import count_cores, release_memory
from bakeoff.runs.config import Fit
from bakeoff.text import counted

__all__ = ["make_app"]

# Between two times at which memory is given back. Each costs the model some milliseconds.
RELEASE_SECONDS = 60.0
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
            "application/json": {"schema": ImageRequest.model_json_schema()},
        },
    }
}
_REASONS = {
    400: "A malformed request",
    401: "The token is missing or wrong",
    408: "The request took too long to arrive",
    413: "The request is too large",
    415: "Neither an image, nor a form, nor JSON",
    500: "The model or the server failed; its log says why",
    503: "The queue is full; see Retry-After",
}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    **{status: {"model": Problem, "description": reason} for status, reason in _REASONS.items()},
    422: {"description": "No image could be read"},
}
_DOWN: dict[int | str, dict[str, Any]] = {503: {"model": Problem, "description": "No; the detail says why"}}


def make_app(bundle: Bundle, settings: Settings, report: Path | None = None) -> FastAPI:
    """Build the application that serves a bundle.

    Args:
        bundle: The opened bundle.
        settings: Address and limits.
        report: The report of the study that the bundle came from, if any.
    """
    metrics = ServerMetrics()
    batcher = Batcher(
        bundle.probabilities,
        batch_images=settings.batch_images,
        waiting_images=settings.waiting_images,
        on_batch=metrics.count_batch,
    )
    metrics.waiting.set_function(lambda: batcher.reserved)
    uploads = Uploads(settings)
    decoders = ThreadPoolExecutor(count_cores(), thread_name_prefix="decode")
    card = (bundle.folder / "model_card.md").read_text(encoding="utf-8")

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(batcher.run()), asyncio.create_task(_release_memory())]
        yield
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        decoders.shutdown(wait=False, cancel_futures=True)

    app = FastAPI(
        title=f"bakeoff: {bundle.facts.candidate}",
        description=f"Classifies images into {counted(len(bundle.class_names), 'class')}.",
        version=bakeoff.__version__,
        lifespan=lifespan,
        # FastAPI's documentation pages load scripts from other servers.
        docs_url=None,
        redoc_url=None,
        # Its redirects contain the address that the proxy sees, not the one that the client sees.
        redirect_slashes=False,
        servers=[{"url": settings.root_path}] if settings.root_path else None,
    )

    app.state.stopping = False

    @app.post("/predict", response_model=list[ImageAnswer], responses=_PROBLEMS, openapi_extra=_BODY)
    async def predict(
        request: Request,
        top: Annotated[int, Query(ge=1, description="Number of classes in each prediction.")] = 5,
    ) -> Any:
        """Predict the classes of an image (the body) or of several (files of a form, base64 in JSON), in their order.

        An image that cannot be read has an error instead of classes. If none can be read, the status is 422.
        """
        try:
            async with uploads.read(request) as uploaded:
                with batcher.reserve(len(uploaded)):
                    answers = await _predict_uploads(uploaded, top)
        except BusyError as error:
            raise HTTPException(
                503, "too many images wait for their prediction; try again", {"Retry-After": "1"}
            ) from error
        metrics.images.labels("answered").inc(sum(answer.error is None for answer in answers))
        metrics.unsure.inc(sum(answer.unsure or False for answer in answers))
        metrics.images.labels("unreadable").inc(sum(answer.error is not None for answer in answers))
        if all(answer.error for answer in answers):
            return JSONResponse([answer.model_dump() for answer in answers], 422)
        return answers

    async def _predict_uploads(uploaded: list[Upload], top: int) -> list[ImageAnswer]:
        loop = asyncio.get_running_loop()
        decode_one = partial(_decode, side=bundle.side, fit=bundle.fit, pixels=settings.image_pixels)
        decoded = await asyncio.gather(*(loop.run_in_executor(decoders, decode_one, upload) for upload in uploaded))
        images = [image for image in decoded if not isinstance(image, str)]
        rows = iter(await batcher.predict(np.stack(images)) if images else ())
        return [
            ImageAnswer(name=upload.name, top=[], error=image)
            if isinstance(image, str)
            else to_answer(upload.name, bundle, next(rows), top)
            for upload, image in zip(uploaded, decoded, strict=True)
        ]

    @app.get("/healthz", responses=_DOWN)
    async def healthz() -> Health:
        """Whether the server is alive, also with too much to do; it is to be restarted otherwise."""
        if not batcher.runs:
            raise HTTPException(503, "the model does not run any more; start the server again")
        return Health(status="ok")

    @app.get("/readyz", responses=_DOWN)
    async def readyz() -> Health:
        """Whether the server can take another image now; requests are to be sent elsewhere otherwise."""
        reasons = {
            "the server stops": app.state.stopping,
            "too many images wait for their prediction": batcher.is_full,
            "the model does not run any more": not batcher.runs,
        }
        for reason, holds in reasons.items():
            if holds:
                raise HTTPException(503, reason, {"Retry-After": "1"})
        return Health(status="ok")

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def show_metrics() -> Response:
        """Counters and latencies in Prometheus' text format."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/model")
    async def model() -> ModelAnswer:
        """The model: the facts of its bundle, its classes, its model card."""
        return ModelAnswer(
            bundle=bundle.facts,
            classes=bundle.labels.classes,
            card=card,
            report=report is not None,
            min_confidence=bundle.min_confidence,
        )

    @app.get("/report", response_class=Response, include_in_schema=report is not None)
    async def show_report() -> Response:
        """The report of the study that trained the model."""
        if report is None or not report.is_file():
            raise HTTPException(404, "there is no report beside this bundle")
        # The report has scripts, so it is sandboxed: its separate origin cannot send requests to this server.
        return FileResponse(
            report, media_type="text/html", headers={"Content-Security-Policy": "sandbox allow-scripts"}
        )

    @app.get("/docs", include_in_schema=False)
    async def documentation(request: Request) -> HTMLResponse:
        address = f"{request.url.scheme}://{request.url.netloc}{settings.root_path}"
        return HTMLResponse(render_documentation(app.openapi(), address))

    _add_page(app)
    _add_middleware(app, settings, metrics)
    return app


async def _release_memory() -> None:
    """Give the system back what large images have left, again and again until cancelled."""
    while True:
        await asyncio.sleep(RELEASE_SECONDS)
        await asyncio.to_thread(release_memory)


def _add_page(app: FastAPI) -> None:
    folder = files("bakeoff.deploy.serve") / "page"
    pages = {
        "/": ("index.html", "text/html"),
        "/page.css": ("page.css", "text/css"),
        "/page.js": ("page.js", "text/javascript"),
    }
    for path, (name, media_type) in pages.items():
        text = (folder / name).read_text(encoding="utf-8")
        response = partial(Response, text, media_type=f"{media_type}; charset=utf-8")
        app.add_api_route(path, _as_handler(response), include_in_schema=False, response_class=Response)


def _as_handler(respond: Callable[[], Response]) -> Callable[[], Awaitable[Response]]:
    async def handle() -> Response:
        return respond()

    return handle


def _add_middleware(app: FastAPI, settings: Settings, metrics: ServerMetrics) -> None:
    methods: dict[str, set[str]] = {}
    for route in app.routes:
        assert isinstance(route, Route)
        methods.setdefault(route.path, set()).update(route.methods or ())

    def count(path: str, status: int, seconds: float) -> None:
        # Other paths share one label, because clients could otherwise create any number of labels.
        metrics.count_request(path if path in methods else "other", status, seconds)

    # The last one added is the first that a request passes.
    app.add_middleware(Methods, methods=methods, root_path=settings.root_path)
    app.add_middleware(Access, settings=settings)
    app.add_middleware(Guard, settings=settings)
    if settings.cors_origins:
        # Before anything is rejected: a page may read why, and a preflight has no token.
        app.add_middleware(CrossOrigin, origins=settings.cors_origins)
    app.add_middleware(Responses, on_response=count)
    app.add_middleware(Prefix, root_path=settings.root_path, paths=methods.keys())


def _decode(upload: Upload, *, side: int, fit: Fit, pixels: int) -> Images | str:
    """The decoded image, or why it cannot be read."""
    try:
        return decode(upload.read(), side, fit, pixels)
    except DataError as error:
        return str(error)
