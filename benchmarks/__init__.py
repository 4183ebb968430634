"""Measurements: one file per question that a user asks. Results land in `benchmarks/results/` as JSON."""
