"""One config to one record: each run in a fresh process, on this machine or on a node of a Ray cluster.

In: a run's config, the study's folder, the folder of the shards. Out: the run's record and the files beside it.
A crash, a hang or a lack of memory ends one run and nothing else.
May import: profile, networks, data, cache, runs and what they may import. It never imports `training`: it starts that
through a command line, and reads the record that it writes. Only `cluster` and `task` import Ray, when they need it.

spare.py     how a worker process is started; the one that is started ahead of its job
process.py   a worker process: start, follow, end, and why it ended
executor.py  where attempts at runs are made, and how many in parallel; this machine
messages.py  what the coordinator of a study and a node send each other
run.py       launch(): one config to its record, with a second attempt where that may help
jobs.py      what is done once per study: the test split, the bundle, heat maps, predictions again, weights, paces,
             labels
node.py      one attempt on a node
task.py      the function that Ray runs on a node
cluster.py   the nodes of a Ray cluster
"""

from bakeoff.launch.cluster import connect
from bakeoff.launch.executor import Executor, Local, StoppedError
from bakeoff.launch.jobs import (
    check_weights,
    draw_heat_maps,
    export_bundle,
    fetch_preset,
    open_test,
    predict_again,
    score_held_out,
    time_network,
    try_contract,
)
from bakeoff.launch.run import launch
from bakeoff.launch.spare import Spare

__all__ = [
    "Executor",
    "Local",
    "Spare",
    "StoppedError",
    "check_weights",
    "connect",
    "draw_heat_maps",
    "export_bundle",
    "fetch_preset",
    "launch",
    "open_test",
    "predict_again",
    "score_held_out",
    "time_network",
    "try_contract",
]
