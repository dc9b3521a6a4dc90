"""Play all scenes from the command line, in namespaces of their own, and print what was seen."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from .nodes import ISOLATED

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=(__doc__ or "").strip())
    parser.add_argument("folder", type=Path, help="for everything that is written; empty, or not there yet")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--options", default="", help="further options of `bakeoff compare`, in one word")
    parser.add_argument("--images", type=int, default=6400)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    words = [str(arguments.folder.resolve()), arguments.data, arguments.options, str(arguments.images)]
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (root / "src", root)))}
    sys.exit(
        subprocess.run([*ISOLATED, sys.executable, "-m", "tests.cluster.play", *words], env=environment).returncode
    )
