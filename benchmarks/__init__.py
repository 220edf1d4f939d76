"""What README's tables come from: `python -m benchmarks run`, then `python -m benchmarks report`."""
