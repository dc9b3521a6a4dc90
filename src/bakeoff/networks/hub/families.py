"""The families of networks that presets are used of, and what the configuration of each says of its network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bakeoff.errors import WeightsError
from bakeoff.networks.backbone import Features
from bakeoff.networks.hub.transformer import Design

__all__ = ["FAMILIES", "TIMM", "TRANSFORMERS", "Family", "Shape", "describe_shape", "find_design", "from_transformers"]


@dataclass(frozen=True)
class Family:
    """A family of networks of KerasHub, by the class of its backbones."""

    name: str
    folder: str
    """The part of KerasHub that it is in."""
    min_size: int = 32
    """Smallest side of the input in pixels; of a transformer it follows from its configuration."""


FAMILIES = {
    "CSPNetBackbone": Family("cspnet", "cspnet"),
    "DINOV2Backbone": Family("dinov2", "dinov2"),
    "DeiTBackbone": Family("deit", "deit"),
    "DenseNetBackbone": Family("densenet", "densenet"),
    "EfficientNetBackbone": Family("efficientnet", "efficientnet"),
    "HGNetV2Backbone": Family("hgnetv2", "hgnetv2"),
    "MobileNetBackbone": Family("mobilenet", "mobilenet"),
    "ResNetBackbone": Family("resnet", "resnet"),
    "SigLIPBackbone": Family("siglip", "siglip"),
    "SigLIPVisionEncoder": Family("siglip", "siglip"),
    "SwinTransformerBackbone": Family("swin", "swin_transformer"),
    "VGGBackbone": Family("vgg", "vgg"),
    "ViTBackbone": Family("vit", "vit"),
    "XceptionBackbone": Family("inception", "xception", min_size=71),
}

TIMM = {
    "csp": "CSPNetBackbone",
    "dark": "CSPNetBackbone",
    "densenet": "DenseNetBackbone",
    "efficientnet": "EfficientNetBackbone",
    "hgnetv2": "HGNetV2Backbone",
    "mobilenetv3": "MobileNetBackbone",
    "resnet": "ResNetBackbone",
    "vgg": "VGGBackbone",
}
"""The class of KerasHub by how the name of an architecture of timm begins."""

TRANSFORMERS = {
    "deit": "DeiTBackbone",
    "dinov2": "DINOV2Backbone",
    "dinov2_with_registers": "DINOV2Backbone",
    "swin": "SwinTransformerBackbone",
    "vit": "ViTBackbone",
}
"""The class of KerasHub by the `model_type` of Hugging Face's Transformers."""


@dataclass(frozen=True)
class Shape:
    """What a network takes and gives."""

    native_size: int
    min_size: int
    size_step: int
    features: Features
    one_size: bool


def describe_shape(kind: str, config: Mapping[str, Any], image_size: int) -> Shape:
    """What a network takes and gives.

    Args:
        kind: The class of its backbone.
        config: Its configuration, as KerasHub writes it.
        image_size: Side in pixels of the images that its converter makes; used where the network takes any size.
    """
    if kind == "SwinTransformerBackbone":
        native = _side(config)
        unit = config["patch_size"] * 2 ** (len(config["depths"]) - 1)
        window = config["window_size"]
        # In smaller maps windows are smaller, and have other weights.
        least = window * unit if native // unit >= window else native
        return Shape(native, least, unit, Features.AVERAGE, one_size=True)
    if design := find_design(kind, config):
        features = Features.CLASS_TOKEN if design.tokens else Features.AVERAGE
        return Shape(design.native_size, 2 * design.patch, design.patch, features, one_size=True)
    least = FAMILIES[kind].min_size
    # A preset may name a side that is below what the architecture can take.
    return Shape(max(image_size, least), least, 1, Features.AVERAGE, one_size=False)


def find_design(kind: str, config: Mapping[str, Any]) -> Design | None:
    """The design of a vision transformer; None for a network of another kind."""
    match kind:
        case "ViTBackbone":
            return Design(
                native_size=_side(config),
                patch=_patch(config),
                depth=config["num_layers"],
                heads=config["num_heads"],
                width=config["hidden_dim"],
                mlp=config["mlp_dim"],
                tokens=int(config.get("use_class_token", True)),
                class_tokens=int(config.get("use_class_token", True)),
                epsilon=config.get("layer_norm_epsilon", 1e-6),
                attention_bias=config.get("use_mha_bias", True),
                mlp_bias=config.get("use_mlp_bias", True),
                dropout=config.get("dropout_rate", 0.0),
                attention_dropout=config.get("attention_dropout", 0.0),
            )
        case "DeiTBackbone":
            return Design(
                native_size=_side(config),
                patch=_patch(config),
                depth=config["num_layers"],
                heads=config["num_heads"],
                width=config["hidden_dim"],
                mlp=config["intermediate_dim"],
                tokens=2,
                class_tokens=2,
                epsilon=config.get("layer_norm_epsilon", 1e-6),
                attention_bias=config.get("use_mha_bias", True),
                dropout=config.get("dropout_rate", 0.0),
                attention_dropout=config.get("attention_dropout", 0.0),
            )
        case "DINOV2Backbone":
            return Design(
                # The positions that it learned, whatever size it was built for afterwards.
                native_size=config.get("position_embedding_shape", (518, 518))[0],
                patch=_patch(config),
                depth=config["num_layers"],
                heads=config["num_heads"],
                width=config["hidden_dim"],
                mlp=config["intermediate_dim"],
                tokens=1 + config.get("num_register_tokens", 0),
                class_tokens=1,
                gated=config.get("use_swiglu_ffn", False),
                dropout=config.get("dropout_rate", 0.0),
                attention_dropout=config.get("dropout_rate", 0.0),
                antialias=config.get("antialias_in_interpolation", False),
            )
        case "SigLIPBackbone":
            return find_design("SigLIPVisionEncoder", config["vision_encoder"]["config"])
        case "SigLIPVisionEncoder":
            return Design(
                native_size=_side(config),
                patch=_patch(config),
                depth=config["num_layers"],
                heads=config["num_heads"],
                width=config["hidden_dim"],
                mlp=config["intermediate_dim"],
                tokens=0,
                epsilon=config.get("layer_norm_epsilon", 1e-6),
                approximate=config.get("intermediate_activation", "gelu_approximate") == "gelu_approximate",
                pools=True,
            )
    return None


def from_transformers(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of Hugging Face's Transformers in the words of KerasHub, as its converters have them."""
    side = config["image_size"]
    shared = {
        "image_shape": (side, side, 3),
        "patch_size": config["patch_size"],
        "dropout_rate": config.get("hidden_dropout_prob", 0.0),
    }
    if config["model_type"] == "swin":
        return shared | {"depths": config["depths"], "window_size": config["window_size"]}
    shared |= {
        "num_layers": config["num_hidden_layers"],
        "num_heads": config["num_attention_heads"],
        "hidden_dim": config["hidden_size"],
        "attention_dropout": config.get("attention_probs_dropout_prob", 0.0),
    }
    match config["model_type"]:
        case "vit":
            # KerasHub's converter leaves the epsilon at its own default.
            return shared | {"mlp_dim": config["intermediate_size"], "use_mha_bias": config.get("qkv_bias", True)}
        case "deit":
            more = {"intermediate_dim": config["intermediate_size"]}
            return shared | more | {"layer_norm_epsilon": config["layer_norm_eps"]}
    return shared | {
        "position_embedding_shape": (side, side),
        "intermediate_dim": int(config["hidden_size"] * config["mlp_ratio"]),
        "num_register_tokens": config.get("num_register_tokens", 0),
        "use_swiglu_ffn": config["use_swiglu_ffn"],
        "antialias_in_interpolation": config["model_type"] != "dinov2",
    }


def _side(config: Mapping[str, Any]) -> int:
    height, width = config["image_shape"][:2]
    if height != width:
        raise WeightsError(f"takes images of {width} x {height} pixels; bakeoff's are square")
    return int(height)


def _patch(config: Mapping[str, Any]) -> int:
    patch = config["patch_size"]
    height, width = patch if isinstance(patch, (list, tuple)) else (patch, patch)
    if height != width:
        raise WeightsError(f"has patches of {width} x {height} pixels; bakeoff takes square ones")
    return int(height)
