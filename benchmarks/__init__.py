"""Tables of README and docs/RESULTS.md come from here: `python -m benchmarks run`, then `... report`."""
