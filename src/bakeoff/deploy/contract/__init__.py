"""What every network must do, whoever made it: tried on one network, as the tests try it on those of the table.

facts.py     the outcome of a check
subject.py   a network with random weights and a few images, for the checks
features.py  features: numbers, the same for the same image, of the range that the network is for
learning.py  training: the loss falls, what is frozen stays, a saved model opens again
cost.py      memory as predicted, the fused model, half precision
exports.py   every format
run.py       all checks of one network, in a process of their own
"""

from bakeoff.deploy.contract.facts import ContractCheck

__all__ = ["ContractCheck"]
