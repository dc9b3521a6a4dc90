"""A trained run as a bundle to ship, in the form that is asked for, checked before it is under its name.

shipping.py      the run's model with temperature, mirror image and softmax inside
temperature.py   the temperature, fitted on validation logits
parity.py        the written model against the run's own evaluation
keras_file.py, saved_model.py, onnx_file.py, litert_file.py    one writer for each form
card.py          model_card.md
folder.py        all of it into one folder, or nothing
"""

from bakeoff.deploy.export.folder import Trained, write_bundle
from bakeoff.deploy.export.parity import TOLERANCES, Tolerance
from bakeoff.deploy.export.temperature import calibrate

__all__ = ["TOLERANCES", "Tolerance", "Trained", "calibrate", "write_bundle"]
