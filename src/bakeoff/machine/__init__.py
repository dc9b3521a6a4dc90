"""What this machine gives a process: CPU cores, memory, and the environment variables for TensorFlow.

groups.py       the control groups of the process
cores.py        how many cores it may use
memory.py       how much memory it may use and has used, and what it gives back
environment.py  the environment variables of its libraries
tensorflow.py   TensorFlow and Keras, imported with bakeoff's settings
"""

from bakeoff.machine.cores import count_cores, describe_cpu
from bakeoff.machine.environment import (
    changed_environment,
    own_settings,
    python_command,
    python_path,
    shared_machine_environment,
    tensorflow_environment,
    tensorflow_settings,
    thread_environment,
)
from bakeoff.machine.memory import available_host_memory, free_memory, peak_memory, read_field, release_memory
from bakeoff.machine.tensorflow import import_tensorflow, keras_home, start_keras

__all__ = [
    "available_host_memory",
    "changed_environment",
    "count_cores",
    "describe_cpu",
    "free_memory",
    "import_tensorflow",
    "keras_home",
    "own_settings",
    "peak_memory",
    "python_command",
    "python_path",
    "read_field",
    "release_memory",
    "shared_machine_environment",
    "start_keras",
    "tensorflow_environment",
    "tensorflow_settings",
    "thread_environment",
]
