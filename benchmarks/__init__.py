"""Measurements: one module for each question that a user asks. Results land in `benchmarks/results/` as JSON.

`python -m benchmarks` says which there are.
"""
