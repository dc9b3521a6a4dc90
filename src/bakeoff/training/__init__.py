"""One run: a config, shards and weights to a trained network and its scores.

In: a RUNNING record in the run's folder. Out: the same record COMPLETE or FAILED, the model, the predictions.
May import: networks, data, cache, locks, runs and what they may import. Everything here may load TensorFlow.

weight_copies.py  the moving average, the best and the starting weights
optimizer.py      the optimiser and its learning rate
replicas.py       one batch on several devices
inference.py      model and images to outputs
memory/           memory predicted and measured
task.py           what one run needs, loaded
features.py       frozen features and their cache
probe.py          a linear classifier on frozen features
progress.py       how far a run is
step.py           one step of the optimiser
checkpoint.py     what a run needs to continue after a kill
tensorboard.py    the history for TensorBoard
loop.py           the training loop
run.py            the run from its record to its record
test.py           the locked test split
"""
