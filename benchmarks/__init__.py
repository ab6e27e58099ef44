"""Benchmarks: what a generated cell is worth, and what it costs.

Run from the repository root: ``python -m benchmarks generation|speed|imports``.
"""
