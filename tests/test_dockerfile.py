"""The image for serving: its steps, executed in an environment here, give a server without TensorFlow.

Docker itself is not needed: the `RUN uv` lines are executed by a shell, with another place for the environment.
"""

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from bakeoff.deploy.bundle import Format
from serving import encode

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
# What training needs: none of it is imported or installed.
HEAVY = ("tensorflow", "keras", "optuna", "sklearn", "scipy", "matplotlib", "h5py")


def test_the_image_is_run_by_a_user_without_rights_and_is_checked() -> None:
    last = DOCKERFILE.rpartition("FROM ")[2]
    assert "USER 65534" in last
    assert "/healthz" in last
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    assert all((ROOT / name).exists() for names in copied for name in names.split())


@pytest.mark.slow
@pytest.mark.parametrize(("runtime", "kind"), [("onnxruntime", Format.ONNX), ("ai-edge-litert", Format.LITERT)])
def test_the_steps_of_the_image_give_a_small_server_without_tensorflow(
    bundled: Callable[[Format], Path], tmp_path: Path, runtime: str, kind: Format
) -> None:
    prefix = tmp_path / "bakeoff"
    steps = re.findall(r"^RUN (uv .*)$", DOCKERFILE, re.MULTILINE)
    assert len(steps) == 3
    uv = Path(sys.executable).with_name("uv")
    for step in steps:
        line = step.replace("uv ", f"{uv} ", 1).replace("/opt/bakeoff", str(prefix))
        subprocess.run(line, shell=True, cwd=ROOT, env=os.environ | {"RUNTIME": runtime}, check=True)
    packages = next(prefix.glob("lib/python*/site-packages"))
    assert not [name for name in HEAVY if (packages / name).exists()]
    # As docs/how-to/docker.md states.
    megabytes = sum(path.stat().st_size for path in prefix.rglob("*") if path.is_file()) / 1e6
    assert megabytes < 200

    command = [prefix / "bin" / "bakeoff", "serve", bundled(kind), "--host", "0.0.0.0", "--port", "0"]
    environment = {"HOME": "/nonexistent", "PATH": "/usr/bin:/bin"}
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert server.stderr is not None
        address = next(line.split()[-3] for line in server.stderr if "serving" in line).replace("0.0.0.0", "127.0.0.1")
        ask = urllib.request.Request(f"{address}/predict", encode("red"), {"Content-Type": "image/png"})
        for request in (ask, f"{address}/", f"{address}/docs", f"{address}/metrics", f"{address}/readyz"):
            with urllib.request.urlopen(request, timeout=60) as response:
                assert response.status == 200
        server.terminate()
        assert server.wait(30) == 0
    finally:
        server.kill()
    assert not Path("/nonexistent").exists()
