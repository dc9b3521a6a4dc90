"""One run: trains the network of a config on prepared data and scores it.

In: a RUNNING record in the run's folder. Out: that record as COMPLETE or FAILED, the model and its predictions.
May import: networks, data, cache, locks, runs, and what they may import. Everything here may load TensorFlow.

weight_copies.py  moving average, best weights and starting weights
optimizer.py      the optimiser and its learning rate
replicas.py       data parallelism on several devices
inference.py      outputs of a model on images
memory/           peak memory, predicted and measured
task.py           everything that one run needs, loaded
balance.py        weights of classes in the loss, or an addition to their logits
features.py       frozen features and their cache
head.py           a linear classifier, fitted on features
views.py          the same, fitted on features of augmented views too, if that is better
probe.py          a linear classifier on frozen features
folds.py          the same, cross-validated
labels.py         scores of all images for the search of wrong labels
pace.py           how long steps and scoring take on this machine, as measured so far
progress.py       progress and time of a run, which is shortened if it would not end in time
step.py           one optimiser step, with gradient accumulation
checkpoint.py     the state that a run resumes from
tensorboard.py    the history for TensorBoard
curve.py          the points of the learning curve between evaluations
loop.py           the training loop
run.py            the entry point: from a RUNNING record to a COMPLETE one
model.py          the model that a finished run saved
test.py           evaluation on the locked test split
again.py          predictions of that model, computed again
"""
