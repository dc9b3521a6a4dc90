"""A trained run as a bundle to ship, in the form that is asked for, checked before it is under its name.

shipping.py      the run's model with temperature, mirror image and softmax inside
temperature.py   the temperature, fitted on validation logits
parity.py        the written model against the run's own evaluation
keras_file.py, saved_model.py, onnx_file.py, litert_file.py    one writer for each form
card.py          model_card.md
folder.py        all of it into one folder, or nothing
"""

from bakeoff.export.folder import Trained, write_bundle
from bakeoff.export.parity import TOLERANCES, Tolerance
from bakeoff.export.temperature import Logits, calibrate, read_logits

__all__ = ["TOLERANCES", "Logits", "Tolerance", "Trained", "calibrate", "read_logits", "write_bundle"]
