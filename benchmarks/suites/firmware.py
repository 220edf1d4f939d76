"""What the kernels for microcontrollers execute for one multiply-accumulate, on emulated boards.

Instructions, never cycles or time: an emulator does not know how long a processor takes for one.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.context import Context
from benchmarks.firmware import count, program
from benchmarks.markdown import table
from benchmarks.results import Param, Result
from edge_imprint_firmware.boards import BOARDS, Board

DIM, MANY = 256, 32
ROWS = (MANY, 1)
"""Many rows are a search for the best proxy; the head's bookkeeping takes one at a time."""
OPTIMISATIONS = ("-O2", "-Os")
KERNELS = ("eimp_kernels.c", "eimp_kernels_dsp.c", "eimp_kernels_mve.c")
PROGRAM = (program.HERE / "kernel_cost.c", program.HERE / "plain_loop.c")
# Issue 4. A Cortex-M33 without DSP has no promise of its own.
LIMITS = {
    "microbit": 7.0,
    "mps2-an385": 5.0,
    "mps2-an386": 1.8,
    "mps2-an500": 1.8,
    "mps2-an505": 1.8,
    "mps3-an547": 0.30,
}
MEASURED = {"kernel": "eimp_dots", "plain loop": "plain_loop"}


def run(context: Context, result: Result) -> None:
    """Build, run and count for every board, at both optimisations."""
    result.settings = {"dim": DIM, "rows": list(ROWS), "optimisations": list(OPTIMISATIONS)}
    missing = program.missing_tools()
    if missing:
        result.skip(f"nothing emulated: {missing}")
        return
    result.settings["compiler"] = version(program.COMPILER)
    result.settings["emulator"] = version(program.EMULATOR)
    names = list(LIMITS)[:1] if context.quick else list(BOARDS)
    with tempfile.TemporaryDirectory(prefix="eimp-firmware-") as folder:
        for name in context.track(names, "firmware"):
            for optimisation in OPTIMISATIONS:
                for rows in ROWS:
                    counts = measure(BOARDS[name], Path(folder), optimisation, rows)
                    where: dict[str, Param] = {"board": name, "optimisation": optimisation, "rows": rows}
                    for what, found in zip(MEASURED, counts, strict=True):
                        result.add("instructions", "per MAC", [found], {**where, "what": what}, "max", "emulated")
                promise(result, name, optimisation)


def measure(board: Board, folder: Path, optimisation: str, rows: int) -> tuple[float, float]:
    """Instructions per multiply-accumulate in one call of the kernel and in one of the plain loop, each as a whole."""
    sources = [*(program.SRC / name for name in KERNELS), *PROGRAM]
    flags = (optimisation, f"-DDIM={DIM}", f"-DCOUNT={rows}")
    built = program.build(board, folder / f"{board.name}{optimisation}-{rows}", sources, flags)
    (kernel,), (loop,) = count.count(board, built, *MEASURED.values())
    return kernel / (DIM * rows), loop / (DIM * rows)


def promise(result: Result, name: str, optimisation: str) -> None:
    """Hold the number against the promise for this board, where there is one."""
    if name not in LIMITS:
        return
    found = result.one("instructions", board=name, optimisation=optimisation, rows=MANY, what="kernel")
    rule = f"{BOARDS[name].core.name}: at most {LIMITS[name]:g} instructions per multiply-accumulate, emulated"
    result.promise(f"firmware: {name}, {optimisation}", rule, found.value, "", found.value <= LIMITS[name])


def version(tool: str) -> str:
    """First line of what a tool says about itself."""
    return subprocess.run([str(shutil.which(tool)), "--version"], capture_output=True, text=True, check=True
                          ).stdout.splitlines()[0]  # fmt: skip


def tables(result: Result) -> dict[str, str]:
    """One table: a row per board."""
    lines = []
    for name in dict.fromkeys(str(found.params["board"]) for found in result.measurements):
        line = [f"{BOARDS[name].core.name} (`{name}`)"]
        for optimisation in OPTIMISATIONS:
            for rows in ROWS:
                kernel, loop = (
                    result.one("instructions", board=name, optimisation=optimisation, rows=rows, what=what).value
                    for what in MEASURED
                )
                line.append(f"{kernel:.2f}; {loop:.2f}, {loop / kernel:.1f} x")
        lines.append(line)
    head = ["board", *(f"`{flag}`, {rows} row{'s' * (rows > 1)}" for flag in OPTIMISATIONS for rows in ROWS)]
    note = (
        f"Instructions per multiply-accumulate, {DIM} components: of the kernel; of a plain fully connected int8 loop, "
        f"and how many times as many those are. Calls and loops included. *Emulated*: {result.settings['emulator']}; "
        f"{result.settings['compiler']}."
    )
    return {"firmware": f"{table(head, lines)}\n\n{note}"}
