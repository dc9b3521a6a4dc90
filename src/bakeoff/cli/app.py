"""The application: its verbs put together, and what their exceptions are to the shell."""

import sys
from typing import Annotated

import typer

import bakeoff
from bakeoff.cli import cache, comparing, data, serving, studies, tuning, use, views, weights
from bakeoff.cli.output import escape_what_cannot_be_encoded, print_error, print_line
from bakeoff.errors import BakeoffError

__all__ = ["app", "main"]

app = typer.Typer(
    help="""Which network should I fine-tune for these images, how, and at what cost?

    **Examples**

    - `bakeoff run` — a first try: handwritten digits, which come with it, in ten minutes

    - `bakeoff run photos/ --budget 1h` — your own images, a folder for each class

    - `bakeoff predict bakeoff-photos/bundle new.jpg` — the model that won
    """,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(
    help="""Prepare, show and check images.

    **Example**: `bakeoff data check photos/`
    """,
    no_args_is_help=True,
)
weights_app = typer.Typer(
    help="""Carry pretrained weights to a machine without internet.

    **Examples**

    - `bakeoff weights export weights/` — here

    - `bakeoff weights import weights/` — there
    """,
    no_args_is_help=True,
)
cache_app = typer.Typer(
    help="""List and delete files that can be made again.

    **Example**: `bakeoff cache show`
    """,
    no_args_is_help=True,
)
JOB, LOOK, USE, CARRY = "Do the job", "Look", "Use the model", "Carry things"
for panel, verbs in {
    JOB: (studies.run, studies.screen, comparing.compare, tuning.tune, comparing.train),
    LOOK: (views.board, views.report, views.evaluate, views.verify, views.models, views.info),
    USE: (use.predict, use.export, serving.serve),
}.items():
    for verb in verbs:
        app.command(rich_help_panel=panel)(verb)
data_app.command()(data.prepare)
data_app.command()(data.show)
data_app.command()(data.check)
app.add_typer(data_app, name="data", rich_help_panel=LOOK)
weights_app.command("export")(weights.export)
weights_app.command("import")(weights.import_)
# Earlier names of the two.
weights_app.command("pack", hidden=True)(weights.export)
weights_app.command("use", hidden=True)(weights.import_)
app.add_typer(weights_app, name="weights", rich_help_panel=CARRY)
cache_app.command()(cache.show)
cache_app.command()(cache.clear)
app.add_typer(cache_app, name="cache", rich_help_panel=CARRY)

# Set by --debug before any verb runs.
_settings = {"debug": False}


def _print_version(wanted: bool) -> None:
    if wanted:
        print_line(f"bakeoff {bakeoff.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", help="Print the version and stop.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    _settings["debug"] = debug


def main() -> None:
    """Run the command line; exits with 0, 1, 2, 3 or 130 as documented."""
    escape_what_cannot_be_encoded()
    try:
        app()
    except BakeoffError as error:
        if _settings["debug"]:
            raise
        print_error(str(error))
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        if _settings["debug"] or error.name != "tensorflow":
            raise
        from bakeoff.study.provide import NO_TENSORFLOW

        print_error(NO_TENSORFLOW)
        sys.exit(2)
    except Exception as error:
        if _settings["debug"]:
            raise
        print_error(f"a bug in bakeoff: {type(error).__name__}: {error}; `bakeoff --debug ...` shows the traceback")
        sys.exit(1)
