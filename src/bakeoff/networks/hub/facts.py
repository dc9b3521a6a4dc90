"""A preset as a `Backbone`: everything that a study needs to know before it builds the network."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bakeoff.errors import WeightsError
from bakeoff.networks.backbone import Affine, Backbone, Features, Origin
from bakeoff.networks.hub.families import FAMILIES, describe_shape, find_design
from bakeoff.networks.hub.files import read_files
from bakeoff.networks.hub.formats import UnfinishedError
from bakeoff.networks.hub.places import find_folder
from bakeoff.networks.hub.transformer import count_multiply_adds, count_parameters

__all__ = ["find_preset"]

# Classes of the head that is counted, as in the table.
_CLASSES = 100
# Side in pixels that is taken for a network of any size whose preset does not say.
_USUAL_SIZE = 224


def find_preset(name: str) -> Backbone:
    """The facts of a preset, from its files on this machine. Imports neither TensorFlow nor KerasHub.

    Args:
        name: `hub:NAME`, `hub:FOLDER`, `hf://OWNER/NAME` or `kaggle://OWNER/MODEL/keras/NAME`.

    Raises:
        ConfigError: There is no such preset or folder.
        UnfinishedError: A file is missing, or not whole.
        WeightsError: It is not on this machine, is no image network, or asks for code of its own.
    """
    folder = find_folder(name)
    if folder is None:
        raise WeightsError(
            f"{name} is not on this machine; fetch it with `bakeoff weights export DIR --networks {name}`, or copy it"
            " from a machine with internet (`bakeoff weights import`)"
        )
    read = (folder, *(folder / title for title in ("config.json", "image_converter.json", "README.md")))
    return _describe(name, folder, tuple(path.stat().st_mtime_ns for path in read if path.exists()))


@functools.lru_cache(maxsize=256)
def _describe(name: str, folder: Path, changed: tuple[int, ...]) -> Backbone:
    """The facts, read again only if a file has changed since: a study asks for them often."""
    del changed
    files = read_files(name, folder)
    described = files.described
    converter = described.converter
    if converter is None:
        raise UnfinishedError(
            f"{name}: {folder} does not say how images are scaled for it; save it with its ImageConverter"
            " (image_converter.json), or add preprocessor_config.json"
        )
    try:
        shape = describe_shape(
            described.kind, described.config, converter["image_size"] or _image_size(described.config)
        )
        design = find_design(described.kind, described.config)
        parameters = count_parameters(design, design.native_size) if design else files.parameters or 0
        multiply_adds = count_multiply_adds(design) if design else None
    except WeightsError as error:
        raise WeightsError(f"{name}: {folder} {error}") from error
    except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError) as error:
        raise WeightsError(f"{name}: {folder} has a config.json that lacks {error}; save it again") from error
    return Backbone(
        name=name,
        family=FAMILIES[described.kind].name,
        builder="bakeoff.networks.hub.build:build_preset",
        scaling=Affine(tuple(converter["scale"]), tuple(converter["offset"])),
        min_size=shape.min_size,
        native_size=shape.native_size,
        params_total=parameters + (design.width + 1 if design else 0) * _CLASSES,
        imagenet_top1=None,
        licence=files.licence,
        weight_origins=(Origin.PRESET,),
        multiply_adds=multiply_adds,
        size_step=shape.size_step,
        features=Features.AVERAGE if files.pooling == "gap" else shape.features,
        source=files.source,
        interpolation=converter["interpolation"],
        one_size=shape.one_size,
        transformer=shape.one_size,  # what learned a vector for each position
        preset=str(folder),
    )


def _image_size(config: Mapping[str, Any]) -> int:
    side = (config.get("image_shape") or [None])[0]
    return int(side) if side else _USUAL_SIZE
