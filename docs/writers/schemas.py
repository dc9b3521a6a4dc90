"""JSON schemas of what is stored, with the docstrings of the code as descriptions; and tables of their fields."""

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Mapping
from functools import cache
from typing import Any, get_args

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from writers.markdown import code, paragraphs, table

DIALECT = "https://json-schema.org/draft/2020-12/schema"
WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
    "object": "object",
    "array": "list",
}
BOUNDS = {
    "minimum": "{} or more",
    "exclusiveMinimum": "above {}",
    "maximum": "up to {}",
    "exclusiveMaximum": "below {}",
}

Schema = dict[str, Any]


def schema_of(kind: Any, title: str) -> Schema:
    """The schema of what this version reads. Fields of later versions are allowed, as the program's contract says."""
    made = TypeAdapter(kind).json_schema(schema_generator=_Described)
    return {"$schema": DIALECT, **made, "title": title}


def as_text(schema: Schema) -> str:
    """A schema as the text of a file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


class _Described(GenerateJsonSchema):
    """Adds what pydantic does not know: docstrings of fields and of an enumeration's members."""

    def model_schema(self, schema: Any) -> Schema:
        made, kind = super().model_schema(schema), schema["cls"]
        if made.get("additionalProperties") is False:
            del made["additionalProperties"]
        said = docstrings(kind)
        for name, field in kind.model_fields.items():
            key = field.alias or name
            if field.exclude:
                made["properties"].pop(key)
            else:
                made["properties"][key].pop("title", None)
                text = said.get(name) or _implied(name, field.annotation)
                made["properties"][key]["description"] = re.sub(r"\bNone\b", "`null`", text)
        return made

    def enum_schema(self, schema: Any) -> Schema:
        made, kind = super().enum_schema(schema), schema["cls"]
        said = docstrings(kind)
        lines = [f"`{member.value}`: {said[member.name]}" for member in kind if member.name in said]
        return made | {"description": "\n".join([inspect.cleandoc(kind.__doc__ or ""), *lines])}


def _implied(name: str, kind: Any) -> str:
    """What a field without a docstring is by its name or by its kind: an interval, or the only kind it may have."""
    if name.endswith("_ci95"):
        return f"95 % interval of `{name.removesuffix('_ci95')}`."
    kinds = [each for each in (get_args(kind) or (kind,)) if each is not type(None)]
    if len(kinds) == 1 and getattr(kinds[0], "__module__", "").startswith("bakeoff"):
        return paragraphs(kinds[0].__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    return ""


@cache
def docstrings(kind: type) -> Mapping[str, str]:
    """The text below each field of a class, or below each member of an enumeration, in one line."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if each.__module__.startswith("bakeoff") and "[" not in each.__name__:
            (node,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
            assert isinstance(node, ast.ClassDef)
            for field, below in zip(node.body, node.body[1:], strict=False):
                match field, below:
                    case (
                        ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]),
                        ast.Expr(value=ast.Constant(value=str(text))),
                    ):
                        found[name] = " ".join(text.split())
    return found


def describe(schema: Schema, name: str = "", *, links: Mapping[str, str]) -> list[str]:
    """What a schema says, as parts of a page: a table of its own fields, then one for each kind of object in them.

    Args:
        schema: The schema, with its definitions.
        name: The definition to describe; empty for the schema itself.
        links: Kinds that are described elsewhere, each with the link to it.
    """
    kinds = schema.get("$defs", {})
    first = kinds[name] if name else schema.get("items", schema)
    first = kinds[first["$ref"].rpartition("/")[2]] if "$ref" in first else first
    parts, todo, done = [field_table(first, kinds, links)], _named(first), set(links)
    while todo:
        kind = todo.pop(0)
        if kind in done or "properties" not in kinds[kind]:
            continue
        done.add(kind)
        text = paragraphs(kinds[kind].get("description", ""))
        parts += [f"### {kind}", text, field_table(kinds[kind], kinds, links)]
        todo = _named(kinds[kind]) + todo
    return parts


def field_table(schema: Schema, kinds: Mapping[str, Schema], links: Mapping[str, str]) -> str:
    """A table of the fields of an object: name, type, default, range, what it is."""
    rows = [
        (code(name), type_of(field, kinds, links), default_of(field), range_of(field), field.get("description", ""))
        for name, field in schema.get("properties", {}).items()
    ]
    return table(["field", "type", "default", "range", "what it is"], rows)


def type_of(schema: Schema, kinds: Mapping[str, Schema], links: Mapping[str, str]) -> str:
    """The type of a field in words; the kind of an object is a link to its table."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if "properties" not in kinds[name]:
            return type_of(kinds[name], kinds, links)
        return f"[{name}]({links.get(name, f'#{name.lower()}')})"
    if "anyOf" in schema:
        found = dict.fromkeys(type_of(one, kinds, links) for one in schema["anyOf"])
        return " or ".join(name for name in found if name != WORDS["integer"] or WORDS["number"] not in found)
    if "enum" in schema:
        return ", ".join(map(code, schema["enum"]))
    if "const" in schema:
        return code(schema["const"])
    if "prefixItems" in schema:
        inner = list(dict.fromkeys(type_of(one, kinds, links) for one in schema["prefixItems"]))
        return f"{len(schema['prefixItems'])} × {' or '.join(inner)}"
    if "items" in schema:
        return f"list of {_several(type_of(schema['items'], kinds, links))}"
    if isinstance(schema.get("additionalProperties"), dict) and schema["additionalProperties"]:
        return f"object of {_several(type_of(schema['additionalProperties'], kinds, links))}"
    return WORDS.get(schema.get("type", ""), "anything")


def _several(kind: str) -> str:
    return f"({kind})" if " or " in kind else kind


def default_of(schema: Schema) -> str:
    """The default of a field as JSON; empty if it has none, and for an object, whose table has the defaults."""
    if "default" not in schema or (isinstance(schema["default"], dict) and schema["default"]):
        return ""
    return code(json.dumps(schema["default"], ensure_ascii=False))


def range_of(schema: Schema) -> str:
    """The bounds of a field in words."""
    for one in (schema, *schema.get("anyOf", ()), schema.get("items", {})):
        if "minimum" in one and "maximum" in one:
            return f"{one['minimum']:,} to {one['maximum']:,}"
        if bounds := [text.format(f"{one[key]:g}") for key, text in BOUNDS.items() if key in one]:
            return ", ".join(bounds)
    return ""


def undescribed(kind: Any) -> list[str]:
    """The fields of a type, and of the types in it, that have no docstring."""
    schema = TypeAdapter(kind).json_schema(schema_generator=_Described)
    kinds = {"": schema, **schema.get("$defs", {})}
    return [
        f"{title}.{name}"
        for title, each in kinds.items()
        for name, field in each.get("properties", {}).items()
        if not field.get("description")
    ]


def _named(schema: Any) -> list[str]:
    """The kinds that a schema refers to, in their order."""
    if isinstance(schema, dict):
        own = [schema["$ref"].rpartition("/")[2]] if "$ref" in schema else []
        return own + [name for key, each in schema.items() if key != "$defs" for name in _named(each)]
    if isinstance(schema, list):
        return [name for each in schema for name in _named(each)]
    return []
