"""The pages of the command line, from the parsers of its verbs; and the exit codes, from `bakeoff.errors`."""

import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin

import typer.main

from bakeoff import errors
from bakeoff.cli.app import app
from writers.markdown import code, page, paragraphs, table

ABOUT = """\
Progress and notes go to standard error, results to standard output. `--json`, where a verb has it, prints the result
as JSON, with the fields that the pages of [the files](files.md) name. `bakeoff VERB --help` shows what is here.
"""
GLOBAL = "Options before the verb, as in `bakeoff --debug run photos/`:"
CODES = """\
Scripts may rely on the [exit codes](exit-codes.md) and on the options: one is removed only after a release that says
what to write instead.
"""
EXIT_CODES = """\
What the command line ends with. A line on standard error says what is wrong; `bakeoff --debug VERB` shows the
traceback.
"""
EXCEPTIONS = """\
## Exceptions

In Python, the same faults are exceptions of `bakeoff.errors`. All of them are a `BakeoffError`; any other exception
is a bug in bakeoff: please report it with what `bakeoff info` prints.
"""
WORDS = {str: "text", int: "whole number", float: "number", Path: "path"}

Verb = tuple[tuple[str, ...], Any]


def make_files() -> dict[str, str]:
    """The pages by their path in docs/reference: an index, a page for each group of `bakeoff --help`, exit codes."""
    program = typer.main.get_command(app)
    groups: dict[str, list[Verb]] = {}
    for group, verb in _walk(program):
        groups.setdefault(group, []).append(verb)
    made = {"command-line.md": _index(program, groups), "exit-codes.md": _exit_codes()}
    for group, verbs in groups.items():
        made[_path(group)] = page(group, *(part for verb in verbs for part in _describe(*verb)))
    return made


def _walk(command: Any, path: tuple[str, ...] = (), group: str = "") -> Iterator[tuple[str, Verb]]:
    """Every verb that is shown, with the group of the help that it is in."""
    if not path or hasattr(command, "commands"):
        for name, child in command.commands.items():
            if not child.hidden:
                yield from _walk(child, (*path, name), group or child.rich_help_panel)
    else:
        yield group, (path, command)


def _path(group: str) -> str:
    return f"command-line/{group.lower().replace(' ', '-')}.md"


def _index(program: Any, groups: dict[str, list[Verb]]) -> str:
    parts = []
    for group, verbs in groups.items():
        rows = [
            (f"[`bakeoff {' '.join(path)}`]({_path(group)}#{'-'.join(path)})", _summary(verb)) for path, verb in verbs
        ]
        parts += [f"## {group}", table(["verb", "what it does"], rows)]
    return page("Command line", ABOUT, *parts, "## Before the verb", GLOBAL, _parameters(program), CODES)


def _summary(verb: Any) -> str:
    return paragraphs(verb.help).partition("\n\n")[0]


def _describe(path: tuple[str, ...], verb: Any) -> list[str]:
    """The parts of a page about a verb."""
    arguments = [_name(parameter) for parameter in verb.params if parameter.param_type_name == "argument"]
    usage = " ".join(["bakeoff", *path, *arguments, "[OPTIONS]"])
    # Examples that are a list have blank lines between them for the help; here they would be far apart.
    text = re.sub(r"\n\n(?=- )", "\n", paragraphs(verb.help)).replace("**\n- ", "**\n\n- ")
    return [f"## {' '.join(path)}", code(usage), text, _parameters(verb)]


def _parameters(verb: Any) -> str:
    shown = [each for each in verb.params if not each.hidden and each.name != "help"]
    rows = [(_names(each), _value(each), _default(each), _help(each)) for each in shown]
    return table(["argument or option", "value", "default", "what it does"], rows)


def _name(argument: Any) -> str:
    name = (argument.metavar or argument.name).upper()
    return name if argument.required else f"[{name}]"


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return code(_name(parameter))
    return ", ".join(map(code, (*parameter.opts, *parameter.secondary_opts)))


def _value(parameter: Any) -> str:
    kind = parameter.type_descriptor.annotation
    if get_origin(kind) is list:
        (kind,) = get_args(kind)
    if kind is bool:
        return ""
    if issubclass(kind, Enum):
        return ", ".join(code(member.value) for member in kind)
    least, most = getattr(parameter, "min", None), getattr(parameter, "max", None)
    bounds = "" if least is None else f", {least} or more" if most is None else f", {least} to {most}"
    return WORDS[kind] + bounds


def _default(parameter: Any) -> str:
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    if parameter.required:
        return "required"
    default = parameter.default
    if default is True:
        return code(parameter.opts[0])
    if default is None or default is False or default == "":
        return ""
    return code(default.value if isinstance(default, Enum) else default)


def _help(parameter: Any) -> str:
    text = re.sub(r"(`[^`]*`)|\*", lambda found: found[1] or r"\*", parameter.help or "")
    variable = f" Else `${parameter.envvar}`." if getattr(parameter, "envvar", None) else ""
    return text + variable


def _exit_codes() -> str:
    codes = table(["code", "meaning"], [(str(number), text) for number, text in errors.EXIT_CODES.items()])
    kinds = [getattr(errors, name) for name in errors.__all__]
    rows = [
        (code(kind.__name__), code(kind.__base__.__name__), str(kind.exit_code), kind.__doc__)
        for kind in kinds
        if isinstance(kind, type)
    ]
    exceptions = table(["exception", "is a", "exit code", "when"], rows)
    return page("Exit codes", EXIT_CODES, codes, EXCEPTIONS, exceptions)
