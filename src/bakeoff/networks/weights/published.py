"""The files of ImageNet weights that Keras publishes: where each one is, and its hash as in the sources of Keras.

A table of its own, because Keras tells both only while it builds the network; `tests/test_published.py` compares it
with the Keras that is installed.
"""

from bakeoff.download import Remote
from bakeoff.networks.backbone import Backbone

__all__ = ["file_size", "published_file"]

BASE_URL = "https://storage.googleapis.com/"
# An HDF5 file has more bytes than its numbers: for each tensor up to some thousand of names and empty places.
SPARE_SHARE, SPARE_BYTES = 1.5, 2 << 20

_KERAS = "tensorflow/keras-applications"
_TF = "weights_tf_dim_ordering_tf_kernels"

# By the name in Keras' cache: the folder on the server, and MD5 or SHA-256. Of MobileNet v1 and v2 none is published.
FILES = {
    f"vgg16_{_TF}_notop.h5": (f"{_KERAS}/vgg16", "6d6bbae143d832006294945121d1f1fc"),
    f"vgg19_{_TF}_notop.h5": (f"{_KERAS}/vgg19", "253f8cb515780f3b799900260a226db6"),
    f"resnet50_{_TF}_notop.h5": (f"{_KERAS}/resnet", "4d473c1dd8becc155b73f8504c6f6626"),
    f"resnet101_{_TF}_notop.h5": (f"{_KERAS}/resnet", "88cf7a10940856eca736dc7b7e228a21"),
    f"resnet152_{_TF}_notop.h5": (f"{_KERAS}/resnet", "ee4c566cf9a93f14d82f913c2dc6dd0c"),
    f"resnet50v2_{_TF}_notop.h5": (f"{_KERAS}/resnet", "fac2f116257151a9d068a22e544a4917"),
    f"resnet101v2_{_TF}_notop.h5": (f"{_KERAS}/resnet", "c0ed64b8031c3730f411d2eb4eea35b5"),
    f"resnet152v2_{_TF}_notop.h5": (f"{_KERAS}/resnet", "ed17cf2e0169df9d443503ef94b23b33"),
    f"xception_{_TF}_notop.h5": (f"{_KERAS}/xception", "b0042744bf5b25fce3cb969f33bebb97"),
    f"inception_v3_{_TF}_notop.h5": (f"{_KERAS}/inception_v3", "bcbd6486424b2319ff4ef7d526e38f63"),
    f"inception_resnet_v2_{_TF}_notop.h5": (f"{_KERAS}/inception_resnet_v2", "d19885ff4a710c122648d3b5c3b684e4"),
    f"densenet121_{_TF}_notop.h5": (f"{_KERAS}/densenet", "30ee3e1110167f948a6b9946edeeb738"),
    f"densenet169_{_TF}_notop.h5": (f"{_KERAS}/densenet", "b8c4d4c20dd625c148057b9ff1c1176b"),
    f"densenet201_{_TF}_notop.h5": (f"{_KERAS}/densenet", "c13680b51ded0fb44dff2d8f86ac8bb1"),
    "nasnet_mobile_no_top.h5": (f"{_KERAS}/nasnet", "1ed92395b5b598bdda52abe5c0dbfd63"),
    "nasnet_large_no_top.h5": (f"{_KERAS}/nasnet", "d81d89dc07e6e56530c4e77faddd61b5"),
    "mobilenet_1_0_224_tf_no_top.h5": (f"{_KERAS}/mobilenet", ""),
    f"mobilenet_v2_{_TF}_1.0_224_no_top.h5": (f"{_KERAS}/mobilenet_v2", ""),
    "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5": (
        f"{_KERAS}/mobilenet_v3",
        "d3e8ec802a04aa4fc771ee12a9a9b836",
    ),
    "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5": (
        f"{_KERAS}/mobilenet_v3",
        "07fb09a5933dd0c8eaafa16978110389",
    ),
    "efficientnetb0_notop.h5": ("keras-applications", "50bc09e76180e00e4465e1a485ddc09d"),
    "efficientnetb1_notop.h5": ("keras-applications", "74c4e6b3e1f6a1eea24c589628592432"),
    "efficientnetb2_notop.h5": ("keras-applications", "111f8e2ac8aa800a7a99e3239f7bfb39"),
    "efficientnetb3_notop.h5": ("keras-applications", "af6d107764bb5b1abb91932881670226"),
    "efficientnetb4_notop.h5": ("keras-applications", "ebc24e6d6c33eaebbd558eafbeedf1ba"),
    "efficientnetb5_notop.h5": ("keras-applications", "38879255a25d3c92d5e44e04ae6cec6f"),
    "efficientnetb6_notop.h5": ("keras-applications", "9ecce42647a20130c1f39a5d4cb75743"),
    "efficientnetb7_notop.h5": ("keras-applications", "cbcfe4450ddf6f3ad90b1b398090fe4a"),
    "efficientnetv2-b0_notop.h5": (f"{_KERAS}/efficientnet_v2", "893217f2bb855e2983157299931e43ff"),
    "efficientnetv2-b1_notop.h5": (f"{_KERAS}/efficientnet_v2", "0e80663031ca32d657f9caa404b6ec37"),
    "efficientnetv2-b2_notop.h5": (f"{_KERAS}/efficientnet_v2", "1dfe2e7a5d45b6632553a8961ea609eb"),
    "efficientnetv2-b3_notop.h5": (f"{_KERAS}/efficientnet_v2", "f6abf7b5849ac99a89b50dd3fd532856"),
    "efficientnetv2-s_notop.h5": (f"{_KERAS}/efficientnet_v2", "af0682fb74e8c54910f2d4393339c070"),
    "efficientnetv2-m_notop.h5": (f"{_KERAS}/efficientnet_v2", "1b8dc055df72dde80d614482840fe342"),
    "efficientnetv2-l_notop.h5": (f"{_KERAS}/efficientnet_v2", "b0b66b5c863aef5b46e8608fe1711615"),
    "convnext_tiny_notop.h5": (
        f"{_KERAS}/convnext",
        "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
    ),
    "convnext_small_notop.h5": (
        f"{_KERAS}/convnext",
        "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab",
    ),
    "convnext_base_notop.h5": (
        f"{_KERAS}/convnext",
        "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45",
    ),
    "convnext_large_notop.h5": (
        f"{_KERAS}/convnext",
        "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd",
    ),
    "convnext_xlarge_notop.h5": (
        f"{_KERAS}/convnext",
        "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05",
    ),
}
# Where the server has another name than the cache.
NAMES = {"nasnet_mobile_no_top.h5": "NASNet-mobile-no-top.h5", "nasnet_large_no_top.h5": "NASNet-large-no-top.h5"}


def file_size(spec: Backbone) -> int:
    """Bytes of a network's weights without classifier: as published, else about, from the number of its parameters."""
    return spec.download_bytes or 4 * spec.params_total


def published_file(spec: Backbone) -> Remote | None:
    """The file of a network's ImageNet weights on the server of Keras; None if Keras publishes none."""
    if spec.hub_file not in FILES:
        return None
    folder, digest = FILES[spec.hub_file]
    return Remote(
        url=f"{BASE_URL}{folder}/{NAMES.get(spec.hub_file, spec.hub_file)}",
        digest=digest,
        most_bytes=round(SPARE_SHARE * file_size(spec)) + SPARE_BYTES,
        begins=b"\x89HDF\r\n\x1a\n",
    )
