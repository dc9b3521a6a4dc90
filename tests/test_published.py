"""Where Keras publishes its weights, and their hashes: as in the sources of the Keras that is installed."""

from pathlib import Path

import keras
import pytest

from bakeoff.download import Remote
from bakeoff.networks.backbone import Origin
from bakeoff.networks.table import TABLE
from bakeoff.networks.weights import published

SOURCES = Path(keras.__file__).parent / "src" / "applications"
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in sorted(SOURCES.glob("*.py")))
HUB = [spec for spec in TABLE if Origin.HUB in spec.weight_origins]
# Quick to build.
FAST = ("mobilenet-v3-small", "mobilenet-v2", "vgg-16")


def test_every_hash_and_folder_is_in_the_sources_of_keras() -> None:
    joined = "".join(TEXT.split()).replace('""', "")
    for name, (folder, digest) in published.FILES.items():
        assert digest in TEXT, name
        assert f"{published.BASE_URL}{folder}/" in joined, name


@pytest.mark.parametrize("spec", HUB, ids=lambda spec: spec.name)
def test_a_network_of_keras_has_a_file_and_a_hash_unless_keras_publishes_none(spec) -> None:
    remote = published.published_file(spec)
    assert isinstance(remote, Remote)
    assert remote.url.startswith("https://")
    assert bool(remote.digest) != spec.name.startswith(("mobilenet-v2", "mobilenet-v1"))
    assert 3 * spec.params_total < published.file_size(spec) < remote.most_bytes < 8 * spec.params_total + (3 << 20)


@pytest.mark.parametrize(
    "spec",
    [pytest.param(spec, marks=[] if spec.name in FAST else pytest.mark.slow, id=spec.name) for spec in HUB],
)
def test_keras_asks_for_the_same_file_with_the_same_hash(spec, monkeypatch) -> None:
    """Keras tells them when it builds the network."""
    from keras.src.utils import file_utils

    asked = {}

    def get_file(name, url, file_hash=None, **_):
        asked.update(name=name, url=url, digest=file_hash or "")
        raise InterruptedError

    monkeypatch.setattr(file_utils, "get_file", get_file)
    function = getattr(keras.applications, spec.builder.partition(":")[2])
    with pytest.raises(InterruptedError):
        function(include_top=False, weights="imagenet", input_shape=(spec.native_size, spec.native_size, 3))
    remote = published.published_file(spec)
    assert remote is not None
    assert asked == {"name": spec.hub_file, "url": remote.url, "digest": remote.digest}
