"""TensorFlow and Keras, imported with the settings that bakeoff needs."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bakeoff.errors import InputError
from bakeoff.files import expand_home
from bakeoff.variables import KERAS_HOME

__all__ = ["import_tensorflow", "keras_home", "start_keras"]

# Lines that TensorFlow's C++ code prints before its logging is set up.
_STARTUP_LINE = re.compile(
    rb"WARNING: All log messages before absl|[IWE]\d{4} [\d:.]+ +\d+ |To enable the following instr"
)

# What Keras imports where it is installed, for its own plots and tables, which bakeoff never asks it for. They are a
# third of the time that a process needs to start.
_UNUSED = ("matplotlib.pyplot", "pandas", "sklearn", "IPython")


def import_tensorflow() -> Any:
    """Import TensorFlow without its start-up messages, for a process that writes to a terminal; return the module.

    While it is imported, TensorFlow prints a few lines on standard error, before its settings for logging have an
    effect. These lines are dropped, all others are passed on. Raises ModuleNotFoundError without TensorFlow, and
    InputError if `keras.json` keeps Keras, which TensorFlow imports, from starting.
    """
    if "tensorflow" not in sys.modules:
        sys.stderr.flush()
        with tempfile.TemporaryFile() as printed:
            terminal = os.dup(2)
            os.dup2(printed.fileno(), 2)
            try:
                with _keras_settings_explained():
                    import tensorflow  # noqa: F401
            finally:
                os.dup2(terminal, 2)
                os.close(terminal)
                printed.seek(0)
                for line in printed:
                    if not _STARTUP_LINE.match(line):
                        os.write(2, line)
    import tensorflow as tf

    return tf


@contextlib.contextmanager
def _keras_settings_explained() -> Iterator[None]:
    """Turn what Keras raises over its `keras.json` while it is imported into an InputError that names the file."""
    try:
        yield
    except (AssertionError, ValueError, TypeError, AttributeError, ImportError) as error:
        settings = keras_home() / "keras.json"
        if isinstance(error, ModuleNotFoundError) or not settings.is_file():
            raise
        reason = str(error).strip().partition("\n")[0] or "a value that it does not know"
        raise InputError(f"Keras does not start with {settings} ({reason}); correct that file, or delete it") from error


def start_keras() -> None:
    """Import Keras in a process of bakeoff's own, with the settings that its networks and weights are made for.

    Keras takes its defaults from `keras.json` in its home folder, where users set others for their programs. The
    backend is that of `tensorflow_environment`. Raises InputError as `import_tensorflow` does.
    """
    with _without_unused():
        import_tensorflow()
        with _keras_settings_explained():
            import keras

    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")


@contextlib.contextmanager
def _without_unused() -> Iterator[None]:
    """For the block, importing what Keras does without fails as if it were not installed."""
    unused = [name for name in _UNUSED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(unused))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in unused:
            del sys.modules[name]


def keras_home() -> Path:
    """The folder with Keras' settings and weights: `$KERAS_HOME`, by default `~/.keras`."""
    return expand_home(KERAS_HOME.read() or "~/.keras")
