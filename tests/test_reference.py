"""The pages of the reference are as the code says, and the code says something about everything that they list."""

import ast
import importlib
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

from bakeoff.runs.config import Run
from bakeoff.runs.history import CurvePoint, HistoryRow
from bakeoff.variables import VARIABLES
from factories import make_record
from test_layers import SOURCES

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module("write_reference")


@pytest.fixture
def schemas(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module("writers.schemas")


def test_every_page_and_schema_is_as_the_code_says(writer: ModuleType) -> None:
    made = writer.make_files()
    there = {name: (DOCS / "reference" / name).read_text(encoding="utf-8") for name in writer.find_files()}
    stale = sorted(name for name in made | there if made.get(name) != there.get(name))
    assert stale == [], "run `python docs/write_reference.py`"


def test_every_field_of_a_file_is_described(writer: ModuleType, schemas: ModuleType) -> None:
    kinds = [
        CurvePoint,
        HistoryRow,
        Run,
        *(part.kind for page in writer.files.PAGES.values() for part in page.parts if part.schema),
    ]
    assert [name for kind in kinds if kind for name in schemas.undescribed(kind)] == []


def test_everything_that_python_exports_has_its_place(writer: ModuleType) -> None:
    assert writer.names.find_missing() == set()


def test_every_option_is_described() -> None:
    for page in (DOCS / "reference" / "command-line").glob("*.md"):
        rows = re.findall(r"^\| `.*\|$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert rows
        assert [row for row in rows if row.endswith("|  |")] == [], page.name


def read_schema(name: str) -> Draft202012Validator:
    schema = json.loads((DOCS / "reference" / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


STORED = {"study.json": "study", "record.json": "record", "config.json": "recipe"}


@pytest.mark.parametrize(
    "path",
    [path for name in STORED for path in sorted((Path(__file__).parent / "assets").rglob(name))],
    ids=lambda path: path.relative_to(Path(__file__).parent / "assets").as_posix(),
)
def test_a_file_of_an_older_version_is_valid_by_its_schema(path: Path) -> None:
    assert list(read_schema(STORED[path.name]).iter_errors(json.loads(path.read_text(encoding="utf-8")))) == []


def test_a_schema_allows_new_fields_and_refuses_a_wrong_one() -> None:
    record = make_record("lenet@32", 0.8).model_dump(mode="json", by_alias=True)
    schema = read_schema("record")
    assert schema.is_valid(record | {"of_a_later_version": 1})
    assert not schema.is_valid(record | {"state": "DONE"})
    assert not schema.is_valid({"id": "1f0c5ab3e2d4"})


def test_what_a_kind_and_its_bounds_are_in_words(schemas: ModuleType) -> None:
    def words(kind: Any) -> str:
        schema = TypeAdapter(kind).json_schema()
        return str(schemas.type_of(schema, {}, {}))

    assert words(float | None) == "number or null"
    assert words(tuple[int, ...]) == "list of whole number"
    assert words(tuple[float, float]) == "2 × number"
    assert words(dict[str, str | None]) == "object of (text or null)"
    assert words(dict[str, Any]) == "object"
    assert schemas.range_of({"exclusiveMinimum": 0, "maximum": 1}) == "above 0, up to 1"
    assert schemas.range_of({"minimum": 8, "maximum": 1024}) == "8 to 1,024"


NAMES = {variable.name for variable in VARIABLES}


@pytest.mark.parametrize("path", [path for path in SOURCES if path.name != "variables.py"], ids=str)
def test_a_module_takes_the_names_of_variables_from_the_one_list(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert [text for text in texts if text in NAMES or re.fullmatch(r"BAKEOFF_\w+", text)] == []
    for node in ast.walk(tree):
        match node:
            case (
                ast.Call(func=ast.Attribute(attr="get" | "setdefault", value=read), args=[ast.Constant(), *_])
                | ast.Subscript(value=read, slice=ast.Constant())
            ) if ast.unparse(read) == "os.environ":
                raise AssertionError(ast.unparse(node))


def test_the_documentation_names_variables_that_there_are() -> None:
    for page in (DOCS.parent / "README.md", *DOCS.rglob("*.md")):
        named = set(re.findall(r"\bBAKEOFF_[A-Z_]+\b", page.read_text(encoding="utf-8")))
        assert named <= NAMES, page.name
