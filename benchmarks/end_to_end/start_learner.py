"""A fresh start with edge-imprint and its default backbone. Run by the suite `cold_start` as a script.

Arguments: the .onnx file, which is inside the package and not used; a picture to teach, a picture to recognise.
"""

import time

start = time.perf_counter_ns()
import sys  # noqa: E402

from edge_imprint import Learner  # noqa: E402

imported = time.perf_counter_ns()
learner = Learner()
constructed = time.perf_counter_ns()
learner.learn(sys.argv[2], "taught")
taught = time.perf_counter_ns()
label = learner.predict(sys.argv[3]).label
answered = time.perf_counter_ns()
from pathlib import Path  # noqa: E402

rollup = Path("/proc/self/smaps_rollup")  # not in every kernel
memory = Path("/proc/self/status").read_text() + (rollup.read_text() if rollup.exists() else "")
print(label, start, imported, constructed, taught, answered, memory.replace("\n", ";"))
