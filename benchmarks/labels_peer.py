"""The side of cleanlab in labels.py: its rankings of given probabilities. Runs in an environment of its own.

python labels_peer.py SCORED.npz RANKED.npz
"""

import sys

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores

METHODS = ("self_confidence", "normalized_margin")


def main(asked: str, answered: str) -> None:
    """Rank all images by their label quality, and the label issues that cleanlab lists."""
    with np.load(asked) as scored:
        labels, probabilities = scored["labels"], scored["probabilities"]
    rankings = {}
    for method in METHODS:
        scores = get_label_quality_scores(labels, probabilities, method=method)
        rankings[f"rank {method}"] = np.argsort(scores, kind="stable")
        rankings[f"issues {method}"] = find_label_issues(labels, probabilities, return_indices_ranked_by=method)
    np.savez(answered, **rankings)


if __name__ == "__main__":
    main(*sys.argv[1:])
