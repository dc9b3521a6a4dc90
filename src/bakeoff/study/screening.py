"""The screen of a plan: what it takes, on how many images, and by how many folds. Pure functions, like the plan."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bakeoff.data.folds import choose_folds
from bakeoff.networks.find import find_network
from bakeoff.runs.config import Candidate, Mode, WeightsChoice
from bakeoff.study.forecast import Forecast

__all__ = ["MAX_PROBE_IMAGES", "MIN_PROBE_IMAGES", "Screen", "plan_screen"]

# Images of a probe: fewer show nothing, more change nothing. Three fifths train it, two score it.
MIN_PROBE_IMAGES, MAX_PROBE_IMAGES = 500, 5000
# Folds where there is no time for as many as the data ask for.
LEAST_FOLDS = 5
# A screen that takes too long in any case may take so many times as long with folds.
SLACK = 1.1


@dataclass(frozen=True)
class Screen:
    """What it takes to screen candidates."""

    forecast: Forecast
    weights: WeightsChoice
    scratch_seconds: float
    """Training seconds of a network from scratch."""
    counts: Mapping[str, int]
    """Images by split."""
    classes: int
    folds: int = 0
    """Folds by which probes are cross-validated; 0: they are scored on validation."""
    slots: int = 1
    """Runs side by side."""

    def trains(self, candidate: Candidate) -> bool:
        """Whether a candidate has no pretrained weights, so that it is trained and not probed."""
        return find_network(candidate.name).from_scratch or self.weights.of(candidate.name) == "none"

    def seconds(self, candidates: Sequence[Candidate], images: int, val: int) -> float:
        """Wall-clock seconds for these candidates: those of all, shared by the slots, but not fewer than one takes."""
        alone = [
            self._fixed(each) + self._scoring(each, val if self.trains(each) else images + val) for each in candidates
        ]
        return max(sum(alone) / self.slots, max(alone, default=0.0))

    def least_seconds(self, *candidates: Candidate) -> float:
        """Wall-clock seconds for these candidates on as few images as show something."""
        return self.seconds(
            candidates, min(self._least_train, self.counts["train"]), min(MIN_PROBE_IMAGES, self.counts["val"])
        )

    def order(
        self, candidates: Iterable[Candidate], expect_error: Callable[[Candidate], float], *, limit: float
    ) -> list[Candidate]:
        """The candidates in the order in which they are screened as far as there is time.

        Pretrained networks come first, and of these each network once, at the input size with the least expected error;
        then each at its next size. What takes longer alone than there is time for comes last of its kind, the fastest
        first.

        Args:
            candidates: The networks with their input sizes.
            expect_error: The error that is expected of one before it is screened. Only the order matters.
            limit: Wall-clock seconds in which candidates have to be screened.
        """

        def rank(each: Candidate) -> tuple[bool, bool, float]:
            seconds = self.least_seconds(each)
            return self.trains(each), seconds > limit, seconds if seconds > limit else expect_error(each)

        places, sizes = dict[Candidate, tuple[bool, bool, int]](), Counter[str]()
        for candidate in sorted(candidates, key=rank):
            places[candidate] = *rank(candidate)[:2], sizes[candidate.name]
            sizes[candidate.name] += 1
        return sorted(places, key=lambda each: places[each])

    def keep_affordable(self, candidates: Sequence[Candidate], limit: float) -> list[Candidate]:
        """Those of some candidates, in the order of `order`, that there is time to screen; the first in any case."""
        kept: list[Candidate] = []
        for candidate in candidates:
            if not kept or self.least_seconds(*kept, candidate) <= limit:
                kept.append(candidate)
        return kept

    def count_images(self, candidates: Sequence[Candidate], limit: float) -> tuple[int, int]:
        """Training and validation images of each probe, so that the screen takes this many wall-clock seconds."""
        probed = [each for each in candidates if not self.trains(each)]
        around = {each: self._fixed(each) + self._scoring(each, 0) for each in candidates}
        image = {each: self._scoring(each, 1) - self._scoring(each, 0) for each in probed or candidates}
        together = (self.slots * limit - sum(around.values())) / sum(image.values())
        alone = min((limit - around[each]) / seconds for each, seconds in image.items())
        total = max(0.0, min(together, alone))

        def bounded(share: float, available: int, least: int) -> int:
            return min(available, MAX_PROBE_IMAGES, max(least, int(share * total)))

        return bounded(0.6, self.counts["train"], self._least_train), bounded(0.4, self.counts["val"], MIN_PROBE_IMAGES)

    @property
    def _least_train(self) -> int:
        """Training images of a probe at least: one of each class, because a head does not learn a class unseen."""
        return min(MAX_PROBE_IMAGES, max(MIN_PROBE_IMAGES, self.classes))

    def _fixed(self, candidate: Candidate) -> float:
        """Seconds that do not depend on the number of images."""
        if self.trains(candidate):
            return self.forecast.overhead(candidate, Mode.FIT) + self.scratch_seconds
        return self.forecast.overhead(candidate, Mode.PROBE)

    def _scoring(self, candidate: Candidate, images: int) -> float:
        """Seconds for the features of so many images, and for the heads of a cross-validation."""
        seconds = self.forecast.scoring(candidate, images)
        if not self.folds or self.trains(candidate):
            return seconds
        # One fit of a head is a part of the overhead.
        return seconds + self.forecast.fitting(candidate, self.folds - 1, images, self.classes)


def plan_screen(
    screen: Screen, candidates: Sequence[Candidate], *, limit: float, usual: float
) -> tuple[Screen, list[Candidate], int, int]:
    """Decide whom to screen, on how many images, and by how many folds.

    Folds are as many as the data ask for (`choose_folds`) if that costs no candidate and no image more than LEAST_FOLDS
    do; else LEAST_FOLDS, if those cost no candidate and score more images than validation has; else there are none.

    Args:
        screen: The screen, without folds.
        candidates: The networks with their input sizes, in the order of `Screen.order`.
        limit: Wall-clock seconds in which candidates have to be screened, or are left out.
        usual: Wall-clock seconds that the screen takes if there are images enough.

    Returns:
        The screen with its folds, the candidates that there is time for, and training and validation images of each
        probe.
    """
    kept = screen.keep_affordable(candidates, limit)
    alone = screen, kept, *screen.count_images(kept, usual)
    counts = screen.counts
    most = choose_folds(counts["val"], min(MAX_PROBE_IMAGES, counts["train"]) + counts["val"])
    if not most or all(map(screen.trains, kept)):
        return alone

    longest = max(limit, SLACK * screen.seconds(*alone[1:]))

    def fold(folds: int) -> tuple[Screen, list[Candidate], int, int] | None:
        folded = replace(screen, folds=folds)
        images = folded.count_images(kept, usual)
        if folded.keep_affordable(candidates, limit) != kept or folded.seconds(kept, *images) > longest:
            return None
        return folded, kept, *images

    few, many = fold(min(most, LEAST_FOLDS)), fold(most)
    if few is None or few[2] + few[3] <= alone[3]:
        return alone
    return many if many and many[1:] == few[1:] else few
