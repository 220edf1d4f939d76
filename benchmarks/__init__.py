"""What the tables of README and docs/RESULTS.md come from: `python -m benchmarks run`, then `python -m benchmarks report`."""
