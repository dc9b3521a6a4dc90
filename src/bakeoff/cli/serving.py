"""The verb that answers over HTTP: serve."""

import importlib.util
import math
from typing import Annotated

import typer

from bakeoff.cli.options import BundleArgument, MinConfidenceOption, ThreadsOption
from bakeoff.cli.output import print_error
from bakeoff.errors import ConfigError, InputError
from bakeoff.variables import TOKEN

__all__ = ["serve"]

LIMITS, PROXY = "Limits", "Behind a proxy"


def serve(
    bundle: BundleArgument,
    *,
    port: Annotated[
        int, typer.Option(metavar="N", help="Port to listen on; 0 takes any that is free.", min=0, max=65535)
    ] = 8000,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; 0.0.0.0 for every network.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            envvar=TOKEN.name,
            help="Bearer token that requests must have; better set in the environment.",
        ),
    ] = None,
    min_confidence: MinConfidenceOption = None,
    threads: ThreadsOption = None,
    max_megabytes: Annotated[
        float, typer.Option(metavar="MB", help="Largest request.", min=0.001, rich_help_panel=LIMITS)
    ] = 10.0,
    max_megapixels: Annotated[
        float, typer.Option(metavar="MP", help="Largest image.", min=0.001, rich_help_panel=LIMITS)
    ] = 25.0,
    max_waiting: Annotated[
        int,
        typer.Option(
            metavar="N", help="Images that may wait; more are refused with status 503.", min=1, rich_help_panel=LIMITS
        ),
    ] = 256,
    timeout: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="For a request, from arrival to answer.", min=0.1, rich_help_panel=LIMITS),
    ] = 30.0,
    keep_alive: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="How long an idle connection is kept; give more than a proxy in front of the server does.",
            min=1,
            rich_help_panel=LIMITS,
        ),
    ] = 75.0,
    root_path: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="Path under which a proxy shows the server, as in /pictures; the proxy may remove it.",
            rich_help_panel=PROXY,
        ),
    ] = "",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST",
            help="Host name that requests may be for: model.example.org, *.example.org, or * for all; may be repeated.",
            show_default="local names if --host is local, else all",
            rich_help_panel=PROXY,
        ),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Origin whose pages may ask: https://example.org, or * for all; may be repeated.",
            show_default="none",
            rich_help_panel=PROXY,
        ),
    ] = None,
    trust_proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="Address or network whose X-Forwarded-For and -Proto are believed, or * for all; may be repeated.",
            show_default="$FORWARDED_ALLOW_IPS, else 127.0.0.1",
            rich_help_panel=PROXY,
        ),
    ] = None,
) -> None:
    """Answer over HTTP: a page to drop pictures on at `/`, `POST /predict`, and more, listed at `/docs`.

    The others are `/model`, `/metrics`, `/healthz` and `/readyz`.

    **Examples**

    - `bakeoff serve bakeoff-cifar100/bundle`

    - `BAKEOFF_TOKEN=secret bakeoff serve bakeoff-cifar100/bundle --host 0.0.0.0`

    - `bakeoff serve bakeoff-cifar100/bundle --root-path /pictures` — behind a proxy; `--allow-host` names hosts
    """
    needed = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"serving needs {' and '.join(missing)}; run pip install 'bakeoff[serve]'")
    from bakeoff.api.arguments import read_optional_share
    from bakeoff.console.bars import draw_bars
    from bakeoff.deploy.bundle import open_bundle
    from bakeoff.deploy.serve import Settings
    from bakeoff.deploy.serve import serve as serve_bundle

    least = read_optional_share("min_confidence", min_confidence)
    for option, value in {"--max-megabytes": max_megabytes, "--max-megapixels": max_megapixels}.items():
        if not math.isfinite(value):
            raise ConfigError(f"{option} takes a finite number, not {value}")
    settings = Settings(
        host=host,
        port=port,
        token=token or None,
        root_path=root_path,
        allowed_hosts=tuple(allow_host or ()),
        cors_origins=tuple(cors_origin or ()),
        trusted_proxies=tuple(trust_proxy or ()),
        request_bytes=round(max_megabytes * 1e6),
        image_pixels=round(max_megapixels * 1e6),
        request_images=min(32, max_waiting),
        waiting_images=max_waiting,
        upload_seconds=min(10.0, timeout),
        request_seconds=timeout,
        idle_seconds=keep_alive,
    )
    if not settings.token and not (settings.is_local and not settings.allowed_hosts):
        print_error(f"note: without --token everybody who reaches {host}, or a proxy before it, can ask this model")
    report = bundle.resolve().parent / "report.html"
    with draw_bars() as move:
        move("opening the bundle", 0, 0)
        opened = open_bundle(bundle, threads, least)
    serve_bundle(
        opened,
        settings,
        report if report.is_file() else None,
        lambda address: print_error(f"serving {bundle} at {address} (Ctrl-C stops)"),
    )
