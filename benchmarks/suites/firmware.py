"""What the kernels execute for one multiply-accumulate, and the head for one shot or answer, on emulated boards.

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
# A head that fits the 16 KB of the smallest board beside its stack.
HEAD = {"DIM": 64, "BUDGET": 8192, "ARENA": 9216, "CLASSES": 10, "SHOTS": 6}
OPERATIONS = {"learn": "eimp_learn", "predict": "eimp_predict"}


def run(context: Context, result: Result) -> None:
    """Build, run and count for every board."""
    result.settings = {"dim": DIM, "rows": list(ROWS), "optimisations": list(OPTIMISATIONS), "head": HEAD}
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
            for operation, calls in zip(OPERATIONS, teach(BOARDS[name], Path(folder)), strict=True):
                where = {"board": name, "operation": operation}
                result.add("head_instructions", "instructions", calls, where, "median", "emulated")


def teach(board: Board, folder: Path) -> list[list[int]]:
    """Instructions of every shot learnt and of every answer; the whole library is built, as a user builds it."""
    sources = [*sorted(program.SRC.glob("*.c")), program.HERE / "head_cost.c"]
    flags = ("-Os", *(f"-D{key}={value}" for key, value in HEAD.items()))
    return count.count(board, program.build(board, folder / f"{board.name}-head", sources, flags), *OPERATIONS.values())


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
    """Two tables, a row per board: the kernels, and what the head does with them."""
    boards = list(dict.fromkeys(str(found.params["board"]) for found in result.measurements))
    origin = f"*Emulated*: {result.settings['emulator']}; {result.settings['compiler']}."
    return {"firmware": kernels(result, boards, origin), "firmware.head": operations(result, boards, origin)}


def title(board: str) -> str:
    """A board as the tables call it."""
    return f"{BOARDS[board].core.name} (`{board}`)"


def kernels(result: Result, boards: list[str], origin: str) -> str:
    """Instructions per multiply-accumulate."""
    lines = []
    for name in boards:
        line = [title(name)]
        for optimisation in OPTIMISATIONS:
            for rows in ROWS:
                kernel, loop = (
                    result.one("instructions", board=name, optimisation=optimisation, rows=rows, what=what).value
                    for what in MEASURED
                )
                line.append(f"{kernel:.2f}; {loop:.2f}, {loop / kernel:.1f} x")
        lines.append(line)
    head = ["board", *(f"`{flag}`, {rows} row{'s' * (rows > 1)}" for flag in OPTIMISATIONS for rows in ROWS)]
    return (
        f"{table(head, lines)}\n\nInstructions per multiply-accumulate, {DIM} components: of the kernel; of a plain "
        f"fully connected int8 loop, and how many times as many those are. Calls and loops included. {origin}"
    )


def operations(result: Result, boards: list[str], origin: str) -> str:
    """Instructions of one shot and one answer."""
    lines = []
    for name in boards:
        learn, predict = (result.one("head_instructions", board=name, operation=what) for what in OPERATIONS)
        lines.append([title(name), f"{learn.value:,.0f}", f"{max(learn.samples):,.0f}", f"{predict.value:,.0f}"])
    head, settings = ["board", "learn", "learn, most", "predict"], result.settings["head"]
    return (
        f"{table(head, lines)}\n\nInstructions of one call, median: {settings['CLASSES']} classes of "
        f"{settings['SHOTS']} shots at {settings['DIM']}-d in {settings['BUDGET']:,} bytes, `-Os`. {origin}"
    )
