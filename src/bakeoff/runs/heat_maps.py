"""The images that the report shows of a run, and heat maps of where its model looked: `heat-maps.npz`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bakeoff.files import read_arrays, replacing
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.predictions import Predictions

__all__ = ["HeatMaps", "MapMethod", "choose_images", "read_heat_maps", "write_heat_maps"]

# Mistakes, and as many hits.
_EACH = 12


class MapMethod(StrEnum):
    """How heat maps were drawn."""

    GRAD_CAM = "grad-cam"
    OCCLUSION = "occlusion"


@dataclass(frozen=True)
class HeatMaps:
    """Where a model looked for its predictions."""

    method: MapMethod | None
    """None if there are no maps."""
    maps: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    """By image id: how much each part of the square image spoke for the predicted class, (rows, columns), as a share of
    the largest part, which is 255. 0 everywhere if no part did."""
    missing: str = ""
    """Why images have no map; empty if all have one."""


def choose_images(predictions: Predictions) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions of the images to show: the most confident mistakes, and the least confident hits."""
    wrong, right = np.flatnonzero(~predictions.correct), np.flatnonzero(predictions.correct)
    mistakes = wrong[np.argsort(-predictions.confidence[wrong], kind="stable")][:_EACH]
    hits = right[np.argsort(predictions.confidence[right], kind="stable")][:_EACH]
    return mistakes, hits


def read_heat_maps(folder: Path) -> HeatMaps | None:
    """Read the heat maps in a run's folder; None if there are none, or if the file is damaged."""
    try:
        file = read_arrays(RunFolder(folder).heat_maps)
        maps = dict(zip(file["ids"].tolist(), file["maps"], strict=True))
        method, missing = str(file["method"]), str(file["missing"])
        return HeatMaps(MapMethod(method) if method else None, maps, missing)
    except (OSError, ValueError, KeyError):
        return None


def write_heat_maps(folder: Path, heat_maps: HeatMaps) -> None:
    """Write heat maps into a run's folder, atomically."""
    maps = heat_maps.maps
    with replacing(RunFolder(folder).heat_maps) as temporary:
        np.savez_compressed(
            temporary,
            ids=np.array(list(maps), np.str_),
            maps=np.stack(list(maps.values())) if maps else np.empty((0, 1, 1), np.uint8),
            method=np.array(heat_maps.method or ""),
            missing=np.array(heat_maps.missing),
        )
