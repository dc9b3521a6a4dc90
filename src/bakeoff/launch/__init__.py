"""One config, one fresh process: a crash, a hang or a lack of memory ends a run and nothing else.

process.py   a worker process: started, followed, ended, and why it ended
executor.py  where attempts at runs are made, and how many side by side; this machine
run.py       launch(): one config to its record, with a second attempt where that may help
jobs.py      what is done once for a study: the test split, the bundle, weights to download
messages.py    what travels between the machine that leads a study and a node
node.py      an attempt on a node
cluster.py   nodes of a Ray cluster; the only module that imports Ray

`launch` meets the training code through a command line and a record, and imports none of it.
"""

from bakeoff.launch.cluster import connect
from bakeoff.launch.executor import Executor, Local, StoppedError
from bakeoff.launch.jobs import export_bundle, fetch_weights, open_test
from bakeoff.launch.run import launch

__all__ = [
    "Executor",
    "Local",
    "StoppedError",
    "connect",
    "export_bundle",
    "fetch_weights",
    "launch",
    "open_test",
]
