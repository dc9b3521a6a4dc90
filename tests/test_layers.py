"""The house's one total order: a module imports only from those above it, and TensorFlow comes late."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import bakeoff

PACKAGE = Path(bakeoff.__file__).parent

# From nothing to everything; a module may import from the ones before it. Packages count as one.
ORDER = """
    errors files cache runtime versions config runs
    pixels bundle sources shards augment pipeline doctor
    backbones scratch efficientnet_lite torchfile weights model kernels fuse replicas optim calibration evaluate cost
    task features ema step state checkpoint probe train
    export events worker
    launch board effects figures report study
    sheet serve audit console cli api __main__
""".split()  # noqa: SIM905

# These may load TensorFlow or Keras when they are imported; the others must not.
HEAVY = """
    scratch efficientnet_lite model kernels fuse optim evaluate cost task features ema step probe train export worker
    audit
""".split()  # noqa: SIM905


def _module_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("bakeoff."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.ImportFrom) and node.module == "bakeoff":
            yield from (alias.name for alias in node.names if alias.name != "__version__")
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("bakeoff."))


# Importing the last one would run the command line.
LIGHT = [name for name in ORDER if name not in HEAVY and name != "__main__"]
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" or path.parent != PACKAGE)


def test_every_module_has_its_place_in_the_order():
    assert {_module_of(path) for path in SOURCES} == set(ORDER)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_those_above_it(path):
    own = _module_of(path)
    allowed = set(ORDER[: ORDER.index(own)]) | {own}
    assert set(_imports(path)) <= allowed


def test_launching_and_serving_never_import_the_training_code():
    forbidden = {"task", "features", "probe", "train", "worker", "export", "evaluate", "model"}
    light = [path for part in ("launch", "serve", "bundle") for path in (PACKAGE / part).glob("*.py")]
    for path in light:
        assert not forbidden & set(_imports(path)), path


@pytest.fixture(scope="module")
def loaded():
    """What each light module had loaded of the heavy packages when it was imported after those before it.

    One process for all of them, which ends at the first that loads too much: what it loaded would hide the rest.
    """
    code = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(f"bakeoff.{name}")
    heavy = sorted({"tensorflow", "keras", "ray"} & set(sys.modules))
    print(json.dumps([name, heavy]), flush=True)
    if heavy:
        sys.exit()
"""
    done = subprocess.run([sys.executable, "-c", code, *LIGHT], capture_output=True, text=True, check=False)
    return dict(map(json.loads, done.stdout.splitlines())), done.stderr


@pytest.mark.parametrize("module", LIGHT)
def test_a_light_module_loads_no_tensorflow(module, loaded):
    found, error = loaded
    if module not in found and any(found.values()):
        pytest.skip("one before it loads too much")
    assert found.get(module, error) == []


def test_no_module_outgrows_one_sitting():
    for path in SOURCES:
        assert len(path.read_text().splitlines()) <= 400, path
