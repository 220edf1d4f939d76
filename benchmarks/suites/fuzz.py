"""The parsers of the C library on made-up bytes: libFuzzer with ASan and UBSan, so long on each, and what it reached.

Targets and first inputs are in `firmware_bridge/fuzz`; what a run finds out is kept in its build folder, and the next
run begins there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.context import Context
from benchmarks.errors import BenchmarkError
from benchmarks.machine import ROOT
from benchmarks.markdown import table
from benchmarks.results import Result

FOLDER = ROOT / "firmware_bridge" / "fuzz"
BUILD = FOLDER / "build"
MINUTES = 20
# The files whose lines count as a target's own: the parser, not what it stands on.
PARSERS = {
    "label": "eimp_label",
    "frame": "eimp_frame",
    "snapshot": "eimp_snapshot",
    "store": "eimp_store",
    "rpc": "eimp_rpc",
}
COVERAGE = "-fsanitize=fuzzer -fprofile-instr-generate -fcoverage-mapping"
COMPILERS, COUNTERS = ("make", "clang"), ("llvm-profdata", "llvm-cov")
FUZZER = "libclang_rt.fuzzer*"
WAY_OUT = "no {}; on Debian: apt-get install make clang libclang-rt-14-dev llvm"


@dataclass(frozen=True)
class Outcome:
    """What one run of libFuzzer says: its log, how long it took and kept a processor, and what broke, a file each."""

    log: str
    wall_s: float
    cpu_s: float
    found: tuple[str, ...]

    def number(self, pattern: str) -> float:
        """The last number that the log has for this pattern.

        Raises:
            BenchmarkError: there is none.
        """
        numbers = re.findall(pattern, self.log)
        if not numbers:
            raise BenchmarkError(f"libFuzzer's log has no {pattern!r}; it ends: {self.log[-500:].strip()}")
        return float(numbers[-1])


def missing_tool(*more: str) -> str | None:
    """The first of what building and running takes, and of these programs, that is not here."""
    missing = next((tool for tool in (*COMPILERS, *more) if shutil.which(tool) is None), None)
    if missing is None and not any(Path(_call(["clang", "-print-runtime-dir"]).strip()).glob(FUZZER)):
        return "libFuzzer of clang"
    return missing


def build(folder: Path, targets: Sequence[str] = tuple(PARSERS), **variables: str) -> None:
    """Compile targets into a folder, with the Makefile's variables or others.

    Raises:
        BenchmarkError: they do not compile.
    """
    command = ["make", "-C", str(FOLDER), f"-j{os.cpu_count()}", f"BUILD={folder}"]
    command += [f"{name}={value}" for name, value in variables.items()]
    command += [f"{folder}/fuzz_{target}" for target in targets]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"the fuzz targets do not compile: {done.stderr.strip()}")


def fuzz(program: Path, corpus: Sequence[Path], found: Path, *limits: str) -> Outcome:
    """Run one target from these folders of inputs on; new inputs go into the first, what breaks it into `found`."""
    found.mkdir(parents=True, exist_ok=True)
    before = set(found.iterdir())
    command = [str(program), *limits, "-seed=1", "-print_final_stats=1", f"-artifact_prefix={found}/"]
    environment = {**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=32"}
    log = found / f"{program.name}.log"
    start = time.perf_counter()
    with log.open("wb") as out:
        child = subprocess.Popen(
            [*command, *map(str, corpus)], stdout=out, stderr=subprocess.STDOUT, env=environment, cwd=found
        )
        _, status, used = os.wait4(child.pid, 0)
    wall_s = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    text = log.read_text(encoding="utf-8", errors="replace")
    log.unlink()
    broken = tuple(sorted(path.name for path in set(found.iterdir()) - before - {log}))
    if child.returncode != 0 and not broken:
        raise BenchmarkError(f"{program.name} ended with {child.returncode}: {text[-500:].strip()}")
    return Outcome(text, wall_s, used.ru_utime + used.ru_stime, broken)


def run(context: Context, result: Result) -> None:
    """Build, fuzz as many targets at a time as there are processors, and count the lines reached."""
    if missing := missing_tool(*COUNTERS):
        result.skip(WAY_OUT.format(missing))
        return
    seconds = 2 if context.quick else 60 * MINUTES
    result.settings = settings(seconds)
    build(BUILD)

    def one(target: str) -> Outcome:
        work = BUILD / "work" / target
        work.mkdir(parents=True, exist_ok=True)
        folders = [work, FOLDER / "corpus" / target]
        return fuzz(BUILD / f"fuzz_{target}", folders, BUILD / "found" / target, f"-max_total_time={seconds}")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for target, outcome in context.track(zip(PARSERS, pool.map(one, PARSERS), strict=True), "fuzz"):
            record(result, target, outcome)
    build(BUILD / "coverage", SANITIZE=COVERAGE)
    for target in PARSERS:
        record_lines(result, target, BUILD / "work" / target)
    promise(result)


def settings(seconds: int) -> dict[str, str | int]:
    """What a run was made with."""
    clang = _call(["clang", "--version"]).splitlines()[0]
    return {"seconds": seconds, "sanitizers": "address, undefined", "seed": 1, "clang": clang}


def record(result: Result, target: str, outcome: Outcome) -> None:
    """What one run of a target reached."""
    where = {"target": target}
    result.add("findings", "", [len(outcome.found)], where, "max")
    result.add("executions", "", [outcome.number(r"number_of_executed_units: (\d+)")], where, "max")
    result.add("edges", "", [outcome.number(r"cov: (\d+)")], where, "max")
    result.add("features", "", [outcome.number(r"ft: (\d+)")], where, "max")
    result.add("time", "s", [outcome.wall_s], where, "max")
    result.add("cpu_time", "s", [outcome.cpu_s], where, "max")


def record_lines(result: Result, target: str, work: Path) -> None:
    """Lines and branches of the parser's own files that the inputs kept so far reach.

    Raises:
        BenchmarkError: a tool of LLVM failed.
    """
    program = BUILD / "coverage" / f"fuzz_{target}"
    raw, profile = program.with_suffix(".raw"), program.with_suffix(".profile")
    _call([program, "-runs=0", work, FOLDER / "corpus" / target], LLVM_PROFILE_FILE=str(raw))
    _call(["llvm-profdata", "merge", "-sparse", raw, "-o", profile])
    export = _call(["llvm-cov", "export", "-summary-only", program, f"-instr-profile={profile}"])
    own = [file["summary"] for file in json.loads(export)["data"][0]["files"]
           if Path(file["filename"]).name.startswith(PARSERS[target]) and file["filename"].endswith(".c")]  # fmt: skip
    for what in ("lines", "branches"):
        for kind in ("covered", "count"):
            result.add(f"{what}_{kind}", "", [sum(file[what][kind] for file in own)], {"target": target}, "max")


def _call(command: Sequence[str | Path], **environment: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    if done.returncode != 0:
        raise BenchmarkError(f"{command[0]} ended with {done.returncode}: {done.stderr[-500:].strip()}")
    return done.stdout


def promise(result: Result) -> None:
    """No finding in the promised time on every parser."""
    found = sum(each.value for each in result.select("findings"))
    least = min(each.value for each in result.select("time"))
    rule = f"no finding under ASan and UBSan, at least {MINUTES} minutes by the clock on each of {len(PARSERS)} targets"
    result.promise("fuzz of the parsers", rule, found, "findings", found == 0 and least >= 60 * MINUTES)


def tables(result: Result) -> dict[str, str]:
    """One table: a row for every target."""
    rows = []
    for target in PARSERS:
        one = {each.name: each.value for each in result.measurements if each.params["target"] == target}
        lines, branches = (f"{one[f'{what}_covered'] / one[f'{what}_count']:.0%}" for what in ("lines", "branches"))
        times = f"{one['time'] / 60:.0f} min, {one['cpu_time'] / 60:.1f} min"
        rows.append(
            [f"`{PARSERS[target]}`", times, f"{one['executions']:,.0f}", lines, branches, f"{one['findings']:.0f}"]
        )
    head = ["parser", "time, of that processor", "inputs run", "its lines reached", "its branches", "findings"]
    return {"fuzz": table(head, rows)}
