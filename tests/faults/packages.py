"""Weights that are exported and imported while somebody kills the commands: all files are there at the end, and whole.

A download that is killed is a test of its own (tests/test_download.py).
"""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bakeoff.networks.weights.transfer import read_kit

__all__ = ["KILLED", "NETWORKS", "disturb_package"]

KILLED = "kill of a weights package"
NETWORKS = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
KILLS = 6


def disturb_package(folder: Path, dice: random.Random) -> tuple[int, list[str]]:
    """Export the weights of the installed packages and import them, killed a few times each and then given again.

    Args:
        folder: An empty folder.
        dice: Draws the moments.

    Returns:
        How many commands were killed, and what was wrong.
    """
    kit, imported = folder / "kit", folder / "imported"
    environment = os.environ | {"BAKEOFF_WEIGHTS_DIR": str(imported), "BAKEOFF_OFFLINE": "1"}
    killed, wrong = 0, list[str]()
    for command, home in (
        (["export", str(kit), "--networks", ",".join(NETWORKS)], kit),
        (["import", str(kit)], imported),
    ):
        seconds = 0.0
        for number in range(KILLS + 1):
            began = time.monotonic()
            # The first one may take as long as it does: it tells when the others do something.
            code, said = _run(command, environment, None if number in (0, KILLS) else dice.uniform(0.3, 1.1) * seconds)
            if number == 0:
                seconds = time.monotonic() - began
            killed += code == -signal.SIGKILL
            wrong += _find_torn(home)
            if code not in ((0,) if number in (0, KILLS) else (0, -signal.SIGKILL)):
                wrong.append(f"weights {command[0]} ended with code {code}: {said[-300:]}")
            if number == 0:
                for path in home.iterdir():
                    path.unlink()
        if {entry.network for entry in read_kit(home)} != set(NETWORKS):
            wrong.append(f"weights {command[0]}: not all networks are there at the end")
    return killed, wrong


def _run(command: Sequence[str], environment: dict[str, str], seconds: float | None) -> tuple[int, str]:
    """Run `bakeoff weights …`, and kill it after some seconds; its code and what it said."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bakeoff", "weights", *command],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        _, said = process.communicate()
    return process.returncode, said


def _find_torn(home: Path) -> list[str]:
    """The files under a final name that are not those that kit.json lists; without kit.json nothing is promised."""
    if not (home / "kit.json").is_file():
        return []
    return [
        f"{entry.file} is torn"
        for entry in read_kit(home)
        if not (home / entry.file).is_file()
        or hashlib.sha256((home / entry.file).read_bytes()).hexdigest() != entry.sha256
    ]
