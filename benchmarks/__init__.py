"""Benchmarks: accuracy of generated cells, niches, labels and perturbations, and their cost.

Run from the repository root: ``python -m benchmarks generation|speed|imports``.
"""
