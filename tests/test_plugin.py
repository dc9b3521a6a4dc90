"""Networks of the user's own: found by their names, told apart by their source, and refused with one line."""

import inspect
import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

import bakeoff
from bakeoff.api.arguments import describe_call, read_candidates
from bakeoff.errors import ConfigError, WeightsError
from bakeoff.files import cache_dir, hash_file
from bakeoff.networks import Backbone, Origin, Scaling
from bakeoff.networks.backbone import build_backbone
from bakeoff.networks.count import count_multiply_adds
from bakeoff.networks.find import check_source, find_network, is_known, is_plugin
from bakeoff.networks.model import build_network
from bakeoff.networks.plugin import (
    find_entry,
    find_known,
    forget_plugins,
    import_attribute,
    is_looked_at,
    list_entries,
    name_network,
    read_source,
    stamp_weights,
)
from bakeoff.networks.table import TABLE
from bakeoff.networks.weights import load_weights, locate_weights
from bakeoff.runs.config import Model
from own_networks import NETWORK, SCALE, look_here, write_module
from running import run_cli


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    forget_plugins()
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def source(module: str) -> str:
    return read_source(module).sha256


def test_the_source_of_a_module_is_that_of_all_that_it_imports_beside_it(tmp_path: Path) -> None:
    write_module(tmp_path, "nets", "import parts, numpy\nfrom os import path\nBUILDER = 'layers:build'\n")
    write_module(tmp_path, "parts", "def late():\n    from more import thing\n")
    write_module(tmp_path, "layers", "def build(shape): ...\n")
    write_module(tmp_path, "more", "thing = 1\n")
    write_module(tmp_path, "other", "import nets\n")
    assert list(read_source("nets").files) == ["layers.py", "more.py", "nets.py", "parts.py"]


def test_the_source_of_a_package_is_its_own_modules_alone(tmp_path: Path) -> None:
    write_module(tmp_path, "pack.__init__", "")
    write_module(tmp_path, "pack.inner.__init__", "from ..shared import NUMBER\n")
    write_module(tmp_path, "pack.inner.nets", "from . import layers\nfrom .. import shared\nimport pack.extra\n")
    write_module(tmp_path, "pack.inner.layers", "")
    write_module(tmp_path, "pack.shared", "NUMBER = 1\n")
    write_module(tmp_path, "pack.extra", "")
    write_module(tmp_path, "pack.unused", "")
    files = read_source("pack.inner.nets").files
    assert set(files) == {
        "pack/__init__.py",
        "pack/extra.py",
        "pack/inner/__init__.py",
        "pack/inner/layers.py",
        "pack/inner/nets.py",
        "pack/shared.py",
    }
    assert "pack" not in sys.modules


@pytest.mark.parametrize("edited", ["nets", "parts"])
def test_an_edit_of_any_of_its_files_is_another_source_and_a_move_is_not(
    edited: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_module(tmp_path, "nets", "import parts\n")
    write_module(tmp_path, "parts", "NUMBER = 1\n")
    before = source("nets")
    elsewhere = tmp_path / "elsewhere"
    for name in ("nets", "parts"):
        write_module(elsewhere, name, (tmp_path / f"{name}.py").read_text())
    monkeypatch.chdir(elsewhere)
    assert source("nets") == before
    write_module(elsewhere, edited, (elsewhere / f"{edited}.py").read_text() + "# edited\n")
    assert source("nets") != before


def test_a_module_is_found_on_pythons_path_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_module(tmp_path / "far", "nets", "")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "far")])
    assert list(read_source("nets").files) == ["nets.py"]
    assert str(tmp_path) not in sys.path


def test_what_is_no_python_is_told_with_its_line(tmp_path: Path) -> None:
    write_module(tmp_path, "nets", "import keras\ndef (:\n")
    with pytest.raises(ConfigError, match=r"nets\.py, line 2 is no Python"):
        find_network("nets:NET")


def test_a_module_that_is_not_there_gets_a_hint(tmp_path: Path) -> None:
    write_module(tmp_path, "my_networks", "")
    with pytest.raises(ConfigError, match="did you mean my_networks"):
        find_network("my_network:NET")
    with pytest.raises(ConfigError, match="start bakeoff in the folder that it is in"):
        find_network("zzz:NET")


def test_a_backbone_with_two_facts_has_the_others_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look_here(monkeypatch)
    write_module(tmp_path, "nets", NETWORK)
    assert not is_known("nets:NET")
    spec = find_network("nets:NET")
    assert is_known("nets:NET")
    conv1, conv2 = 3 * 9 * 8, 8 * 9 * 12
    assert spec.params_total == conv1 + 8 + conv2 + 12 + 13 * 100
    assert spec.multiply_adds == 8 * 8 * conv1 + 3 * 3 * conv2
    assert (spec.name, spec.family, spec.licence, spec.source) == ("nets:NET", "nets:NET", "not stated", source("nets"))
    assert spec.from_scratch
    assert spec.plugin is not None
    assert (spec.plugin.module, spec.plugin.attribute, spec.plugin.objects) == ("nets", "NET", ())
    assert build_backbone(spec, (32, 32, 3)).output_shape == (None, 3, 3, 12)
    assert find_network("nets:NET") == spec


def test_a_function_that_returns_a_backbone_is_named_like_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look_here(monkeypatch)
    write_module(tmp_path, "nets", NETWORK + "\n    def make():\n        return NET\n")
    assert find_network("nets:make").params_total == find_network("nets:NET").params_total


def test_a_study_keeps_the_source_that_it_began_with_and_a_run_of_another_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_here(monkeypatch)
    write_module(tmp_path, "nets", NETWORK)
    before = find_network("nets:NET")
    config = Model(name="nets:NET", source=before.source, size=32)
    (tmp_path / "nets.py").write_text((tmp_path / "nets.py").read_text() + "# edited\n")
    assert find_network("nets:NET").source == before.source
    forget_plugins()
    after = find_network("nets:NET")
    assert after.source != before.source
    check_source(before, config)
    with pytest.raises(ConfigError, match="nets:NET has been edited since the run was planned"):
        build_network(after, config, side=8, classes=3)


WRONG = {
    "no name": ("", "has no NET; it has no Backbone; add one"),
    "another name": (
        "from bakeoff.networks import Backbone, Scaling\nTINY = Backbone(builder=print, scaling=Scaling.UNIT)\n",
        "has no NET; it has TINY",
    ),
    "another thing": ("NET = 3\n", "is a int; name a Backbone"),
    "an error on import": ("import keras\n\n1 / 0\n", "import nets fails in .*nets.py, line 3: ZeroDivisionError"),
    "a module that is missing": ("import zzz_missing\n", "line 1: ModuleNotFoundError: No module named 'zzz_missing'"),
    "a script": ("import sys\nsys.exit()\n", "line 2: it ends the program; put"),
    "a builder": ("def NET(shape): ...\n", "takes arguments, as a builder does"),
    "a function of something else": ("def NET():\n    return 3\n", r"NET\(\) returns a int"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_cannot_be_imported_is_one_line_with_its_place(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_here(monkeypatch)
    text, words = WRONG[kind]
    write_module(tmp_path, "nets", text)
    with pytest.raises(ConfigError, match=words) as raised:
        find_network("nets:NET")
    assert "\n" not in str(raised.value)


HEAD = """
import keras
from keras import layers
from bakeoff.networks import Backbone, Scaling

class Odd(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = layers.Dense(3)
    def call(self, x):
        return self.inner(x)

class Forgetful(layers.Layer):
    def __init__(self, width, **settings):
        super().__init__(**settings)
        self.width = width
    def call(self, x):
        return x * self.width
    def get_config(self):
        return super().get_config()

def hidden():
    class Hidden(layers.Layer):
        def call(self, x):
            return x
    return Hidden()

def build(shape):
    images = keras.Input(shape)
    {body}

NET = Backbone(builder=build, scaling=Scaling.UNIT, native_size=32)
"""
BAD_BUILDERS = {
    "none": ("pass", "returns a NoneType; return a keras.Model"),
    "error": ("return layers.Conv2D(8, 99)(images)", r"NET for an input of 32x32 pixels fails in .*nets\.py, line"),
    "own size": ("i = keras.Input((64, 64, 3)); return keras.Model(i, layers.Conv2D(3, 3)(i))", "where .*32, 32, 3"),
    "two outputs": ("return keras.Model(images, [layers.ReLU()(images), images])", "1 input and 2 outputs"),
    "classifier": (
        "return keras.Model(images, layers.Dense(9, activation='softmax')(layers.Flatten()(images)))",
        "probabilities .* leave the classifier out",
    ),
    "rank": ("return keras.Model(images, images[:, None])", "an output of"),
    "half": ("return keras.Model(images, layers.Conv2D(3, 3, dtype='float16')(images))", "features are float32"),
    "lambda": ("return keras.Model(images, layers.Lambda(lambda x: x)(images))", "a Lambda layer"),
    "subclass": ("return Odd()", "a model of the class Odd, whose layers are not known"),
    "subclass inside": ("return keras.Model(images, Odd()(images))", "a model of the class Odd"),
    "config": ("return keras.Model(images, Forgetful(3)(images))", r"opening nets:NET again \(nets\.Forgetful; "),
    "hidden class": ("return keras.Model(images, hidden()(images))", "Hidden is not at the top level of its module"),
}


@pytest.mark.parametrize("kind", BAD_BUILDERS)
def test_what_a_builder_returns_is_checked_at_once(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look_here(monkeypatch)
    body, words = BAD_BUILDERS[kind]
    write_module(tmp_path, "nets", HEAD.replace("{body}", body))
    with pytest.raises(ConfigError, match=words) as raised:
        find_network("nets:NET")
    assert "\n" not in str(raised.value)


def test_layers_of_its_own_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look_here(monkeypatch)
    write_module(tmp_path, "nets", SCALE)
    plugin = find_network("nets:NET").plugin
    assert plugin is not None
    assert plugin.objects == ("nets:Scale",)


FILLED = NETWORK.replace(
    "    NET = ",
    """
    def fill(model):
        for weight in model.weights:
            weight.assign(weight * 0 + 0.5)

    NET = """,
)


@pytest.mark.parametrize("kind", ["function", "file of weights", "file of a classifier"])
def test_pretrained_weights_come_from_a_function_or_a_file(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_here(monkeypatch)
    weights = {"function": "fill", "file of weights": "'a.weights.h5'", "file of a classifier": "'a.keras'"}[kind]
    write_module(tmp_path, "nets", FILLED.replace("=32", f"=32, weights={weights}"))
    if kind != "function":
        write_module(tmp_path, "plain", NETWORK)
        images = keras.Input((32, 32, 3))
        backbone = build_backbone(find_network("plain:NET"), (32, 32, 3))
        backbone.set_weights([np.full(weight.shape, 0.5) for weight in backbone.weights])
        if kind == "file of weights":
            backbone.save_weights(tmp_path / "a.weights.h5")
        else:
            keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten()(backbone(images)))).save(
                tmp_path / "a.keras"
            )
    spec = find_network("nets:NET")
    assert spec.weight_origins == (Origin.FILE,)
    assert not spec.from_scratch
    source = locate_weights(spec, "auto")
    assert source.origin == "plugin"
    assert source.hash == hash_file(source.path)
    fresh = build_backbone(spec, (None, None, 3))
    report = load_weights(fresh, spec, source)
    assert report.matched == report.total == len(fresh.weights)
    assert all(np.all(np.asarray(weight) == 0.5) for weight in fresh.weights)


def test_weights_that_a_function_sets_are_the_same_file_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_here(monkeypatch)
    hashes = set()
    for cache in ("one", "two"):
        monkeypatch.setenv("BAKEOFF_CACHE_DIR", str(tmp_path / cache))
        write_module(tmp_path, "nets", FILLED.replace("=32", "=32, weights=fill"))
        hashes.add(locate_weights(find_network("nets:NET"), "auto").hash)
    assert len(hashes) == 1


def test_a_file_of_weights_that_was_replaced_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look_here(monkeypatch)
    write_module(tmp_path, "plain", NETWORK)
    write_module(tmp_path, "nets", NETWORK.replace("=32", "=32, weights='a.weights.h5'"))
    backbone = build_backbone(find_network("plain:NET"), (32, 32, 3))
    hashes = []
    for value in (0.5, 0.25):
        backbone.set_weights([np.full(weight.shape, value) for weight in backbone.weights])
        backbone.save_weights(tmp_path / "a.weights.h5")
        forget_plugins()
        hashes.append(locate_weights(find_network("nets:NET"), "auto").hash)
    assert hashes[0] != hashes[1]


BLOCKS = """
    import keras
    from bakeoff.networks import Backbone, Scaling

    class Block(keras.layers.Layer):
        def __init__(self, **settings):
            super().__init__(**settings)
            self.dense = keras.layers.Dense(3)

        def build(self, shape):
            self.dense.build(shape)

        def call(self, x):
            return x + self.dense(x)

    def deep(input_shape, depth, head=False):
        x = images = keras.Input(input_shape)
        for number in range(depth):
            x = Block()(x)
        x = keras.layers.LayerNormalization()(x)
        return keras.Model(images, keras.layers.Dense(5)(keras.layers.LayerNormalization()(x)) if head else x)

    def build(input_shape):
        return deep(input_shape, 2)

    NET = Backbone(builder=build, scaling=Scaling.UNIT, native_size=32, weights="a.weights.h5")
"""


def test_a_file_of_weights_with_further_blocks_is_refused_and_a_head_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_here(monkeypatch)
    write_module(tmp_path, "nets", BLOCKS)
    deep = import_attribute("nets:deep")
    deep((32, 32, 3), 4).save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(ConfigError, match="more layers of the same kind than the network has, first block_2"):
        find_network("nets:NET")
    deep((32, 32, 3), 2, head=True).save_weights(tmp_path / "a.weights.h5")
    assert find_network("nets:NET").weight_origins == (Origin.FILE,)
    # Facts of a version that took the deeper file say that it may be imported, and no more.
    plugin = find_network("nets:NET").plugin
    (path,) = cache_dir().glob("networks/*/facts.json")
    facts = json.loads(path.read_text())
    deep((32, 32, 3), 4).save_weights(tmp_path / "a.weights.h5")
    facts["weights_stamp"] = stamp_weights(tmp_path / "a.weights.h5")
    facts.pop("checks", None)
    path.write_text(json.dumps(facts))
    forget_plugins()
    assert find_known(plugin).plugin == plugin
    with pytest.raises(ConfigError, match="more layers of the same kind"):
        find_network("nets:NET")


def test_weights_that_are_not_there_or_change_nothing_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_here(monkeypatch)
    write_module(tmp_path, "nets", NETWORK.replace("=32", "=32, weights='gone.weights.h5'"))
    with pytest.raises(ConfigError, match=r"no file of weights .*gone\.weights\.h5"):
        find_network("nets:NET")
    write_module(tmp_path, "nets", NETWORK.replace("=32", "=32, weights=print"))
    with pytest.raises(ConfigError, match="its function of weights changed none"):
        find_network("nets:NET")


def test_a_file_with_layers_that_are_not_keras_own_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look_here(monkeypatch)
    write_module(tmp_path, "nets", SCALE)
    build_backbone(find_network("nets:NET"), (32, 32, 3)).save(tmp_path / "theirs.keras")
    lenet = find_network("lenet")
    with pytest.raises(WeightsError, match=r"it has nets\.Scale, which are not Keras' own"):
        load_weights(build_backbone(lenet, (32, 32, 3)), lenet, locate_weights(lenet, str(tmp_path / "theirs.keras")))


def offer(folder: Path, package: str, name: str, target: str) -> None:
    """An installed package that offers a network."""
    facts = folder / f"{package}-1.2.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (facts / "entry_points.txt").write_text(f"[bakeoff.networks]\n{name} = {target}\n")


def test_a_network_of_a_package_has_a_plain_name_and_listing_it_imports_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_here(monkeypatch)
    installed = tmp_path / "site-packages"
    write_module(installed, "offered", NETWORK)
    offer(installed, "wide", "wide-net", "offered:NET")
    monkeypatch.setattr(sys, "path", [*sys.path, str(installed)])
    assert [entry for entry in list_entries() if entry.name == "wide-net"] == [
        ("wide-net", "offered:NET", "wide 1.2"),
    ]
    assert not is_known("wide-net")
    row = json.loads(run_cli("models", "--json").stdout)[-1]
    assert (row["name"], row["offered_by"], row["params_total"]) == ("wide-net", "wide 1.2", None)
    assert "wide-net" in run_cli("models").stdout
    assert "offered" not in sys.modules
    spec = find_network("wide-net")
    (row,) = (each for each in bakeoff.models() if each.offered_by)
    assert (row.params_total, row.weights_at_hand) == (spec.params_total, True)
    assert spec.name == "wide-net"
    assert spec.plugin is not None
    assert (spec.plugin.target, spec.plugin.package) == ("offered:NET", "wide 1.2")
    assert is_looked_at("wide-net", find_entry("wide-net"))
    with pytest.raises(ConfigError, match="did you mean wide-net"):
        find_network("wide-nets")


@pytest.mark.parametrize("name", ["wide_net", "wide.net2", "WideNet"])
def test_a_network_of_a_package_is_named_as_it_is_listed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_here(monkeypatch)
    write_module(tmp_path, "offered", NETWORK)
    offer(tmp_path / "site-packages", "wide", name, "offered:NET")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site-packages")])
    (candidate,) = read_candidates("candidates", f"{name}@64")
    entry = find_entry(candidate.name)
    assert entry is not None
    assert (entry.name, entry.target, candidate.size) == (name, "offered:NET", 64)
    assert is_plugin(candidate.name)


def test_two_packages_that_offer_one_name_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path / "site-packages", "wide", "net", "one:NET")
    offer(tmp_path / "site-packages", "wider", "net", "two:NET")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site-packages")])
    offer(tmp_path / "site-packages", "other", "NET", "one:NET")
    for name in ("net", "Net"):
        with pytest.raises(ConfigError, match=r"network of .*wide 1\.2 and wider 1\.2; name one"):
            find_network(name)


def test_an_object_is_named_by_the_module_that_it_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_module(tmp_path, "nets", NETWORK + "\n    def make():\n        return NET\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import nets

    assert name_network(nets.NET) == "nets:NET"
    assert name_network(nets.make) == "nets:make"
    assert name_network(TABLE[0]) == TABLE[0].name
    given = read_candidates("candidates", [nets.NET, "vgg-16@64"])
    assert [str(each) for each in given] == ["nets:NET", "vgg-16@64"]
    assert read_candidates("candidate", nets.NET) == given[:1]
    arguments = {"data": "digits", "candidates": [nets.NET, "vgg-16"], "progress": print}
    defaults = {name: each.default for name, each in inspect.signature(bakeoff.screen).parameters.items()}
    call = describe_call(bakeoff.screen, defaults | arguments)
    assert call == "bakeoff.screen('digits', candidates=['nets:NET', 'vgg-16'])"


def test_an_object_of_the_script_itself_is_refused_with_what_to_do() -> None:
    local = Backbone(builder="keras.applications:VGG16", scaling=Scaling.CAFFE)
    with pytest.raises(ConfigError, match=r"no module has as a name at its top level, .* my_networks\.py"):
        name_network(local)
    main = sys.modules["__main__"]
    main.LOCAL = local
    try:
        with pytest.raises(ConfigError, match="LOCAL is defined in the script or notebook itself"):
            read_candidates("candidates", [local])
    finally:
        del main.LOCAL


@pytest.mark.parametrize("name", ["lenet", "cnn-small", "efficientnet-lite0", "mobilenet-v2"])
def test_multiplications_are_counted_as_the_table_states_them(name: str) -> None:
    row = find_network(name)
    backbone = build_backbone(row, (row.native_size, row.native_size, 3))
    assert count_multiply_adds(backbone, row.native_size) == row.multiply_adds


def test_the_command_line_refuses_a_network_in_one_line(tmp_path: Path) -> None:
    for command in (["run", "digits"], ["screen", "digits"], ["compare", "digits"]):
        done = run_cli(*command, "--candidates", "nowhere:NET")
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "there is no module 'nowhere'" in done.stderr
    assert run_cli("models", "--check", "nowhere:NET").returncode == 2
    assert not list(tmp_path.iterdir())


def test_the_facts_of_a_network_are_imported_without_tensorflow() -> None:
    code = (
        "import sys; from bakeoff.networks import Backbone, Origin, Scaling; import bakeoff.networks.find;"
        " sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_process_of_ours_finds_modules_of_the_current_folder_for_a_named_network_alone(tmp_path: Path) -> None:
    write_module(tmp_path, "nets", "def late():\n    import more\n    return more.NUMBER\n")
    write_module(tmp_path, "more", "NUMBER = 7\n")
    code = """
        import importlib.util, os
        from bakeoff.errors import ConfigError
        from bakeoff.networks.plugin import import_attribute

        assert importlib.util.find_spec("nets") is None
        os.environ["PYTHONSAFEPATH"] = "1"
        try:
            import_attribute("nets:late")
        except ConfigError:
            del os.environ["PYTHONSAFEPATH"]
        assert import_attribute("nets:late")() == 7
    """
    # As `python_command` does.
    command = [sys.executable, "-P", "-c", textwrap.dedent(code)]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
