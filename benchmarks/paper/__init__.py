"""The paper's protocols on anybody's pictures and bundles: `python -m benchmarks.paper run`, `figures`, `tables`."""
