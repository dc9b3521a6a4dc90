"""What `bakeoff models --check` prints."""

import typer

import bakeoff
from bakeoff.cli.output import exit_on_interrupt, print_json

__all__ = ["show_contract"]


def show_contract(network: str, as_json: bool) -> None:
    """Try the contract of a network and print what came of it; exit code 1 if a check failed."""
    with exit_on_interrupt("nothing was changed"):
        checks = bakeoff.check_network(network)
    if as_json:
        print_json([check.model_dump(mode="json") for check in checks])
    else:
        from rich.console import Console

        from bakeoff.console.results import render_contract

        Console().print(render_contract(checks))
    if any(check.passed is False for check in checks):
        raise typer.Exit(1)
