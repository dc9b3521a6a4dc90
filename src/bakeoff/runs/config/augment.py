"""`[augment]` of a recipe: random changes of each training batch."""

from enum import StrEnum

from pydantic import Field, field_validator

from bakeoff.runs.config.data import Section

__all__ = ["Augment", "AugmentStep"]


class AugmentStep(StrEnum):
    """The steps of an augmentation policy, implemented in `data/augment/`."""

    FLIP = "flip"
    CROP = "crop"
    TRANSLATE = "translate"
    ROTATE = "rotate"
    ZOOM = "zoom"
    CONTRAST = "contrast"
    BRIGHTNESS = "brightness"
    RANDAUGMENT = "randaugment"
    CUTOUT = "cutout"
    MIXUP = "mixup"
    CUTMIX = "cutmix"


class Augment(Section):
    """`[augment]`: random changes of each training batch. A strength counts only if its step is in the policy."""

    policy: str = "flip-crop"
    """The steps in their order, joined by dashes, as in `flip-crop-cutout`; or `none`. Steps: `flip`, `crop`,
    `translate`, `rotate`, `zoom`, `contrast`, `brightness`, `randaugment`, `cutout`, `mixup`, `cutmix`. Where neither a
    recipe nor a setting names it, `flip` is left out for images that must not be mirrored."""
    crop: float = Field(0.125, ge=0.0, le=0.5)
    """`crop`: largest shift in whole pixels, as a fraction of the side of the stored image, 0 to 0.5. The default is 4
    pixels of 32, as is usual for CIFAR."""
    translation: float = Field(0.1, ge=0.0, le=0.5)
    """`translate`: largest shift along each axis, as a fraction of the side, 0 to 0.5. Unlike a crop's, the shift need
    not be a whole number of pixels."""
    rotation: float = Field(0.1, ge=0.0, le=0.5)
    """`rotate`: largest rotation in either direction, as a fraction of a full turn, 0 to 0.5 (0.1 is 36 degrees)."""
    zoom: float = Field(0.1, ge=0.0, le=0.5)
    """`zoom`: largest relative change of the side of the visible part, 0 to 0.5. Where the part is smaller than the
    image, its content is enlarged."""
    contrast: float = Field(0.1, ge=0.0, le=1.0)
    """`contrast`: largest relative change of each pixel's distance from its channel's mean, 0 to 1."""
    brightness: float = Field(0.1, ge=0.0, le=1.0)
    """`brightness`: largest value added or subtracted, as a fraction of white (255), 0 to 1."""
    operations: int = Field(2, ge=1, le=8)
    """`randaugment`: number of operations for each image, 1 to 8."""
    magnitude: float = Field(0.3, ge=0.0, le=1.0)
    """`randaugment`: strength of the operations, as a fraction of their strongest setting, 0 to 1."""
    cutout: float = Field(0.25, ge=0.0, le=1.0)
    """`cutout`: side of the blanked square, as a fraction of the image's side, 0 to 1."""
    mixup: float = Field(0.2, gt=0.0, le=10.0)
    """`mixup`: both parameters of the beta distribution that an image's share of the mixture is drawn from, above 0 to
    10. Below 1 most mixtures are close to one of the two images."""
    cutmix: float = Field(1.0, gt=0.0, le=10.0)
    """`cutmix`: the same for the share of the area that stays the image's, above 0 to 10. 1: all shares are equally
    likely."""

    @field_validator("policy")
    @classmethod
    def _check_policy(cls, value: str) -> str:
        names = [] if value == "none" else value.split("-")
        known = [step.value for step in AugmentStep]
        if unknown := [name for name in names if name not in known]:
            raise ValueError(
                f"there is no step {unknown[0]!r}; join steps of {', '.join(known)} by dashes, or give none"
            )
        if len(set(names)) < len(names):
            raise ValueError(f"{value!r} names a step twice; give each step once")
        return value

    @property
    def steps(self) -> tuple[AugmentStep, ...]:
        """The policy's steps in order."""
        return () if self.policy == "none" else tuple(map(AugmentStep, self.policy.split("-")))
