"""Export: writes a trained run as a bundle, in any format, and checks it before the bundle gets its name.

exported_model.py   the trained model with mirrored evaluation, temperature and softmax as layers
full_precision.py   a network that was trained under mixed precision, in float32
convertible.py      layers in a form that the converters to ONNX and LiteRT know
parity.py           comparison of the exported model with the run's own evaluation
keras_file.py, saved_model.py, onnx_file.py, litert_file.py    one writer for each format
model_file.py       the file, checked; and the form that holds, if it is not exact enough
card.py             model_card.md
folder.py           all of it into one folder, atomically
run.py              export of a run's folder, in a worker process
"""

from bakeoff.deploy.export.folder import FinishedRun, write_bundle
from bakeoff.deploy.export.parity import TOLERANCES, Tolerance
from bakeoff.deploy.temperature import calibrate

__all__ = ["TOLERANCES", "FinishedRun", "Tolerance", "calibrate", "write_bundle"]
