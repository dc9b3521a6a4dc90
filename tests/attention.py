"""Small transformers for tests: of layers of Keras side by side, and of KerasHub's layers with blocks inside them."""

import keras
from keras import layers

from bakeoff.networks import Backbone, Origin, Scaling

__all__ = ["FLAT", "build_dinov2", "build_flat", "build_small", "build_swin", "build_vit"]

SIZE, PATCH, WIDTH, DEPTH = 32, 8, 16, 4


def build_flat(input_shape, depth=DEPTH):
    """A vision transformer without positions, so it takes any size: images (n, h, w, 3) to tokens (n, t, 16)."""
    images = keras.Input(input_shape)
    x = layers.Conv2D(WIDTH, PATCH, strides=PATCH, name="embedding")(images)
    x = layers.Reshape((-1, WIDTH), name="tokens")(x)
    for number in range(1, depth + 1):
        y = layers.LayerNormalization(name=f"block{number}_norm1")(x)
        y = layers.MultiHeadAttention(2, WIDTH // 2, name=f"block{number}_attention")(y, y)
        x = layers.Add(name=f"block{number}_add1")([x, y])
        y = layers.LayerNormalization(name=f"block{number}_norm2")(x)
        y = layers.Dense(2 * WIDTH, activation="gelu", name=f"block{number}_dense1")(y)
        y = layers.Dense(WIDTH, name=f"block{number}_dense2")(y)
        x = layers.Add(name=f"block{number}_add2")([x, y])
    return keras.Model(images, layers.LayerNormalization(name="norm")(x), name="flat")


def build_small(input_shape):
    """The same with two blocks."""
    return build_flat(input_shape, 2)


def build_vit():
    """KerasHub's ViT: an embedding, one encoder with four blocks, images (n, 32, 32, 3) to tokens (n, 17, 16)."""
    from keras_hub.models import ViTBackbone

    return ViTBackbone(
        image_shape=(SIZE, SIZE, 3),
        patch_size=PATCH,
        num_layers=DEPTH,
        num_heads=2,
        hidden_dim=WIDTH,
        mlp_dim=2 * WIDTH,
    )


def build_dinov2():
    """KerasHub's DINOv2, which takes a dictionary, inside a model that takes images."""
    from keras_hub.models import DINOV2Backbone

    inner = DINOV2Backbone(
        patch_size=PATCH,
        num_layers=DEPTH,
        hidden_dim=WIDTH,
        num_heads=2,
        intermediate_dim=2 * WIDTH,
        num_register_tokens=2,
        image_shape=(SIZE, SIZE, 3),
        position_embedding_shape=(2 * SIZE, 2 * SIZE),
    )
    images = keras.Input((SIZE, SIZE, 3))
    return keras.Model(images, inner({"images": images}), name="dinov2")


def build_swin():
    """KerasHub's Swin Transformer: two stages of two blocks each, with a merging of patches between them."""
    from keras_hub.models import SwinTransformerBackbone

    return SwinTransformerBackbone(
        image_shape=(SIZE, SIZE, 3), embed_dim=8, depths=(2, 2), num_heads=(1, 2), window_size=4, patch_size=4
    )


FLAT = Backbone(
    name="flat",
    family="vit",
    builder="attention:build_small",
    scaling=Scaling.SYMMETRIC,
    min_size=PATCH,
    native_size=SIZE,
    params_total=0,
    imagenet_top1=None,
    licence="Apache-2.0",
    weight_origins=(Origin.HUB,),
    hub_file="flat.h5",
    size_step=PATCH,
    transformer=True,
)
