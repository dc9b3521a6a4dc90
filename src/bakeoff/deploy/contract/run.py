"""All checks of one network, one after the other, each with its outcome."""

import tempfile
import traceback
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path

from bakeoff.deploy.bundle import Format
from bakeoff.deploy.contract.cost import check_fused, check_half_precision, check_memory
from bakeoff.deploy.contract.exports import NotInstalledError, check_export
from bakeoff.deploy.contract.facts import ContractCheck
from bakeoff.deploy.contract.features import check_finite, check_repeatable, check_scaling
from bakeoff.deploy.contract.learning import SHARES, check_freezing, check_learning, check_saving
from bakeoff.deploy.contract.subject import ContractError, Subject, make_subject
from bakeoff.files import write_json
from bakeoff.networks.backbone import Backbone
from bakeoff.runs.events import RunProgress, write_event
from bakeoff.training.inference import full_float32

__all__ = ["try_contract"]


@full_float32()
def try_contract(spec: Backbone, target: Path) -> None:
    """Try what every network must do on one of them, and write the outcomes as JSON.

    Args:
        spec: The network.
        target: The file to write.
    """
    with tempfile.TemporaryDirectory(prefix="bakeoff-") as folder:
        checks = list(_list_checks(_Trial(spec, Path(folder))))
        found = []
        for done, (name, check) in enumerate(checks):
            write_event(RunProgress(name, done / len(checks)))
            found.append(_try(name, check))
    write_json(target, [each.model_dump(mode="json") for each in found])


class _Trial:
    """A network on trial; it is built for most checks when the first of them needs it."""

    def __init__(self, spec: Backbone, folder: Path) -> None:
        self.spec, self.folder = spec, folder

    @cached_property
    def subject(self) -> Subject:
        return make_subject(self.spec)


def _list_checks(trial: _Trial) -> Iterator[tuple[str, Callable[[], str]]]:
    # Memory first, because a process keeps its peak.
    yield "memory", lambda: check_memory(trial.spec)
    yield "features", lambda: check_finite(trial.spec)
    yield "scaling", lambda: check_scaling(trial.subject)
    yield "learning", lambda: check_learning(trial.subject)
    for share in SHARES:
        yield f"freezing {1 - share:.0%}", partial(lambda share: check_freezing(trial.subject, share), share)
    yield "repeatable", lambda: check_repeatable(trial.subject)
    yield "fused", lambda: check_fused(trial.subject)
    yield "half precision", lambda: check_half_precision(trial.spec)
    yield "saving", lambda: check_saving(trial.subject, trial.folder)
    for kind in Format:
        yield f"export {kind}", partial(lambda kind: check_export(trial.subject, kind, trial.folder), kind)


def _try(name: str, check: Callable[[], str]) -> ContractCheck:
    try:
        return ContractCheck(name=name, passed=True, detail=check())
    except NotInstalledError as error:
        return ContractCheck(name=name, passed=None, detail=str(error))
    except ContractError as error:
        return ContractCheck(name=name, passed=False, detail=str(error))
    except Exception as error:  # whatever a network leads to is the outcome of its check
        traceback.print_exc()
        reason = " ".join(str(error).split())[:300]
        return ContractCheck(name=name, passed=False, detail=f"{type(error).__name__}: {reason}")
