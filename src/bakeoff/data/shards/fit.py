"""How the images of prepared data become square: what `auto` comes to, and what a reader of results must know of it."""

from bakeoff.data.shards.manifest import Manifest
from bakeoff.runs.config import Fit

__all__ = ["MAX_CUT", "choose_fit", "note_fit"]

# The centre crop may cut off this share of an image's area.
MAX_CUT = 0.1


def choose_fit(manifest: Manifest, asked: Fit) -> Fit:
    """What `asked` comes to: AUTO pads if the centre crop would cut off more than a tenth of the median image."""
    if asked is not Fit.AUTO:
        return asked
    return Fit.PAD if manifest.cut_area > MAX_CUT else Fit.CROP


def note_fit(manifest: Manifest, asked: Fit) -> tuple[str, ...]:
    """A note if the centre crop cuts images, or if they are padded without having been asked for; else nothing."""
    share = f"{100 * manifest.cut_area:.0f} % of the median picture"
    if asked is Fit.AUTO and choose_fit(manifest, asked) is Fit.PAD:
        return (f"the centre crop would cut off {share}, so pictures are padded; --fit crop|squash",)
    if choose_fit(manifest, asked) is not Fit.CROP or not manifest.cut_images:
        return ()
    if manifest.cut_area > MAX_CUT:
        return (f"the centre crop cuts off {share}; --fit pad|squash shows all of it",)
    total = sum(split.count for split in manifest.splits.values())
    few = f"more than a tenth of {manifest.cut_images:,} of the {total:,} pictures"
    return (f"the centre crop cuts off {few}; --fit pad|squash shows all of them",)
