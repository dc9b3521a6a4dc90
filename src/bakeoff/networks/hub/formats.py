"""The configuration of a preset, in the three forms that there are. It is read as text, and nothing of it is executed.

KerasHub      config.json with a `registered_name`, and image_converter.json
timm          config.json with an `architecture`
Transformers  config.json with a `model_type`, and preprocessor_config.json
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bakeoff.errors import WeightsError
from bakeoff.files import read_json
from bakeoff.networks.hub.families import FAMILIES, TIMM, TRANSFORMERS, from_transformers
from bakeoff.text import counted

__all__ = ["MOST_BYTES", "Description", "UnfinishedError", "read_description", "read_table"]

MOST_BYTES = 4 << 20
# What a configuration may be made of besides numbers and texts: no layer, no function.
_PLAIN_MODULES = ("keras", "keras.dtype_policies", "keras.initializers", "keras.src.dtype_policies.dtype_policy")
_PARTS = {"SigLIPVisionEncoder", "SigLIPTextEncoder"}
_OWN = re.compile(r"(?:keras_hub|keras_nlp)(?:\.[\w.]+)?")


class UnfinishedError(WeightsError):
    """Files of a preset are missing, or not whole, as after a download that was interrupted."""


class Description(NamedTuple):
    """What a preset says of its network."""

    kind: str
    """The class of KerasHub's backbone."""
    config: Mapping[str, Any]
    """What it is built from, in KerasHub's words; of a network of timm its architecture alone."""
    converter: Mapping[str, Any] | None
    """`scale`, `offset`, `image_size` and `interpolation`; None if the preset does not say."""


def read_description(folder: Path, config: Mapping[str, Any]) -> Description:
    """What a preset says of its network.

    Args:
        folder: Its folder.
        config: The table in its config.json.

    Raises:
        WeightsError: It is another kind of network, or asks for code of its own. The message follows the folder's name.
    """
    if "registered_name" in config:
        return _kerashub(folder, config)
    if "architecture" in config:
        return _timm(config)
    if "model_type" in config:
        return _transformers(folder, config)
    raise WeightsError("has a config.json of neither KerasHub nor timm nor Transformers")


def read_table(path: Path) -> dict[str, Any] | None:
    """The table in a JSON file; None if there is no such file."""
    if not path.is_file():
        return None
    if path.stat().st_size > MOST_BYTES:
        raise WeightsError(f"has a {path.name} of more than {MOST_BYTES >> 20} MB, which no preset has")
    try:
        table = read_json(path)
    except (OSError, ValueError) as error:
        raise UnfinishedError(f"has a damaged {path.name} ({error}); download or save the preset again") from error
    if not isinstance(table, dict):
        raise WeightsError(f"has a {path.name} that is no table; download or save the preset again")
    return table


def _kerashub(folder: Path, config: Mapping[str, Any]) -> Description:
    package, _, kind = str(config["registered_name"]).partition(">")
    module = str(config.get("module") or "keras_hub")
    if package not in ("keras_hub", "keras_nlp") or not _OWN.fullmatch(module):
        raise WeightsError(
            f"asks for {config['registered_name']} of {module}, which is not KerasHub's; bakeoff runs no code of a"
            " preset"
        )
    _check_kind(kind)
    _check_plain(config["config"])
    converter = read_table(folder / "image_converter.json")
    if converter is None and (preprocessor := read_table(folder / "preprocessor.json")):
        converter = preprocessor.get("config", {}).get("image_converter")
    return Description(kind, config["config"], _read_converter(converter["config"]) if converter else None)


def _check_kind(kind: str) -> None:
    if kind not in FAMILIES:
        names = sorted({family.name for family in FAMILIES.values()})
        raise WeightsError(f"is a {kind}, and bakeoff knows image networks of these families: {', '.join(names)}")


def _check_plain(config: Any) -> None:
    """Raise WeightsError unless a configuration is made of numbers, texts, and the few objects that networks need."""
    for each in _tables_in(config):
        if "class_name" not in each:
            continue
        kind, module, registered = each["class_name"], str(each.get("module")), each.get("registered_name")
        if kind == "DTypePolicyMap" or "quantiz" in str(kind).lower():
            raise WeightsError("is quantised; give a preset of full precision, or of half")
        if kind in _PARTS and _OWN.fullmatch(module):
            continue
        if module not in _PLAIN_MODULES or registered not in (None, kind) or kind in ("Lambda", "Functional"):
            raise WeightsError(f"asks for {kind} of {module}; bakeoff runs no code of a preset")


def _tables_in(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _tables_in(each)


def _read_converter(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """KerasHub's converter of images, in the form of today: older ones have means and variances."""
    scale, offset, size = config.get("scale"), config.get("offset"), config.get("image_size")
    if "variance" in config and "mean" in config:
        deviations = [float(variance) ** 0.5 for variance in config["variance"]]
        scale = [scale / deviation for deviation in deviations]
        offset = [-mean / deviation for mean, deviation in zip(config["mean"], deviations, strict=True)]
    if "height" in config and "width" in config:
        size = [config["height"], config["width"]]
    return _converter(scale, offset, size, config.get("interpolation"))


def _converter(scale: Any, offset: Any, size: Any, interpolation: Any) -> Mapping[str, Any]:
    def channels(value: Any, otherwise: float) -> list[float]:
        values = value if isinstance(value, list) else [otherwise if value is None else value] * 3
        if len(values) != 3:
            raise WeightsError(f"scales images of {counted(len(values), 'channel')}; bakeoff's have 3")
        return [float(each) for each in values]

    side = size[0] if isinstance(size, (list, tuple)) else size
    kind = "bicubic" if str(interpolation).startswith(("bicubic", "lanczos")) else "bilinear"
    return {
        "scale": channels(scale, 1.0),
        "offset": channels(offset, 0.0),
        "image_size": int(side) if side else None,
        "interpolation": kind,
    }


def _normalise(mean: list[float], std: list[float], size: Any, interpolation: Any, factor: float) -> Mapping[str, Any]:
    """A converter by the means and deviations of PyTorch's world."""
    offset = [-middle / deviation for middle, deviation in zip(mean, std, strict=True)]
    return _converter([factor / deviation for deviation in std], offset, size, interpolation)


def _timm(config: Mapping[str, Any]) -> Description:
    architecture = str(config["architecture"])
    kind = next((kind for start, kind in TIMM.items() if architecture.startswith(start)), None)
    if kind is None:
        known = ", ".join(f"{start}…" for start in TIMM)
        raise WeightsError(f"is {architecture} of timm, which KerasHub cannot convert; it can convert {known}")
    facts = config.get("pretrained_cfg") or {}
    tag = str(facts.get("tag") or "")
    built = {"architecture": architecture, "num_features": config.get("num_features"), "ssld": tag.startswith("ssld")}
    if "input_size" not in facts:
        return Description(kind, built, None)
    channels, *size = facts["input_size"]
    if channels != 3:
        raise WeightsError(f"takes images of {channels} channels; bakeoff's have 3")
    converter = _normalise(facts["mean"], facts["std"], size, facts.get("interpolation"), 1 / 255)
    return Description(kind, built, converter)


def _transformers(folder: Path, config: Mapping[str, Any]) -> Description:
    if "auto_map" in config:
        raise WeightsError("asks for code of its own (auto_map); bakeoff runs no code of a preset")
    kind = TRANSFORMERS.get(str(config["model_type"]))
    if kind is None:
        raise WeightsError(
            f"is a {config['model_type']} of Transformers, and bakeoff knows {', '.join(sorted(TRANSFORMERS))} of them"
        )
    facts = read_table(folder / "preprocessor_config.json")
    converter = None
    if facts is not None:
        size = facts.get("crop_size") or facts.get("size")
        side = (size.get("height") or size.get("shortest_edge")) if isinstance(size, dict) else size
        # Numbers as Pillow has them: 2 is bilinear, 3 bicubic.
        interpolation = {2: "bilinear", 3: "bicubic"}.get(facts.get("resample", 3), "bilinear")
        factor = facts.get("rescale_factor", 1 / 255) if facts.get("do_rescale", True) else 1.0
        plain = not facts.get("do_normalize", True)
        mean = [0.0] * 3 if plain else facts["image_mean"]
        std = [1.0] * 3 if plain else facts["image_std"]
        converter = _normalise(mean, std, side, interpolation, factor)
    return Description(kind, from_transformers(config), converter)
