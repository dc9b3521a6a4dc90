"""What a run is, and what it left behind.

In: a config from a recipe or the command line. Out: `OUT/runs/ID` with the record, the predictions and the scores.
May import: errors, files, machine. No TensorFlow.

facts.py        the base of everything that is kept as JSON
config/         what a run is: one frozen config, and the id that is its hash
folder.py       the names of a run's files
events.py       what a run's process reports on the way
calibration.py  softmax, calibration error, temperature
metrics.py      scores of a split, with intervals
predictions.py  logits, labels and ids of a split's images
versions.py     what a result depends on besides its config
record.py       record.json and history.csv
findings.py     what a search or a factor-by-factor study found
paired.py       two runs compared on the same images
study_file.py   study.json
"""
