"""CellTypist, trained here: logistic regression on a cell's own expression.

As its documentation has it: totals 10,000, log1p, defaults of ``celltypist.train``; then, as a
second read-out, its majority vote within over-clusters of the section.
"""

import celltypist
import door
import numpy as np
import scanpy as sc


def run(train, test, label_key, seed):
    for adata in (train, test):
        sc.pp.normalize_total(adata, target_sum=1e4)
        sc.pp.log1p(adata)
    model = celltypist.train(train, labels=label_key, n_jobs=1, random_state=seed)
    result = celltypist.annotate(test, model=model, majority_voting=True)
    found = {
        "": result.predicted_labels["predicted_labels"].to_numpy(),
        "majority voting": result.predicted_labels["majority_voting"].to_numpy(),
    }
    probability = result.probability_matrix
    return found, probability.to_numpy(), np.asarray(probability.columns)


if __name__ == "__main__":
    door.annotation(run)
