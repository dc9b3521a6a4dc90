"""Vision transformers (Dosovitskiy et al. 2021, arXiv 2010.11929) with layers of Keras alone.

KerasHub's own networks compute the same, but their layers hide their blocks and need KerasHub wherever a model is
opened. Here a block is five layers, `block3_norm1` to `block3_dense2`, so blocks can be frozen and saved models opened.

    images -> patches -> embedding, with the positions and the further tokens as its bias -> blocks -> norm

The scale of a layer in DINOv2 (Touvron et al. 2021, arXiv 2103.17239) is multiplied into the dense layer before it.
"""

from dataclasses import dataclass
from typing import Any

__all__ = ["Design", "build_transformer", "count_multiply_adds", "count_parameters"]


@dataclass(frozen=True)
class Design:
    """What a vision transformer is made of."""

    native_size: int
    """Side in pixels of the images whose positions it learned."""
    patch: int
    """Side of a patch in pixels."""
    depth: int
    """Blocks."""
    heads: int
    width: int
    """Numbers of a token."""
    mlp: int
    """Numbers of a token between the two dense layers of a block."""
    tokens: int
    """Tokens that are no patches: those of the class, of distillation, and registers. They come first."""
    class_tokens: int = 0
    """Those of them that learned positions as patches do: all but registers."""
    epsilon: float = 1e-6
    attention_bias: bool = True
    mlp_bias: bool = True
    gated: bool = False
    """Whether the dense layers of a block are SwiGLU (Shazeer 2020, arXiv 2002.05202)."""
    approximate: bool = False
    """Whether GELU is approximated by tanh."""
    pools: bool = False
    """Whether the tokens become one vector by attention, as in SigLIP (Zhai et al. 2023, arXiv 2303.15343)."""
    dropout: float = 0.0
    attention_dropout: float = 0.0
    antialias: bool = True
    """Whether positions are averaged where the grid of patches becomes coarser."""

    @property
    def hidden(self) -> int:
        """Numbers of a token between the two dense layers; SwiGLU takes two thirds, rounded up to eight."""
        return (int(self.mlp * 2 / 3) + 7) // 8 * 8 if self.gated else self.mlp


def count_parameters(design: Design, size: int) -> int:
    """Parameters of a network for images of `size` x `size` pixels."""
    width = design.width
    positions = (size // design.patch) ** 2 + design.tokens
    attention = 4 * width * width + 4 * width * design.attention_bias
    embedding = 3 * design.patch**2 * width + positions * width
    total = embedding + design.depth * (4 * width + attention + _mlp_parameters(design)) + 2 * width
    if design.pools:
        total += 2 * width + 4 * width * width + 4 * width + 2 * width + _mlp_parameters(design)
    return total


def count_multiply_adds(design: Design) -> int:
    """Multiply-adds for one image of the native size."""
    width, patches = design.width, (design.native_size // design.patch) ** 2
    tokens = patches + design.tokens
    kernels = (3 if design.gated else 2) * width * design.hidden + 4 * width * width
    return tokens * 3 * design.patch**2 * width + design.depth * tokens * (kernels + 2 * tokens * width)


def build_transformer(design: Design, size: int, name: str) -> Any:
    """Build a vision transformer with random weights.

    Args:
        design: What it is made of.
        size: Side of its images in pixels, a multiple of the patch.
        name: The model's name.

    Returns:
        A keras.Model from scaled images (n, size, size, 3) to tokens (n, t, width), or to one vector each (n, width) if
        it pools them.
    """
    import keras
    from keras import layers

    images = keras.Input((size, size, 3), name="image")
    x = _embed(design, size, images)
    if design.dropout:
        x = layers.Dropout(design.dropout, name="embedding_dropout")(x)
    for number in range(1, design.depth + 1):
        x = _block(design, x, f"block{number}")
    x = layers.LayerNormalization(epsilon=1e-6 if design.pools else design.epsilon, name="norm")(x)
    return keras.Model(images, _pool(design, x) if design.pools else x, name=name)


def _mlp_parameters(design: Design) -> int:
    width, hidden = design.width, design.hidden
    if design.gated:
        return 3 * width * hidden + 2 * hidden + width
    return 2 * width * hidden + (hidden + width) * design.mlp_bias


def _embed(design: Design, size: int, images: Any) -> Any:
    """Images (n, size, size, 3) to tokens (n, t, width).

    A convolution whose stride is its kernel is one dense layer over all patches. Its bias has a row for each token: the
    position of a patch, and what further tokens are, for which a patch of zeros is put before the others.
    """
    from keras import layers

    grid, patch = size // design.patch, design.patch
    x = layers.Reshape((grid, patch, grid, 3 * patch), name="patch_rows")(images)
    x = layers.Permute((1, 3, 2, 4), name="patch_columns")(x)
    x = layers.Reshape((grid * grid, 3 * patch * patch), name="patches")(x)
    if design.tokens:
        x = layers.ZeroPadding1D((design.tokens, 0), name="tokens")(x)
    shape = (grid * grid + design.tokens, design.width)
    return layers.EinsumDense("abc,cd->abd", shape, bias_axes="bd", bias_initializer=_positions(), name="embedding")(x)


def _positions() -> Any:
    import keras

    return keras.initializers.RandomNormal(stddev=0.02)


def _block(design: Design, x: Any, name: str) -> Any:
    from keras import layers

    def norm(part: str) -> Any:
        return layers.LayerNormalization(epsilon=design.epsilon, name=f"{name}_{part}")

    attention = layers.MultiHeadAttention(
        design.heads,
        design.width // design.heads,
        use_bias=design.attention_bias,
        dropout=design.attention_dropout,
        name=f"{name}_attention",
    )
    y = norm("norm1")(x)
    y = attention(y, y)
    if design.dropout:
        y = layers.Dropout(design.dropout, name=f"{name}_dropout1")(y)
    x = layers.Add(name=f"{name}_add1")([x, y])
    y = _mlp(design, norm("norm2")(x), name)
    if design.dropout:
        y = layers.Dropout(design.dropout, name=f"{name}_dropout2")(y)
    return layers.Add(name=f"{name}_add2")([x, y])


def _mlp(design: Design, x: Any, name: str) -> Any:
    import keras
    from keras import layers

    def dense(units: int, part: str) -> Any:
        return layers.Dense(units, use_bias=design.mlp_bias, name=f"{name}_{part}")

    if design.gated:
        gate = layers.Activation("silu", name=f"{name}_activation")(dense(design.hidden, "gate")(x))
        y = layers.Multiply(name=f"{name}_gated")([gate, dense(design.hidden, "dense1")(x)])
    elif design.approximate:
        y = keras.ops.gelu(dense(design.hidden, "dense1")(x), approximate=True)
    else:
        y = layers.Activation("gelu", name=f"{name}_activation")(dense(design.hidden, "dense1")(x))
    return dense(design.width, "dense2")(y)


def _pool(design: Design, x: Any) -> Any:
    """Tokens (n, t, width) to (n, width), by the attention of one learned query.

    The query is the bias of a dense layer of zeros: Keras has no layer that is a vector alone.
    """
    from keras import layers

    zeros = layers.Rescaling(0.0, name="pool_zeros")(x[:, :1, :1])
    query = layers.Dense(design.width, name="pool_query")(zeros)
    attention = layers.MultiHeadAttention(design.heads, design.width // design.heads, name="pool_attention")
    x = attention(query, x)
    y = _mlp(design, layers.LayerNormalization(epsilon=design.epsilon, name="pool_norm")(x), "pool")
    return layers.Flatten(name="pool")(layers.Add(name="pool_add")([x, y]))
