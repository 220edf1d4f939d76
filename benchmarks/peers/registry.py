"""Who takes part here: a family whose package is missing is left out, with the reason."""

from __future__ import annotations

from importlib import import_module, metadata

from benchmarks.errors import DataMissingError
from benchmarks.peers.peer import Entry
from benchmarks.results import Result

FAMILIES = (
    ("ours", "entries", ""),
    ("numpy_peers", "entries", ""),
    ("sklearn_peers", "entries", "scikit-learn"),
    ("river_peers", "entries", "river"),
    ("search_peers", "faiss_entries", "faiss-cpu"),
    ("search_peers", "usearch_entries", "usearch"),
    ("search_peers", "hnswlib_entries", "hnswlib"),
    ("emlearn_peers", "entries", "emlearn"),
)
"""Module, its function, and the package on PyPI that it needs."""


def installed(result: Result) -> dict[str, Entry]:
    """Contestants by name; who cannot take part, and the versions of who can, are noted in the result."""
    found: dict[str, Entry] = {}
    for module, function, package in FAMILIES:
        try:
            found |= getattr(import_module(f"benchmarks.peers.{module}"), function)()
        except ImportError as error:
            result.skip(f'{package} is not installed ({error}): pip install ".[peers]"')
            continue
        except DataMissingError as error:
            result.skip(str(error))
            continue
        if package:
            result.versions[package] = metadata.version(package)
    if "ours" not in found:
        result.skip("edge_imprint.head has no accelerator here: install a C compiler, then edge-imprint again")
    return found
