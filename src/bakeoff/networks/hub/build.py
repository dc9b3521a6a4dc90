"""Builds a preset's network, and loads its weights. KerasHub is imported here, and only where a file of it is read."""

import contextlib
import sys
from pathlib import Path
from typing import Any

from bakeoff.errors import ConfigError, WeightsError
from bakeoff.networks.hub.copied import copy_weights
from bakeoff.networks.hub.families import FAMILIES, find_design
from bakeoff.networks.hub.files import PresetFiles, read_files, read_shapes
from bakeoff.networks.hub.opened import open_layers
from bakeoff.networks.hub.places import HOW_TO_INSTALL
from bakeoff.networks.hub.transformer import build_transformer
from bakeoff.networks.hub.unused import find_unused, noting_reads
from bakeoff.text import name_some

__all__ = ["build_preset", "load_preset"]

# The families whose layers Keras alone does not have: their saved models open where KerasHub is installed.
_KEPT_WHOLE = ("swin",)

Shape = tuple[int | None, int | None, int]


def build_preset(folder: Path, input_shape: Shape) -> Any:
    """Build the network of a preset with random weights.

    Args:
        folder: The preset's folder.
        input_shape: (height, width, 3); a side of None accepts any size, where the network does.

    Returns:
        A keras.Model from scaled images to a map (n, h, w, d), to tokens (n, t, d) or to one vector each (n, d).

    Raises:
        WeightsError: The preset is damaged.
        ConfigError: KerasHub is needed and not installed.
    """
    files = read_files(folder.name, folder)
    family = FAMILIES[files.described.kind].name
    if design := find_design(files.described.kind, files.described.config):
        return build_transformer(design, input_shape[0] or design.native_size, family)
    model = _open(files, input_shape, weights=False)
    return model if family in _KEPT_WHOLE else open_layers(model, symmetric=_is_pytorchs(files))


def load_preset(backbone: Any, folder: Path) -> int:
    """Load the weights of a preset into its network.

    Args:
        backbone: From `build_preset(folder, ...)`; changed in place.
        folder: The preset's folder.

    Returns:
        Numbers in the weights of KerasHub's network.

    Raises:
        WeightsError: The weights are damaged, or are not those of the configuration. Then nothing was loaded.
        ConfigError: KerasHub is not installed.
    """
    files = read_files(folder.name, folder)
    kind = files.described.kind
    with noting_reads() as read:
        model = _open(files, backbone.input_shape[1:], weights=True)
    stored = [name for path in files.weights if path.suffix == ".safetensors" for name in read_shapes(path)]
    if unused := find_unused(stored, read):
        raise WeightsError(
            f"{folder} has weights of a larger network than its config.json (it has no place for {name_some(unused)});"
            " download or save the preset again"
        )
    needed: int = model.count_params()
    if kind == "SigLIPBackbone":
        model = model.vision_encoder
    try:
        _copy(model, files, backbone)
    except ValueError as error:  # Keras, of a shape that differs
        raise WeightsError(
            f"{folder} has weights of another network than its config.json ({error}); download or save the preset again"
        ) from error
    return needed


def _copy(model: Any, files: PresetFiles, backbone: Any) -> None:
    """Copy the weights of KerasHub's network of images."""
    kind, config, _ = files.described
    if design := find_design(kind, config):
        copy_weights(model, kind, design, backbone)
    elif FAMILIES[kind].name in _KEPT_WHOLE:
        backbone.set_weights(model.get_weights())
    else:
        backbone.set_weights(open_layers(model, copies=True, symmetric=_is_pytorchs(files)).get_weights())


def _is_pytorchs(files: PresetFiles) -> bool:
    """Whether the weights are from timm."""
    return "architecture" in files.described.config


def _open(files: PresetFiles, input_shape: Shape, *, weights: bool) -> Any:
    """KerasHub's own network of a preset, of its native size where that is fixed."""
    try:
        # Its converters print.
        with contextlib.redirect_stdout(sys.stderr):
            from keras_hub.models import Backbone
    except ImportError as error:
        raise ConfigError(f"{files.folder.name}: KerasHub cannot be imported ({error}); {HOW_TO_INSTALL}") from error
    design = find_design(files.described.kind, files.described.config)
    shape = {} if design else {"image_shape": input_shape}
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return Backbone.from_preset(str(files.folder), load_weights=weights, **shape)
    except ImportError as error:  # it imports what a form of presets needs only where it reads one
        raise ConfigError(f"{files.folder.name} needs {error.name}: {HOW_TO_INSTALL}") from error
    except Exception as error:  # KerasHub, h5py and safetensors raise whatever a damaged file leads them to
        reason = " ".join((str(error).strip() or type(error).__name__).split())[:200]
        what = (
            "the weights in it are damaged, or of another network than its config.json"
            if weights
            else "its config.json"
        )
        raise WeightsError(
            f"KerasHub cannot open {files.folder}: {what} ({reason}); download or save the preset again"
        ) from error
