"""The page of a recipe's keys, and of a search space's, from their models and from the default recipes."""

import json
from collections.abc import Iterator
from dataclasses import replace

from bakeoff.networks.find import find_network
from bakeoff.runs.config import Data, Run, Train, WeightsChoice, differences
from bakeoff.study.defaults import default_run
from bakeoff.study.space import Parameter
from writers.markdown import code, page, paragraphs, table
from writers.schemas import Schema, as_text, default_of, field_table, range_of, schema_of, type_of

RECIPE = "schemas/recipe.schema.json"
ABOUT = f"""\
A recipe says everything that the result of a run depends on. It is a TOML or JSON file for `--recipe`; `--set
KEY=VALUE` changes single keys; `runs/ID/config.json` in a study's folder has all keys of a run. A key that is not
known, or a value that is not allowed, is refused before anything starts. Editors that check TOML against a schema can
use [{RECIPE.partition("/")[2]}]({RECIPE}).

```
bakeoff train cifar100 --recipe recipes/cifar100.toml --set train.seconds=600
```

The section of a key says what owns it: the data, the network, the augmentation, the optimiser or the training.
Besides the sections there are two keys at the top of the file: `seed`, and in recipes for `bakeoff compare` also
`candidates`, a list of names as `--candidates` takes them.
"""
DEFAULTS = """\
## What bakeoff sets itself

The defaults above hold for a recipe that you write, and for `bakeoff train`. `run`, `screen`, `compare` and `tune`
start from these instead, by the kind of the network. Where [images must not be
mirrored](../how-to/your-images.md#images-that-must-not-be-mirrored) and nothing names `augment.policy`, `flip` is left
out of it, by `bakeoff train` too. A study also sets the length, and what its plan says.
"""
SPACE = """\
## Keys of a search space

A space for `bakeoff tune --space` is a TOML file with a table `[[parameter]]` for each key that may change. It has
either `choices` or `low` and `high`.
"""
# Of each kind of network one that stands for it.
FIRST = find_network("efficientnet-lite0")
KINDS = {
    "from scratch": find_network("lenet"),
    "pretrained": FIRST,
    "transformer": replace(FIRST, transformer=True),
}


def make_files() -> dict[str, str]:
    """The page and the schema of a recipe by their path in docs/reference."""
    schema = schema_of(Run, "A recipe of bakeoff")
    kinds = schema["$defs"]
    parts = []
    for section, field in schema["properties"].items():
        if "$ref" in field:
            kind = kinds[field["$ref"].rpartition("/")[2]]
            # The first words of its text are the section itself.
            text = kind["description"].partition("`: ")[2]
            parts += [f"## {section}", paragraphs(text[:1].upper() + text[1:]), _keys(section, kind, kinds)]
    seed = table(["key", "type", "default", "what it does"], _rows({"seed": schema["properties"]["seed"]}, kinds))
    made = page("Keys of a recipe", ABOUT, seed, *parts, DEFAULTS, _defaults(), SPACE, _space())
    return {"recipe.md": made, RECIPE: as_text(schema)}


def _keys(section: str, kind: Schema, kinds: dict[str, Schema]) -> str:
    fields = {f"{section}.{name}": field for name, field in kind["properties"].items()}
    return table(["key", "type", "default", "range", "what it does"], _rows(fields, kinds))


def _rows(fields: dict[str, Schema], kinds: dict[str, Schema]) -> Iterator[tuple[str, ...]]:
    for name, field in fields.items():
        default = "" if field.get("default", ...) in (None, ...) else default_of(field)
        kind = type_of(field, kinds, {}).removesuffix(" or null")
        bounds = (range_of(field),) if name != "seed" else ()
        yield (code(name), kind, default, *bounds, field["description"])


def _defaults() -> str:
    """The keys in which the default recipes differ from the defaults of the keys."""
    found = {}
    for kind, spec in KINDS.items():
        run = default_run(spec, spec.native_size, Data(), WeightsChoice(), 0)
        own = differences(Run(train=Train(epochs=1)), run)
        found[kind] = {key: value for key, value in own.items() if key not in ("model.name", "model.size")}
    keys = sorted({key for own in found.values() for key in own})
    rows = [(code(key), *(code(json.dumps(own[key])) if key in own else "" for own in found.values())) for key in keys]
    return table(["key", *found], rows)


def _space() -> str:
    schema = schema_of(Parameter, "")
    return field_table(schema, {}, {}).replace("| field |", "| key |", 1).replace("what it is", "what it does", 1)
