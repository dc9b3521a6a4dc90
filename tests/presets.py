"""Presets for tests: tiny networks of KerasHub with random weights, saved to a folder as a hub has them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["FAMILIES", "save_preset"]

# Side of the images that the transformers below are built for.
SIDE = 32
SCALE, OFFSET = [1 / 127.5, 1 / 120, 1 / 60], [-1.0, -0.9, -1.8]


def _vit(hub: Any, **changes: Any) -> Any:
    config = {"patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32} | changes
    return hub.models.ViTBackbone(image_shape=(SIDE, SIDE, 3), **config)


def _deit(hub: Any) -> Any:
    return hub.models.DeiTBackbone(
        image_shape=(SIDE, SIDE, 3), patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, intermediate_dim=32
    )


def _dinov2(hub: Any, **changes: Any) -> Any:
    config = {"num_register_tokens": 3, "layer_scale_init_value": 0.5} | changes
    return hub.models.DINOV2Backbone(
        patch_size=8,
        num_layers=2,
        hidden_dim=16,
        num_heads=2,
        intermediate_dim=48,
        image_shape=(SIDE, SIDE, 3),
        position_embedding_shape=(SIDE, SIDE),
        **config,
    )


def _siglip_vision(hub: Any) -> Any:
    return hub.models.SigLIPVisionEncoder(
        patch_size=8, hidden_dim=16, num_layers=2, num_heads=2, intermediate_dim=32, image_shape=(SIDE, SIDE, 3)
    )


def _siglip(hub: Any) -> Any:
    text = hub.models.SigLIPTextEncoder(
        vocabulary_size=30,
        embedding_dim=16,
        hidden_dim=16,
        num_layers=1,
        num_heads=2,
        intermediate_dim=32,
        max_sequence_length=8,
    )
    return hub.models.SigLIPBackbone(vision_encoder=_siglip_vision(hub), text_encoder=text)


def _swin(hub: Any) -> Any:
    return hub.models.SwinTransformerBackbone(
        image_shape=(SIDE, SIDE, 3), embed_dim=8, depths=(2, 2), num_heads=(1, 2), window_size=4, patch_size=4
    )


def _resnet(hub: Any, **changes: Any) -> Any:
    config = {"block_type": "basic_block", "use_pre_activation": False} | changes
    return hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 64, 64],
        stackwise_num_blocks=[1, 1, 1],
        stackwise_num_strides=[1, 2, 2],
        **config,
    )


def _densenet(hub: Any) -> Any:
    return hub.models.DenseNetBackbone(stackwise_num_repeats=[1, 2, 1], growth_rate=8)


def _vgg(hub: Any) -> Any:
    return hub.models.VGGBackbone(stackwise_num_repeats=[1, 1, 2], stackwise_num_filters=[8, 16, 16])


def _efficientnet(hub: Any, kind: str = "v1") -> Any:
    return hub.models.EfficientNetBackbone(
        stackwise_width_coefficients=[1.0] * 2,
        stackwise_depth_coefficients=[1.0] * 2,
        stackwise_kernel_sizes=[3, 3],
        stackwise_num_repeats=[1, 2],
        stackwise_input_filters=[32, 16],
        stackwise_output_filters=[16, 24],
        stackwise_expansion_ratios=[1, 4],
        stackwise_strides=[1, 2],
        stackwise_squeeze_and_excite_ratios=[0.25, 0.25],
        stackwise_block_types=[kind, kind],
        stackwise_force_input_filters=[0, 0],
        stackwise_nores_option=[False, False],
    )


def _mobilenet(hub: Any) -> Any:
    return hub.models.MobileNetBackbone(
        stackwise_expansion=[[40, 56], [64, 144]],
        stackwise_num_blocks=[2, 2],
        stackwise_num_filters=[[16, 16], [24, 24]],
        stackwise_kernel_size=[[3, 3], [5, 5]],
        stackwise_num_strides=[[2, 1], [2, 1]],
        stackwise_se_ratio=[[None, None], [0.25, 0.25]],
        stackwise_activation=[["relu", "relu"], ["hard_swish", "hard_swish"]],
        stackwise_padding=[[1, 1], [2, 2]],
        output_num_filters=64,
        input_num_filters=16,
        depthwise_filters=8,
        depthwise_stride=2,
        depthwise_residual=False,
        squeeze_and_excite=0.5,
        last_layer_filter=48,
    )


def _hgnetv2(hub: Any) -> Any:
    return hub.models.HGNetV2Backbone(
        depths=[1, 1],
        embedding_size=8,
        hidden_sizes=[16, 32],
        stem_channels=[3, 8, 8],
        hidden_act="relu",
        use_learnable_affine_block=True,
        stackwise_stage_filters=[[8, 8, 16, 1, 2, 3], [16, 8, 32, 2, 2, 3]],
        apply_downsample=[False, True],
        use_lightweight_conv_block=[False, True],
    )


def _cspnet(hub: Any, **changes: Any) -> Any:
    config = {"stage_type": "csp", "block_type": "dark_block", "stem_pooling": None} | changes
    return hub.models.CSPNetBackbone(
        stem_filters=8,
        stem_kernel_size=3,
        stem_strides=4 if config["stem_pooling"] else 2,
        stem_padding="same",
        stackwise_depth=[1, 2],
        stackwise_strides=[2, 2],
        stackwise_num_filters=[16, 32],
        bottle_ratio=[0.5],
        expand_ratio=[2.0],
        **config,
    )


def _xception(hub: Any) -> Any:
    return hub.models.XceptionBackbone(
        stackwise_conv_filters=[[8, 8], [16, 16], [24, 24], [32]], stackwise_pooling=[False, True, True, False]
    )


FAMILIES: dict[str, Callable[[Any], Any]] = {
    "vit": _vit,
    "vit-averaged": lambda hub: _vit(hub, use_class_token=False, use_mha_bias=False),
    "deit": _deit,
    "dinov2": _dinov2,
    "dinov2-giant": lambda hub: _dinov2(hub, use_swiglu_ffn=True, num_register_tokens=0),
    "siglip": _siglip,
    "siglip-vision": _siglip_vision,
    "swin": _swin,
    "resnet": _resnet,
    "resnet-v2": lambda hub: _resnet(hub, block_type="bottleneck_block", use_pre_activation=True),
    "densenet": _densenet,
    "vgg": _vgg,
    "efficientnet": _efficientnet,
    "efficientnet-edge": lambda hub: _efficientnet(hub, "fused"),
    "efficientnet-unfused": lambda hub: _efficientnet(hub, "unfused"),
    "mobilenet": _mobilenet,
    "hgnetv2": _hgnetv2,
    "cspnet": _cspnet,
    "cspnet-bottleneck": lambda hub: _cspnet(
        hub, stage_type="cs3", block_type="bottleneck_block", stem_pooling="max", groups=2
    ),
    "darknet": lambda hub: _cspnet(hub, stage_type="dark"),
    "xception": _xception,
}


def save_preset(family: str, folder: Path) -> Any:
    """Save a preset of a family, with its converter of images; the network itself."""
    import keras
    import keras_hub

    keras.utils.set_random_seed(1)
    model = FAMILIES[family](keras_hub)
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if weight.dtype != "float32":
            continue
        # All of them differ from what they start with, so that none can be forgotten or be in another's place.
        value = np.asarray(weight) + 0.1 * rng.standard_normal(weight.shape)
        weight.assign(np.abs(value) + 0.5 if weight.name.endswith("variance") else value)
    model.save_to_preset(str(folder))
    converter = keras_hub.layers.ImageConverter(image_size=(SIDE, SIDE), scale=SCALE, offset=OFFSET)
    converter.save_to_preset(str(folder))
    return model
