"""How the images of prepared data become square: what `auto` comes to, and what a reader of results must know of it."""

from collections.abc import Iterator

from bakeoff.data.shards.manifest import Manifest
from bakeoff.runs.config import Fit
from bakeoff.text import counted

__all__ = ["MAX_CUT", "choose_fit", "note_fit"]

# The centre crop may cut off this share of an image's area.
MAX_CUT = 0.1
# Padded images are told to be small if their shorter side has fewer pixels.
_MIN_SHORTER_SIDE = 16


def choose_fit(manifest: Manifest, asked: Fit) -> Fit:
    """What `asked` comes to: AUTO pads if the centre crop would cut off more than a tenth of the median image."""
    if asked is not Fit.AUTO:
        return asked
    return Fit.PAD if manifest.cut_area > MAX_CUT else Fit.CROP


def note_fit(manifest: Manifest, asked: Fit) -> Iterator[str]:
    """Notes on images that are cut, that are padded without having been asked for, or that padding makes very small."""
    share = f"{100 * manifest.cut_area:.3g} % of the median picture"
    if choose_fit(manifest, asked) is Fit.PAD:
        if asked is Fit.AUTO:
            yield f"the centre crop would cut off {share}, so pictures are padded; --fit crop|squash"
        shorter = max(1, round(manifest.whole_side * (1 - manifest.cut_area)))
        if shorter < min(_MIN_SHORTER_SIDE, manifest.side):
            few = f"the shorter side of the median picture has {shorter} of {manifest.whole_side} pixels"
            yield f"when padded, {few}; --fit squash shows more of it"
    elif choose_fit(manifest, asked) is Fit.CROP and manifest.cut_area > MAX_CUT:
        yield f"the centre crop cuts off {share}; --fit pad|squash shows all of it"
    elif choose_fit(manifest, asked) is Fit.CROP and manifest.cut_images:
        total = sum(split.count for split in manifest.splits.values())
        few = f"more than a tenth of {manifest.cut_images:,} of the {counted(total, 'picture')}"
        yield f"the centre crop cuts off {few}; --fit pad|squash shows all of them"
