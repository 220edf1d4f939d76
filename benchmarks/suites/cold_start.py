"""Fresh processes: import, construct, teach one picture, recognise another; and what stays in memory.

Next to edge-imprint with its default backbone runs a script of onnxruntime, Pillow and numpy that does the same: it
embeds both pictures and answers with the nearest row.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.context import Context
from benchmarks.data import ROOT
from benchmarks.end_to_end.ladder import footage
from benchmarks.end_to_end.networks import default
from benchmarks.errors import BenchmarkError, DataMissingError
from benchmarks.harness import ratio
from benchmarks.markdown import table
from benchmarks.results import Result

REPEATS, QUICK_REPEATS = 41, 5
WARMUPS = 2
MOST_TIME, MOST_BYTES = 1.3, 8_000_000
LEARNER, BARE = "edge-imprint", "onnxruntime, Pillow and numpy"
PROGRAMS = {LEARNER: "start_learner.py", BARE: "start_bare.py"}
STAGES = ("import", "construct", "teach", "predict")
MEMORY = {"VmHWM": "peak", "VmRSS": "resident", "Pss": "proportional"}


def run(context: Context, result: Result) -> None:
    """Alternate the two programs; the clock starts in each one's first line, not with the interpreter."""
    repeats = QUICK_REPEATS if context.quick else REPEATS
    result.settings = {"repeats": repeats, "warmups": WARMUPS, "threads": "left to onnxruntime in both"}
    try:
        seen = footage()
    except DataMissingError as error:
        result.skip(str(error))
        return
    (network,) = [found for found in default() if found.kind == "onnx-int8"]
    times: dict[str, dict[str, list[float]]] = {name: {} for name in PROGRAMS}
    memory: dict[str, dict[str, list[float]]] = {name: {} for name in PROGRAMS}
    with tempfile.TemporaryDirectory() as work:
        pictures = [Path(work) / "lesson.jpg", Path(work) / "frame.jpg"]
        pictures[0].write_bytes(seen.lessons[0])
        pictures[1].write_bytes(seen.jpeg)
        for turn in context.track(range(WARMUPS + repeats), "fresh starts"):
            for name, program in PROGRAMS.items():
                took, held = start(program, [network.path, *pictures], Path(work) / "bytecode")
                if turn < WARMUPS:
                    continue
                for stage, value in took.items():
                    times[name].setdefault(stage, []).append(value)
                for field, value in held.items():
                    memory[name].setdefault(field, []).append(value)
    for name in PROGRAMS:
        for stage, values in times[name].items():
            result.add("time", "ns", values, {"program": name, "stage": stage}, "median")
        for field, values in memory[name].items():
            result.add("memory", "bytes", values, {"program": name, "field": field}, "median")
    _promises(result, {name: times[name]["all"] for name in PROGRAMS})


def _promises(result: Result, whole: dict[str, list[float]]) -> None:
    slower = result.add("time_ratio", "x", [ratio(whole, LEARNER, BARE)], {}, "median").value
    rule = f"import, construct, first prediction under {MOST_TIME} x a bare onnxruntime script"
    result.promise("cold start", rule, slower, "x", slower < MOST_TIME)
    for field in MEMORY.values():
        ours, bare = (result.one("memory", program=name, field=field).value for name in (LEARNER, BARE))
        rule = f"{field} memory at most {MOST_BYTES / 1e6:g} MB above that script's"
        result.promise("cold start", rule, ours - bare, "bytes", ours - bare <= MOST_BYTES)


def start(program: str, arguments: list[Path], bytecode: Path) -> tuple[dict[str, float], dict[str, float]]:
    """One fresh process: nanoseconds by stage, and "all"; bytes by kind of memory.

    Modules are compiled once into `bytecode`, as installing does, whatever the environment says about that.

    Raises:
        BenchmarkError: it failed.
    """
    path = Path(__file__).resolve().parent.parent / "end_to_end" / program
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(bytecode)
    command = [sys.executable, str(path), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"{program} failed: {done.stderr.strip()[-500:]}")
    label, *words = done.stdout.split(maxsplit=6)
    if label != "taught":
        raise BenchmarkError(f"{program} must recognise what it was taught; it answered {label!r}")
    marks = [int(word) for word in words[:5]]
    took = {stage: float(marks[place + 1] - marks[place]) for place, stage in enumerate(STAGES)}
    took["all"] = float(marks[-1] - marks[0])
    held = {}
    for field, name in MEMORY.items():
        found = re.search(rf"{field}:\s+(\d+) kB", words[5])
        if found:  # a kernel without smaps_rollup has no Pss
            held[name] = float(found[1]) * 1024
    return took, held


def tables(result: Result) -> dict[str, str]:
    """One table: milliseconds by stage, megabytes, and what edge-imprint adds."""
    rows = []
    for stage in (*STAGES, "all"):
        ours, bare = (result.one("time", program=name, stage=stage).value / 1e6 for name in (LEARNER, BARE))
        rows.append([f"{stage}, ms", f"{ours:.1f}", f"{bare:.1f}", f"{ours / bare:.2f} x"])
    for field in MEMORY.values():
        ours, bare = (result.one("memory", program=name, field=field).value / 1e6 for name in (LEARNER, BARE))
        rows.append([f"{field} memory, MB", f"{ours:.1f}", f"{bare:.1f}", f"{ours - bare:+.1f} MB"])
    note = "Medians of fresh processes in turns. onnxruntime is imported in the first row or in the second."
    return {"cold_start": f"{table(['stage', LEARNER, BARE, 'difference'], rows)}\n\n{note}"}
