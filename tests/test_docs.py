"""What the documentation and `--help` say is what the program takes: commands are parsed, examples are executed."""

import ast
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import typer
import typer.main
from typer.testing import CliRunner

from bakeoff.cli.app import app
from bakeoff.data import augment
from bakeoff.data.shards import open_dataset, prepare
from bakeoff.networks.backbone import build_backbone
from bakeoff.runs.config import Augment, AugmentStep
from test_layers import PACKAGE, ROOMS

ROOT = Path(__file__).parents[1]
FIRST_PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
PAGES = sorted([*FIRST_PAGES, *(ROOT / "docs").rglob("*.md")])
WHY = ROOT / "docs" / "why"
LONGEST_EXAMPLE = 20
# Ten minutes' reading.
MOST_WORDS = 2200
# The folders of the examples' studies: their files are not part of a checkout.
WRITTEN_BY_STUDIES = ("bakeoff-", "OUT/", "/")
# Typer does not name it, and has a click of its own.
UsageError = typer.BadParameter.__base__


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in a language; empty for commands."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every verb with its path."""
    children = getattr(command, "commands", {})
    if not children:
        yield path, command
    for name, child in children.items():
        yield from walk(child, (*path, name))


VERBS = dict(walk(typer.main.get_command(app)))
WRITTEN = [
    (page.name, line.strip())
    for page in PAGES
    for block in blocks(page, "")
    for line in block.replace("\\\n", "").splitlines()
    if line.startswith("bakeoff ")
]
TOLD = [
    (" ".join(path), example)
    for path, verb in VERBS.items()
    for example in re.findall(r"`(bakeoff [^`]+)`", verb.help or "")
]


def parse(line: str) -> Any:
    """A command line through the parser of its verb, which raises where an option or a value is not known."""
    words = shlex.split(line, comments=True)[1:]
    path = max((path for path in VERBS if tuple(words[: len(path)]) == path), key=len)
    return VERBS[path].make_context(" ".join(path), words[len(path) :])


def test_there_is_something_to_parse() -> None:
    assert len(WRITTEN) > 20
    assert {place.split()[0] for place, _ in TOLD} >= {"run", "compare", "tune", "train", "board", "report", "predict"}


@pytest.mark.parametrize(("place", "line"), sorted({*WRITTEN, *TOLD}), ids=lambda value: value)
def test_a_command_is_one_that_the_program_takes(place: str, line: str) -> None:
    assert parse(line).command is not None, place


@pytest.mark.parametrize("line", ["bakeoff board out --sort top1", "bakeoff run --budget", "bakeoff train a b"])
def test_a_command_that_it_does_not_take_is_noticed(line: str) -> None:
    with pytest.raises(UsageError):
        parse(line)


@pytest.mark.parametrize("path", [path for path, verb in VERBS.items() if not verb.hidden], ids=" ".join)
def test_every_verb_has_help_with_an_example_of_itself(path: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, [*path, "--help"])
    assert done.exit_code == 0
    assert "Usage:" in done.output
    examples = re.findall(r"`(bakeoff [^`]+)`", VERBS[path].help or "")
    assert any(example.startswith(" ".join(("bakeoff", *path))) for example in examples)


def test_links_between_pages_lead_somewhere() -> None:
    def anchors(page: Path) -> set[str]:
        titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}

    for page in PAGES:
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            if "://" in target:
                continue
            name, _, anchor = target.partition("#")
            path = (page.parent / name).resolve() if name else page
            assert path.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(path), f"{page.name}: {target}"


def test_links_of_the_site_stay_inside_it() -> None:
    docs = ROOT / "docs"
    for page in docs.rglob("*.md"):
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target.partition("#")[0]).resolve().is_relative_to(docs), f"{page.name}: {target}"


def prose(text: str) -> list[str]:
    """The words that are read one after the other: not code, nor the tables of a reference, which are looked up."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    if text.startswith("<!-- Written by"):
        text = re.sub(r"^\|.*$", "", text, flags=re.MULTILINE)
    return text.split()


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_a_page_takes_ten_minutes_at_most(page: Path) -> None:
    assert len(prose(page.read_text(encoding="utf-8"))) <= MOST_WORDS


def test_the_table_of_extras_has_all_that_are_for_users() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("| extra |")[2].partition("\n\n")[0]
    assert {*extras} - {"build", "dev", "docs"} <= {*re.findall(r"`([a-z]+)`", table)}


def defined_in(nodes: list[ast.stmt]) -> Iterator[tuple[str, list[ast.stmt]]]:
    """The names that statements define, each with the statements inside it."""
    for node in nodes:
        match node:
            case ast.FunctionDef(name=name, body=body) | ast.ClassDef(name=name, body=body):
                yield name, body
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name, []
            case ast.ImportFrom(names=aliases):
                yield from ((alias.asname or alias.name, []) for alias in aliases)


def exists(name: str) -> bool:
    """Whether the sources have a dotted name: a module, or what a module defines, such as a method of its class."""
    path, parts = PACKAGE, name.split(".")
    while parts and (path / parts[0]).is_dir():
        path /= parts.pop(0)
    module = path / "__init__.py"
    if parts and (path / f"{parts[0]}.py").is_file():
        module = path / f"{parts.pop(0)}.py"
    nodes = ast.parse(module.read_text(encoding="utf-8")).body
    for part in parts:
        found = dict(defined_in(nodes))
        if part not in found:
            return False
        nodes = found[part]
    return True


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("data.pixels.decode", True),
        ("report.board", True),
        ("networks.model.Network.model", True),
        ("data.augment.augment_batch", True),
        ("data.pixels.encode", False),
        ("data.pixel.decode", False),
        ("networks.model.Network.models", False),
    ],
)
def test_a_name_is_looked_up_in_the_sources(name: str, there: bool) -> None:
    assert exists(name) is there


def test_the_architecture_names_the_rooms_in_their_order_twice() -> None:
    page = (WHY / "architecture.md").read_text(encoding="utf-8")
    (picture,) = re.findall(r"^```\n( room .*?)^```$", page, re.DOTALL | re.MULTILINE)
    drawn = re.findall(r"^ ([a-z_]+)", picture, re.MULTILINE)
    assert drawn == ["room", *ROOMS]
    table = page.partition("| room | comes in | goes out |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `([a-z_]+)`", table, re.MULTILINE) == ROOMS


def test_the_architecture_names_what_the_sources_have() -> None:
    page = "".join((WHY / name).read_text(encoding="utf-8") for name in ("architecture.md", "one-image.md"))
    named = re.findall(rf"`((?:{'|'.join(ROOMS)})(?:\.\w+)+)", page)
    assert len(named) > 80
    assert [name for name in named if not name.endswith((".html", ".json")) and not exists(name)] == []


def imported_from_bakeoff(source: ast.AST) -> set[str]:
    """The dotted names, inside the package, that a program imports from it."""
    return {
        f"{node.module}.{alias.name}".removeprefix("bakeoff.")
        for node in ast.walk(source)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bakeoff.")
        for alias in node.names
    }


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.name)
def test_a_benchmark_imports_what_the_sources_have(path: Path) -> None:
    imported = imported_from_bakeoff(ast.parse(path.read_text(encoding="utf-8")))
    assert [name for name in sorted(imported) if not exists(name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_files_that_are_there(page: Path) -> None:
    named = set(re.findall(r"[\w./-]+/[\w.-]+\.(?:py|toml|csv|j2)\b", page.read_text(encoding="utf-8")))
    roots = (ROOT, PACKAGE, page.parent)
    missing = [path for path in named if not any((root / path).exists() for root in roots)]
    assert [path for path in missing if not path.startswith(WRITTEN_BY_STUDIES)] == []


def test_the_pages_name_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z]+):", makefile, re.MULTILINE)
    for page in PAGES:
        named = re.findall(r"(?:`|^|&& )make ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert [name for name in named if name not in targets] == [], page.name


def test_a_job_of_make_with_another_budget_is_written_to_another_folder() -> None:
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    (command,) = (line.strip() for line in lines if "/bakeoff run" in line)

    def place(budget: str) -> Any:
        filled = command.replace("$(BIN)/", "").replace("$$data", "digits").replace("$(BUDGET)", budget)
        return parse(filled).params["out"]

    assert place("5m") != place("30m")


@pytest.fixture(scope="module")
def examples() -> dict[str, Any]:
    """The names that the examples of the page about extending define, each block executed by itself."""
    names: dict[str, Any] = {}
    for number, text in enumerate(blocks(ROOT / "docs" / "how-to" / "extend.md", "python")):
        ast.parse(text)
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith(("import", "from"))]
        assert len(lines) <= LONGEST_EXAMPLE, f"example {number} has {len(lines)} lines"
        own: dict[str, Any] = {}
        exec(compile(text, f"extend.md, example {number}", "exec"), own)
        names |= own
    return names


def test_the_network_of_the_docs_builds_and_has_the_parameters_of_its_row(
    examples: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("my_networks")
    module.__dict__.update(examples)
    monkeypatch.setitem(sys.modules, "my_networks", module)
    row = examples["TINY"]
    backbone = build_backbone(row, (32, 32, 3))
    features = backbone(np.zeros((2, 32, 32, 3), np.float32))
    assert features.shape == (2, 32)
    assert backbone.count_params() + 33 * 100 == row.params_total


def test_the_source_of_the_docs_can_be_prepared(examples: dict[str, Any], tmp_path: Path) -> None:
    prepare(examples["Stripes"](), tmp_path / "shards")
    dataset = open_dataset(tmp_path / "shards")
    assert dataset.class_names == ("horizontal", "vertical")
    assert sum(dataset.counts.values()) == 200


def test_the_step_of_the_docs_can_stand_in_a_policy(examples: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    # As if `grey` had its name and its row.
    monkeypatch.setitem(augment._STEPS, AugmentStep.CONTRAST, examples["grey"])
    images = np.random.default_rng(0).integers(0, 256, (400, 8, 8, 3), dtype=np.uint8)
    targets = np.ones((400, 1), np.float32)
    changed, _ = augment.augment_batch(images, targets, np.random.default_rng(1), Augment(policy="contrast"))
    faded = (changed == changed[..., :1]).all(axis=(1, 2, 3))
    assert 20 < faded.sum() < 60
    assert np.array_equal(changed[~faded], images[~faded])


def test_the_notebook_was_executed_from_its_first_cell_to_its_last_and_names_no_place() -> None:
    text = (ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8")
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert all(cell["outputs"] for cell in cells[1:])
    assert not any(output["output_type"] == "error" for cell in cells for output in cell["outputs"])
    assert not re.search(r"(?<![\w<.])/(home|tmp|work|root|Users)/", text)
    source = ast.parse("\n".join("".join(cell["source"]) for cell in cells))
    assert [name for name in sorted(imported_from_bakeoff(source)) if not exists(name)] == []
    assert len(text) < 60_000
