"""The order of the package: a room imports only from the rooms before it, and a module only from those before it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bakeoff

PACKAGE = Path(bakeoff.__file__).parent

# From nothing to everything. A room may import from the rooms before it, as docs/why/architecture.md draws it.
ROOMS = """
    text errors variables files locks machine download runs cache data networks profile training deploy launch report
    study console api cli worker __main__
""".split()  # noqa: SIM905

# The same inside each room, and inside the packages that a room is made of.
INSIDE = {
    "download": "offline remote partial server file",
    "machine": "groups cores memory environment tensorflow",
    "runs": """
        facts plugin default_field config folder events history calibration measures metrics predictions heat_maps
        selective versions record agreement findings paired study_file shipped
    """,
    "runs/config": "metric data model augment optim train run parse read",
    "data": "pixels sources shards mirroring augment order batches views folds checks fonts lettering contact_sheet",
    "data/pixels": "kinds metadata depth colour opened square reading",
    "data/sources": """
        records listing trees groups archives table walk folder_names layout class_names class_folders finder
        image_column split_column columns labels beside images download cifar digits given arrays names
    """,
    "data/shards": "manifest classes edits fit splits columns copies grouping plan writer view reader",
    "data/augment": "mix steps randaugment",
    "data/contact_sheet": "drawing classes entries",
    "data/checks": "lists findings edits deadline near_duplicates leaks alike examine confident labels",
    "networks": """
        graph backbone families table hub plugin find custom_objects lenet efficientnet_lite weights blocks lora kernels
        fuse model count saved examine
    """,
    "networks/hub": "transformer families places formats files facts copied opened unused build packed fetch saved",
    "networks/plugin": "source entries load facts find named travel",
    "networks/weights": """
        torch_file transfer hdf5_bytes hdf5 joined locate keras_file order known match preset load published fetch
    """,
    "profile": "device facts costs predict memory observe store listing",
    "training": """
        weight_copies optimizer replicas inference memory task balance features head views probe folds labels pace
        progress step tryout timing checkpoint tensorboard curve loop run model test again
    """,
    "training/memory": "measure walk predict",
    "deploy": "bundle temperature export explain serve contract",
    "deploy/bundle": "formats facts runtimes opened prediction inputs benchmark",
    "deploy/export": """
        exported_model full_precision convertible threshold parity keras_file saved_model
        onnx_operations onnx_file litert_operations litert_file model_file card folder run
    """,
    "deploy/explain": "grad_cam occlusion heat_maps",
    "deploy/contract": "facts subject features learning cost exports run",
    "deploy/serve": """
        settings responses base64_images uploads metrics batching guard access paths documentation app protocol server
    """,
    "launch": "spare process executor messages run jobs node task cluster",
    "report": """
        board default_field figures bundled class_names facts winner formats template heat_maps gallery evidence
        learning failures coverage certainty why answer tuning summary page page_text verify
    """,
    "report/board": "rows comparing formatting criteria ranking reason fitting table",
    "report/figures": "canvas tradeoff runs predictions coverage agreement tuning",
    "report/verify": "check records views models bundle_facts bundles",
    "study": """
        deciding fields defaults forecast sizes selection default_field space default_spaces run_pool importance
        trials search compare ablate small plan screening planning unnamed settle proposals revise state watcher recipe
        context arrivals provide presets labels request entry begin tune loop
    """,
    "console": "bars data plans live results watch",
    "api": """
        given plain arguments progress results carry_out studies comparisons tuning runs bundles audits networks info
    """,
    "cli": "options output answers contract cache data studies comparing tuning use serving views weights app",
}

# These may load TensorFlow, Keras or Ray when they are imported; the others must not.
HEAVY = (
    "networks/lenet",
    "networks/efficientnet_lite",
    "networks/graph",
    "networks/blocks",
    "networks/lora",
    "networks/kernels",
    "networks/fuse",
    "networks/model",
    "networks/count",
    "networks/examine",
    "training/",
    "deploy/export",
    "deploy/explain",
    "deploy/contract/subject",
    "deploy/contract/features",
    "deploy/contract/learning",
    "deploy/contract/cost",
    "deploy/contract/exports",
    "deploy/contract/run",
)

SOURCES = sorted(PACKAGE.rglob("*.py"))


def _place(module):
    """The path of a module or package inside the package, as `report/board`; None for what is not one."""
    path = PACKAGE / module.replace(".", "/")
    return path.relative_to(PACKAGE).as_posix() if path.is_dir() or path.with_suffix(".py").is_file() else None


def _imports(path):
    """Every module of the package that a file names, at its top or inside its functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "bakeoff":
            module = node.module.removeprefix("bakeoff").removeprefix(".")
            for alias in node.names:
                place = _place(f"{module}.{alias.name}".strip(".")) or (module and _place(module))
                if place:
                    yield place
        elif isinstance(node, ast.Import):
            yield from (_place(alias.name.removeprefix("bakeoff.")) for alias in node.names if "bakeoff." in alias.name)


def _own(path):
    place = path.relative_to(PACKAGE).with_suffix("")
    return (place.parent if place.name == "__init__" else place).as_posix()


def _order_of(folder):
    return INSIDE[folder].split() if folder else ROOMS


def _may_import(own, other):
    """Whether the first part in which two places differ comes later for the one that imports."""
    mine, its = own.split("/"), other.split("/")
    shared = 0
    while shared < min(len(mine), len(its)) and mine[shared] == its[shared]:
        shared += 1
    if shared == len(mine):
        return True  # a package's __init__ gathers what is inside
    if shared == len(its):
        return False  # a module that imports its own package's __init__ closes a circle
    order = _order_of("/".join(mine[:shared]))
    return order.index(its[shared]) < order.index(mine[shared])


def test_every_module_has_its_place_in_the_order():
    for folder in ("", *INSIDE):
        found = {path.stem for path in (PACKAGE / folder).glob("*.py")} - {"__init__"}
        found |= {path.parent.name for path in (PACKAGE / folder).glob("*/__init__.py")}
        assert found == set(_order_of(folder)), folder or "bakeoff"


@pytest.mark.parametrize("path", SOURCES, ids=_own)
def test_a_module_imports_only_from_those_before_it(path):
    own = _own(path)
    if own == ".":
        return  # the package's names are loaded on demand
    assert [other for other in _imports(path) if other != own and not _may_import(own, other)] == []


def test_launching_and_serving_never_import_the_training_code():
    forbidden = ("training", "worker", "deploy/export", "deploy/explain", "networks/model", "networks/fuse")
    for part in ("launch", "deploy/serve", "deploy/bundle"):
        for path in (PACKAGE / part).glob("*.py"):
            assert [other for other in _imports(path) if other.startswith(forbidden)] == [], path


def test_a_light_module_loads_no_tensorflow():
    names = [_own(path).replace("/", ".") for path in SOURCES]
    heavy = tuple(prefix.replace("/", ".") for prefix in HEAVY)
    # Importing __main__ runs the command line.
    light = [name for name in names if not name.startswith(heavy) and name not in (".", "__main__")]
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(f'bakeoff.{name}')\n"
        "    loaded = {'tensorflow', 'keras', 'ray'} & set(sys.modules)\n"
        "    if loaded: sys.exit(f'{name} loads {loaded}')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *light], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_outgrows_one_sitting():
    for path in SOURCES:
        assert len(path.read_text().splitlines()) <= 400, path
