"""Looks at a plug-in network: imports it, builds it, checks what it returns, counts what its Backbone does not state.

This runs the user's code, so it runs in a process of its own (`worker.py`). What it finds is kept in the cache.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bakeoff.errors import BakeoffError, ConfigError
from bakeoff.files import expand_home, make_dir, replacing
from bakeoff.networks.backbone import Backbone, Origin
from bakeoff.networks.count import count_multiply_adds
from bakeoff.networks.custom_objects import CustomObject, list_custom_objects
from bakeoff.networks.plugin import (
    FileStamp,
    PluginBuilder,
    PluginFacts,
    import_attribute,
    load_plugin,
    read_source,
    stamp_weights,
    user_errors,
    write_plugin_facts,
)
from bakeoff.networks.weights import WeightsSource, load_weights
from bakeoff.networks.weights.keras_file import open_models
from bakeoff.networks.weights.match import find_next
from bakeoff.runs.plugin import Plugin
from bakeoff.text import counted

__all__ = ["build_checked", "check_backbone", "examine", "find_custom_objects"]

WEIGHTS = "plugin.weights.h5"

Shape = tuple[int | None, int | None, int]


def examine(target: str, folder: Path) -> PluginFacts:
    """Look at a plug-in network, and write its facts and weights.

    Args:
        target: `module:attribute`.
        folder: Where the facts go, as `facts_folder` names it.

    Raises:
        ConfigError: The module, or what it gives, cannot be used.
    """
    module, _, attribute = target.partition(":")
    stated = load_plugin(target)
    # Keras numbers what has no name, and writes the names: the file of weights shall be the same every time.
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    side, build = stated.native_size, PluginBuilder(target)
    origins = stated.weight_origins if stated.weights is None else (Origin.FILE,)
    pretrained = origins != (Origin.NONE,)
    native = build_checked(build, target, (side, side, 3))
    one_size = stated.one_size or (pretrained and not _takes_any_size(build, target))
    objects = find_custom_objects(native, target)
    stamp = None
    if stated.weights is not None:
        backbone = native if one_size else build_checked(build, target, (None, None, 3))
        stamp = _set_weights(backbone, stated, target)
        _save_weights(backbone, make_dir(folder) / WEIGHTS)
    further = tuple(sorted(_find_further(module, read_source(module).modules)))
    source = read_source(module, *further).sha256
    width = int(native.output_shape[-1])
    known = replace(
        stated,
        family=stated.family or target,
        builder=target,
        one_size=one_size,
        # With a head of 100 classes, as of the networks of the table.
        params_total=stated.params_total or int(native.count_params()) + 100 * (width + 1),
        multiply_adds=stated.multiply_adds or count_multiply_adds(native, side),
        weight_origins=origins,
        weights=None if stated.weights is None else WEIGHTS,
        source=source,
        plugin=Plugin(
            module=module,
            attribute=attribute,
            source=source,
            licence=stated.licence,
            from_scratch=not pretrained,
            objects=tuple(each.target for each in objects),
        ),
    )
    facts = PluginFacts(backbone=known, weights_stamp=stamp, further=further)
    write_plugin_facts(folder, facts)
    return facts


def build_checked(build: PluginBuilder, target: str, shape: Shape) -> Any:
    """Build a network and check what its builder returns. Raises ConfigError."""
    with user_errors(f"{target} for an input of {_name_shape(shape)}"):
        backbone = build(shape)
    check_backbone(backbone, target, shape)
    return backbone


def check_backbone(backbone: Any, target: str, shape: Shape) -> None:
    """Raise ConfigError if something is no network without classifier, from float32 images of a shape to features."""

    def refuse(what: str) -> ConfigError:
        return ConfigError(f"{target}: the builder returns {what}")

    wanted = "return a keras.Model from one float32 input to a map (n, h, w, d), tokens (n, t, d) or features (n, d)"
    if not isinstance(backbone, keras.Model):
        raise refuse(f"a {type(backbone).__name__}; {wanted}")
    layers = list(_layers(backbone))
    for model in (backbone, *(layer for layer in layers if isinstance(layer, keras.Model))):
        if not (isinstance(model, keras.Sequential) or hasattr(model, "_run_through_graph")):
            raise refuse(
                f"a model of the class {type(model).__name__}, whose layers are not known; derive that class from"
                " keras.layers.Layer, and make the network by keras.Model(inputs, outputs)"
            )
    if not backbone.built:
        raise refuse("a Sequential without input; begin it with keras.Input(input_shape)")
    if len(backbone.inputs) != 1 or len(backbone.outputs) != 1:
        raise refuse(
            f"{counted(len(backbone.inputs), 'input')} and {counted(len(backbone.outputs), 'output')}; {wanted}"
        )
    (image,), (output,) = backbone.inputs, backbone.outputs
    if tuple(image.shape) != (None, *shape):
        raise refuse(f"an input of {tuple(image.shape)} where {(None, *shape)} was asked for; use its `input_shape`")
    if image.dtype != "float32" or output.dtype != "float32":
        raise refuse(f"{image.dtype} to {output.dtype}; images and features are float32")
    if not 2 <= len(output.shape) <= 4 or output.shape[0] is not None or output.shape[-1] is None:
        raise refuse(f"an output of {tuple(output.shape)}; {wanted}")
    last = backbone.layers[-1]
    if isinstance(last, keras.layers.Softmax) or getattr(last, "activation", None) is keras.activations.softmax:
        raise refuse(f"probabilities ({last.name}); leave the classifier out, bakeoff adds one for the data's classes")
    for layer in layers:
        if isinstance(layer, keras.layers.Lambda):
            raise refuse(
                f"a Lambda layer ({layer.name}), which a saved model cannot hold safely; derive a layer from"
                " keras.layers.Layer"
            )


def _layers(model: Any) -> Iterator[Any]:
    """The layers of a model, and of models inside it."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _layers(layer)


def find_custom_objects(backbone: Any, target: str) -> list[CustomObject]:
    """The layers and functions of a network that are not Keras' own, each of which can be saved and opened again.

    Raises ConfigError if one cannot.
    """
    with user_errors(f"saving {target}"):
        config = keras.saving.serialize_keras_object(backbone)
    objects = list_custom_objects(config)
    for each in objects:
        try:
            import_attribute(each.target)
        except ConfigError as error:
            raise ConfigError(
                f"{target}: {each} is not at the top level of its module, so a saved model could not be opened again;"
                " define it there"
            ) from error
    found = {each.registered: import_attribute(each.target) for each in objects}
    names = ", ".join(map(str, objects)) or "its layers"
    with user_errors(f"opening {target} again ({names}; is everything that __init__ takes in get_config?)"):
        keras.saving.deserialize_keras_object(config, custom_objects=found)
    return objects


def _takes_any_size(build: PluginBuilder, target: str) -> bool:
    try:
        build_checked(build, target, (None, None, 3))
    except ConfigError:
        return False
    return True


def _save_weights(backbone: Any, path: Path) -> None:
    with replacing(path) as temporary:
        # Keras chooses the format by the end of the name.
        whole = temporary.with_name(f"{temporary.stem}.weights.h5")
        backbone.save_weights(whole)
        whole.replace(temporary)


def _set_weights(backbone: Any, stated: Backbone, target: str) -> FileStamp | None:
    """Put the pretrained weights into a network that was just built.

    Returns the stamp of the file that they are from, if they are from one. Raises ConfigError if they cannot be had.
    """
    before = [np.array(weight) for weight in backbone.weights]
    given: object = stated.weights
    stamp = None
    if callable(given):
        with user_errors(f"the weights of {target}"):
            given = given(backbone)
    if isinstance(given, str | Path):
        path = _locate(given, target)
        stamp = stamp_weights(path)
        _load_file(backbone, path, stated, target)
    if all(np.array_equal(old, new) for old, new in zip(before, backbone.weights, strict=True)):
        raise ConfigError(f"{target}: its function of weights changed none; it puts them into the model that it gets")
    if not all(np.isfinite(weight).all() for weight in backbone.weights):
        raise ConfigError(f"{target}: some of its pretrained weights are no numbers")
    return stamp


def _locate(given: str | Path, target: str) -> Path:
    module = sys.modules[target.partition(":")[0]]
    path = Path(str(module.__file__)).parent / expand_home(given)
    if not path.is_file():
        raise ConfigError(f"{target}: there is no file of weights {path}")
    return path


def _load_file(backbone: Any, path: Path, stated: Backbone, target: str) -> None:
    keras_says = ""
    if path.name.endswith(".weights.h5"):
        try:  # layers inside the user's own layers are found by Keras alone
            backbone.load_weights(path)
        except Exception as error:
            keras_says = f" (Keras: {' '.join(str(error).split())[:200]})"
        else:
            _check_depth(backbone, path, target)
            return
    spec = Backbone(name=target, builder=stated.builder, scaling=stated.scaling, family=stated.family)
    try:
        load_weights(backbone, spec, WeightsSource("file", "", path))
    except BakeoffError as error:
        raise ConfigError(f"{error}{keras_says}") from error


def _check_depth(backbone: Any, path: Path, target: str) -> None:
    """Raise ConfigError if a file that Keras has loaded is of a deeper network: Keras takes its first layers."""
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "own.weights.h5"
        backbone.save_weights(own)
        with open_models(own) as (needed, *_), open_models(path) as (stored, *_):
            further = find_next(needed, stored)
    if further:
        raise ConfigError(
            f"{target}: {path} holds more layers of the same kind than the network has, first {further}; give a file"
            " of this network"
        )


def _find_further(module: str, known: dict[str, Path]) -> Iterator[str]:
    """Modules of its own that were imported all the same, under names that were computed."""
    folders = tuple({str(path.parent).rstrip(os.sep) + os.sep for path in known.values()})
    for name, other in list(sys.modules.items()):
        file = getattr(other, "__file__", None)
        if file is None or name in known or name == "__main__" or not str(file).startswith(folders):
            continue
        if name in read_source(module, name).modules:
            yield name


def _name_shape(shape: Shape) -> str:
    height, width, channels = shape
    return f"any size, {channels} channels" if height is None else f"{height}x{width} pixels"
