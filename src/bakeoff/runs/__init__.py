"""What a run is, and what it writes.

In: a config, from a recipe or the command line. Out: the folder `OUT/runs/ID` with the record and the predictions.
May import: errors, files, machine. No TensorFlow.

facts.py        the base class of everything that is stored as JSON
default_field.py  which networks take part by default, and why
config/         the config of a run, and the run id
folder.py       the names of a run's files
events.py       progress and errors that a run's process reports
calibration.py  softmax, calibration error, temperature
measures.py     metrics as functions of how often each image counts, for the bootstrap
metrics.py      scores of a split, with intervals
predictions.py  logits, labels and image ids of a split
versions.py     software versions that a result depends on
history.py      history.csv and curve.csv: how a run was doing while it trained
record.py       record.json
agreement.py    predictions computed again, compared with the stored ones
findings.py     results of a search or a factor-by-factor study
paired.py       paired comparison of runs on the same images
study_file.py   study.json
"""
