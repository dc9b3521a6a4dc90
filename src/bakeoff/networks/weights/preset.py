"""Whether the weights of a preset are those of its configuration.

Only loading tells, in a process of its own; what came of it is noted in the cache, as `presets/HASH.json`. Of a vision
transformer most that can be wrong is refused before: by the sizes of its tensors, which the headers of its files have.
They are the same in the layouts of KerasHub and of Transformers.
"""

import importlib.metadata
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bakeoff.cache import mark_used
from bakeoff.errors import WeightsError
from bakeoff.files import cache_dir, write_json
from bakeoff.networks.backbone import Backbone
from bakeoff.networks.hub import hash_preset
from bakeoff.networks.hub.families import find_design
from bakeoff.networks.hub.files import read_files, read_shapes
from bakeoff.networks.hub.transformer import Design
from bakeoff.networks.weights.hdf5 import Group, open_hdf5

__all__ = ["is_known_to_fit", "list_sizes", "note_fit"]


def is_known_to_fit(spec: Backbone) -> bool:
    """Whether the weights of a preset are known to be those of its configuration. Imports neither TensorFlow nor Keras.

    Args:
        spec: The network of the preset.

    Returns:
        False where they have not been loaded yet.

    Raises:
        WeightsError: They are of another network, or a file is damaged.
    """
    files = read_files(spec.name, Path(spec.preset))
    kind, config, _ = files.described
    if design := find_design(kind, config):
        stored = Counter(size for path in files.weights for size in list_sizes(path))
        _compare(spec, design, stored, images_only=kind != "SigLIPBackbone")
    note = _note(spec)
    if found := note.is_file():
        mark_used(note)
    return found


def note_fit(spec: Backbone) -> None:
    """Note in the cache that the weights of a preset were loaded into its network."""
    write_json(_note(spec), {"network": spec.name})


def list_sizes(path: Path) -> list[int]:
    """Numbers in each tensor of one of a preset's files of weights; none of an index, and of random generators' states.

    Raises WeightsError if it is damaged, or needs what no file of weights needs.
    """
    if path.suffix == ".safetensors":
        return [*map(math.prod, read_shapes(path).values())]
    if path.suffix != ".h5":
        return []
    try:
        with open_hdf5(path) as root:
            return [*_walk(root)]
    except WeightsError as error:
        raise WeightsError(f"{path} {error}") from error
    except Exception as error:  # h5py raises whatever a damaged file leads it to
        raise WeightsError(f"{path} is damaged ({error}); download or save the preset again") from error


def _note(spec: Backbone) -> Path:
    return cache_dir() / "presets" / f"{hash_preset(spec.name)[:32]}-{importlib.metadata.version('keras-hub')}.json"


def _walk(group: Group) -> Iterator[int]:
    yield from (math.prod(tensor.shape) for tensor in group.tensors.values())
    for name, inner in group.groups.items():
        if not name.startswith("seed_generator"):
            yield from _walk(inner)


def _compare(spec: Backbone, design: Design, stored: Counter[int], *, images_only: bool) -> None:
    """Raise WeightsError if tensors are missing that the network has, or if the file has more blocks.

    Args:
        spec: The network.
        design: What it is made of.
        stored: How many tensors of each size there are.
        images_only: Whether the file has no further network, such as one for text.
    """
    width, hidden = design.width, design.hidden
    blocks = design.depth + design.pools
    parts = (
        ("the kernel of patches", 3 * design.patch**2 * width, 1),
        ("positions", ((design.native_size // design.patch) ** 2 + design.class_tokens) * width, 1),
        ("kernels of attention", width * width, 4 * blocks),
        ("kernels of dense layers", width * hidden, (1 if design.gated else 2) * blocks),
        *([("kernels of gated dense layers", 2 * width * hidden, blocks)] if design.gated else []),
    )
    needed: Counter[int] = Counter()
    for _, size, count in parts:
        needed[size] += count
    for what, size, _ in parts:
        if stored[size] < needed[size]:
            raise WeightsError(
                f"{spec.name}: {spec.preset} has weights of another network than its config.json ({what}: of tensors"
                f" of {size:,} numbers {needed[size]} are needed, {stored[size]} are there); download or save the"
                " preset again"
            )
    # Those of another block have all of its kernels more.
    if images_only and hidden != width and stored[width * hidden] > needed[width * hidden] + (not design.gated):
        raise WeightsError(
            f"{spec.name}: {spec.preset} has weights of more blocks than the {design.depth} of its config.json;"
            " download or save the preset again"
        )
