"""Two Ray nodes on one machine, and what is done to them: see `nodes.py` and `play.py`.

python -m tests.cluster FOLDER --data cifar100 --options "--classes 20"
"""
