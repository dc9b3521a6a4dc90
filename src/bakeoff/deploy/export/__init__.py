"""Export: writes a trained run as a bundle, in any format, and checks it before the bundle gets its name.

exported_model.py   the trained model with mirrored evaluation, temperature and softmax as layers
shrinking.py        the step that makes images smaller, for converters that do not know Keras' own
temperature.py      the temperature, fitted on validation logits
parity.py           comparison of the exported model with the run's own evaluation
keras_file.py, saved_model.py, onnx_file.py, litert_file.py    one writer for each format
card.py             model_card.md
folder.py           all of it into one folder, atomically
run.py              export of a run's folder, in a worker process
"""

from bakeoff.deploy.export.folder import FinishedRun, write_bundle
from bakeoff.deploy.export.parity import TOLERANCES, Tolerance
from bakeoff.deploy.export.temperature import calibrate

__all__ = ["TOLERANCES", "FinishedRun", "Tolerance", "calibrate", "write_bundle"]
