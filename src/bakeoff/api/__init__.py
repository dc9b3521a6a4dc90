"""bakeoff in Python: a function for each verb of the command line, with the same name.

given.py       DataFrames and arrays as data
plain.py       numbers, texts and lists from those of NumPy, generators and sets
arguments.py   the types that Python users give, checked and read
progress.py    what `progress=` shows, logs or calls
results.py     Results, load: a study's folder, opened
studies.py     run, screen, compare
tuning.py      tune
runs.py        train, evaluate
bundles.py     export, predict
audits.py      check, verify
info.py        info
networks.py    models, check_network

`bakeoff.run` and the others are loaded when they are first used, so that `import bakeoff` costs nothing. The command
line calls these functions and prints what they return. None of them prints with `progress=False`; notes are logged by
`logging.getLogger("bakeoff")`. What is wrong is an exception of `bakeoff.errors`.
"""
