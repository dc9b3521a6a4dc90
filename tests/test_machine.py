"""What processes of bakeoff are started with."""

import subprocess
import sys

import pytest

from bakeoff.machine import tensorflow_environment


def test_onnx_runtime_writes_no_reports_to_its_maker(tmp_path):
    pytest.importorskip("onnxruntime")
    environment = tensorflow_environment() | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", "import onnxruntime"], env=environment, check=True, timeout=600)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
