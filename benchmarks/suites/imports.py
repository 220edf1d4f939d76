"""How long `import edge_imprint` takes next to `import numpy` in fresh interpreters, and what it loads."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.context import Context
from benchmarks.errors import BenchmarkError
from benchmarks.harness import ratio
from benchmarks.markdown import table
from benchmarks.results import Result

MODULES = ("numpy", "edge_imprint")
RUNTIMES = ("onnxruntime", "ai_edge_litert", "tflite_runtime", "tensorflow", "torch")
REPEATS, QUICK_REPEATS = 60, 5
WARMUPS = 3
MAX_RATIO = 3.0
PROGRAM = """
import sys, time
start = time.perf_counter_ns()
from {module} import *
elapsed = time.perf_counter_ns() - start
import json
print(json.dumps([elapsed, sorted({{name.partition(".")[0] for name in sys.modules}})]))
"""


def run(context: Context, result: Result) -> None:
    """Alternate the two imports; the clock runs inside the interpreter: its own start does not count.

    All names are taken, because `edge_imprint` loads what it offers at the first use.
    """
    repeats = QUICK_REPEATS if context.quick else REPEATS
    result.settings = {"warmups": WARMUPS, "repeats": repeats, "runtimes_looked_for": list(RUNTIMES)}
    samples: dict[str, list[float]] = {module: [] for module in MODULES}
    loaded: set[str] = set()
    for turn in context.track(range(WARMUPS + repeats), "imports"):
        for module in MODULES:
            elapsed_ns, names = time_import(module)
            if turn >= WARMUPS:
                samples[module].append(elapsed_ns)
            if module == "edge_imprint":
                loaded.update(set(names) & set(RUNTIMES))
    for module in MODULES:
        result.add("import", "ns", samples[module], {"module": module}, "median")
    found = ratio(samples, "edge_imprint", "numpy")
    result.add("import_ratio", "", [found], {}, "median")
    result.promise("import edge_imprint", f"under {MAX_RATIO:g} x import numpy", found, "x", found < MAX_RATIO)
    result.promise("import edge_imprint", "loads no inference runtime", len(loaded), "runtimes", not loaded)
    result.settings["runtimes_loaded"] = sorted(loaded)


def time_import(module: str) -> tuple[int, list[str]]:
    """Nanoseconds of one import in a fresh interpreter, and the top-level modules loaded afterwards.

    Raises:
        BenchmarkError: the import failed.
    """
    command = [sys.executable, "-c", PROGRAM.format(module=module)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"import {module} failed: {done.stderr.strip()}")
    elapsed_ns, names = json.loads(done.stdout)
    return int(elapsed_ns), list(names)


def tables(result: Result) -> dict[str, str]:
    """One table: milliseconds of both imports and their ratio."""
    rows = []
    for module in MODULES:
        found = result.one("import", module=module)
        low, high = found.spread["quartile_1"] or 0.0, found.spread["quartile_3"] or 0.0
        rows.append([f"`import {module}`", f"{found.value / 1e6:.0f}", f"{low / 1e6:.0f} to {high / 1e6:.0f}"])
    rows.append(["ratio", f"{result.one('import_ratio').value:.2f}", ""])
    return {"imports": table(["fresh interpreter", "ms, median", "quartiles"], rows)}
