"""Verbs that use a result: export, predict, serve."""

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import bakeoff
from bakeoff.cli.options import DataDirOption, JsonOption
from bakeoff.cli.output import exit_on_interrupt, print_error, print_json, print_line, shown_path
from bakeoff.deploy.bundle import Format, Quantize
from bakeoff.errors import BundleError, ConfigError, InputError
from bakeoff.variables import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bakeoff.deploy.bundle import BundleFacts, Prediction

__all__ = ["export", "predict", "serve"]

BundleArgument = Annotated[Path, typer.Argument(help="The bundle folder of a study.", metavar="BUNDLE")]
MinConfidenceOption = Annotated[
    float | None,
    typer.Option(help="Mark answers of a lower probability as unsure, as in 0.9.", show_default="the bundle's"),
]
ThreadsOption = Annotated[int | None, typer.Option(help="Threads of the model; else one a core.", min=1)]


def export(
    run_dir: Annotated[str, typer.Argument(help="OUT/runs/ID, or OUT of a study that is done.", metavar="RUN")],
    *,
    form: Annotated[Format, typer.Option("--format", help="The form that the model leaves in.")] = Format.KERAS,
    quantize: Annotated[
        Quantize | None, typer.Option(help="Fewer bits: int8 and float16 for onnx and litert, dynamic for litert.")
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(help="Mark answers as unsure below the confidence from which this share was right: 0.98."),
    ] = None,
    min_confidence: Annotated[
        float | None, typer.Option(help="Mark answers of a lower probability as unsure, as in 0.9.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the bundle; else OUT/bundle-FORMAT, OUT/bundle for keras.")
    ] = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a trained run as a bundle: model, class names, card; checked against the run, and timed.

    **Examples**

    - `bakeoff export bakeoff-cifar100 --format onnx`

    - `bakeoff export bakeoff-cifar100/runs/1f0c5ab3e2d4 --format litert --quantize int8 --out phone/`

    - `bakeoff export bakeoff-cifar100 --precision 0.98` — `predict` and `serve` then mark what is unsure
    """
    with exit_on_interrupt("nothing was written"):
        bundle, facts = bakeoff.export(
            run_dir,
            format=form,
            quantize=quantize,
            precision=precision,
            min_confidence=min_confidence,
            out=out,
            data_dir=data_dir,
        )
    if as_json:
        print_json({"bundle": str(shown_path(bundle))} | facts.model_dump(mode="json", by_alias=True))
    else:
        _print_export(shown_path(bundle), facts)


def predict(
    bundle: BundleArgument,
    images: Annotated[
        list[str],
        typer.Argument(help="Image files, folders of them, globs, or - for one image's bytes.", metavar="PATH..."),
    ],
    *,
    top: Annotated[int, typer.Option(help="How many classes to name.", min=1)] = 5,
    min_confidence: MinConfidenceOption = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a row for each class as CSV.")] = False,
) -> None:
    """Name what is on images, likeliest class first. What cannot be read is named, and does not stop the rest.

    **Examples**

    - `bakeoff predict bakeoff-cifar100/bundle cat.png`

    - `bakeoff predict bakeoff-cifar100/bundle-onnx holiday/ "scans/**/*.jpg" --top 1 --csv > named.csv`

    - `curl -s https://example.org/cat.jpg | bakeoff predict bakeoff-cifar100/bundle -`
    """
    from bakeoff.api.bundles import iterate_answers
    from bakeoff.cli.answers import print_csv, print_lines, print_list

    if as_json and as_csv:
        raise ConfigError("--json and --csv exclude each other; give one of them")
    counts = {"all": 0, "unread": 0}
    with exit_on_interrupt("what was printed is complete"):
        # On a terminal the results, printed line by line, already show the progress.
        shows_bar = as_json or not sys.stdout.isatty()
        answers = iterate_answers(
            bundle, images, top=top, min_confidence=min_confidence, threads=threads, progress=shows_bar
        )
        (print_list if as_json else print_csv if as_csv else print_lines)(_count(answers, counts))
    if counts["unread"]:
        raise BundleError(f"{counts['unread']} of {counts['all']} images could not be read; the others were answered")


def serve(
    bundle: BundleArgument,
    *,
    port: Annotated[int, typer.Option(help="0 takes any that is free.", min=0, max=65535)] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every network.")] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(envvar=TOKEN.name, help="Bearer token to ask for; better set in the environment."),
    ] = None,
    min_confidence: MinConfidenceOption = None,
    threads: ThreadsOption = None,
    max_megabytes: Annotated[float, typer.Option(help="Largest request.", min=0.001)] = 10.0,
    max_megapixels: Annotated[float, typer.Option(help="Largest image.", min=0.001)] = 25.0,
    max_waiting: Annotated[int, typer.Option(help="Images that wait; more are turned away with 503.", min=1)] = 256,
    timeout: Annotated[float, typer.Option(help="Seconds for a request, arrival and answer.", min=0.1)] = 30.0,
    keep_alive: Annotated[
        float, typer.Option(help="Seconds that an idle connection is kept; more than a proxy in front keeps it.", min=1)
    ] = 75.0,
    root_path: Annotated[
        str, typer.Option(help="Path under which a proxy shows the server, as in /pictures; the proxy may remove it.")
    ] = "",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Host name that requests may be for: model.example.org, *.example.org, or * for all; may be repeated.",
            show_default="local names if --host is local, else all",
        ),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            help="Origin whose pages may ask: https://example.org, or * for all; may be repeated.", show_default="none"
        ),
    ] = None,
    trust_proxy: Annotated[
        list[str] | None,
        typer.Option(
            help="Address or network whose X-Forwarded-For and -Proto are believed, or * for all; may be repeated.",
            show_default="$FORWARDED_ALLOW_IPS, else 127.0.0.1",
        ),
    ] = None,
) -> None:
    """Answer over HTTP: a page to drop pictures on at /, POST /predict, /model, /metrics, /healthz, /readyz, /docs.

    **Examples**

    - `bakeoff serve bakeoff-cifar100/bundle`

    - `BAKEOFF_TOKEN=… bakeoff serve bakeoff-cifar100/bundle-onnx --host 0.0.0.0 --port 80`

    - `bakeoff serve bakeoff-cifar100/bundle-onnx --root-path /pictures --allow-host model.example.org`
    """
    needed = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"serving needs {' and '.join(missing)}; run pip install 'bakeoff[serve]'")
    from bakeoff.api.arguments import read_optional_share
    from bakeoff.deploy.bundle import open_bundle
    from bakeoff.deploy.serve import Settings
    from bakeoff.deploy.serve import serve as serve_bundle

    least = read_optional_share("min_confidence", min_confidence)
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
    serve_bundle(
        open_bundle(bundle, threads, least),
        settings,
        report if report.is_file() else None,
        lambda address: print_error(f"serving {bundle} at {address} (Ctrl-C stops)"),
    )


def _print_export(bundle: Path, facts: "BundleFacts") -> None:
    assert facts.parity is not None
    assert facts.timing is not None
    timing, found = facts.timing, facts.calibration
    print_line(f"{bundle}: {facts.format_label}, {facts.model_bytes / 1e6:.1f} MB")
    print_line(
        f"  the same class as the run for {facts.parity.agreement:.1%} of {facts.parity.images} validation images,"
        f" {facts.parity.near_agreement:.1%} but for near-ties; probabilities within {facts.parity.worst_gap:.1g}"
    )
    if facts.val is not None:
        low, high = facts.val.top1_ci95
        print_line(
            f"  validation top-1 {facts.val.run_top1:.1%} before, {facts.val.top1:.1%} after"
            f" (95 % interval {low:.1%} to {high:.1%})"
            f"{'; it has learned these images, so only the difference counts' if facts.learned_val else ''}"
        )
    if found is None:
        print_line("  no temperature: it has learned the validation images, on which one is fitted")
    else:
        print_line(
            f"  temperature {found.temperature:.2f}: calibration error {found.ece_before:.3f} before,"
            f" {found.ece_after:.3f} after, on validation{f', of run {found.run}' if found.run else ''}"
        )
    for sentence in facts.threshold.sentences if facts.threshold else ():
        print_line(f"  {sentence}")
    if facts.threshold and found and found.run:
        print_line(f"  the figures on validation are those of run {found.run}, which has not learned these images")
    print_line(
        f"  {timing.batch1_seconds * 1000:.1f} ms for one image, {timing.batch32_seconds * 1000:.0f} ms for 32,"
        f" {timing.threads} threads; first answer after {timing.load_seconds:.1f} s,"
        f" {timing.memory_peak_bytes / 1e6:,.0f} MB at the peak"
    )
    print_line(f"  try: bakeoff predict {bundle} IMAGE    or: bakeoff serve {bundle}")


def _count(answers: "Iterable[Prediction]", counts: dict[str, int]) -> "Iterator[Prediction]":
    """Pass answers on, and count them."""
    for answer in answers:
        counts["all"] += 1
        counts["unread"] += answer.error is not None
        yield answer
