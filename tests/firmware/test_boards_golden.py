"""The golden courses of `tests/golden` on emulated boards: each snapshot equal byte for byte, each answer equal.

The two heads of even the smallest course need more than the 16 KB of a micro:bit; all other boards run it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.firmware import program
from edge_imprint.head.budget import Layout
from edge_imprint_firmware import sizes
from edge_imprint_firmware.boards import BOARDS, Board

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
PROGRAM = Path(__file__).resolve().parent / "c" / "golden_board.c"
# What its stack may take, and the program's own variables.
STACK_BYTES, VARIABLES = 1024, 512
SEMIHOSTING = program.FIRMWARE / "boards" / "semihosting.c"
COURSES = {dim: json.loads((GOLDEN / f"head_{dim}.json").read_text()) for dim in (64, 256, 1024)}
VERBS = ("learn", "forget", "undo", "merge", "reload", "predict")

pytestmark = pytest.mark.skipif(bool(program.missing_tools()), reason=f"no boards here: {program.missing_tools()}")


def arenas(dim: int) -> list[int]:
    """Bytes of both heads' arenas."""
    return [sizes.arena_bytes(Layout(dim, budget), 8, 0) for budget in COURSES[dim]["budgets"]]


def fits(board: Board, dim: int) -> bool:
    return sum(arenas(dim)) + 2 * dim + STACK_BYTES + VARIABLES <= board.ram[1]


CASES = [(name, dim) for name, board in BOARDS.items() for dim in COURSES if fits(board, dim)]
PARAMETERS = [
    pytest.param(name, dim, id=f"{name}-{dim}", marks=[pytest.mark.slow] if dim > 64 else []) for name, dim in CASES
]


def header(dim: int) -> str:
    """golden_steps.h."""
    document = COURSES[dim]
    lines = [f"#define DIM {dim}u", f"#define MAX_PROXIES {document['max_proxies']}u"]
    for index, (budget, arena) in enumerate(zip(document["budgets"], arenas(dim), strict=True)):
        lines += [f"#define BUDGET_{index} {budget}u", f"#define ARENA_{index} {arena}u"]
    lines.append("static const step steps[] = {")
    for step in document["steps"]:
        numbers = [step.get(name, 0) for name in ("class", "shots", "clumps", "spread", "seed")]
        label = step.get("label", 0)
        number, text = (label, "NULL") if isinstance(label, int) else (0, json.dumps(label))
        fields = [step["do"].upper(), step["head"], *numbers, number, text]
        lines.append(f"    {{{', '.join(map(str, fields))}}},")
    return "\n".join([*lines, "};", ""])


@pytest.mark.parametrize(("name", "dim"), PARAMETERS)
def test_every_step_of_the_golden_course(name: str, dim: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = BOARDS[name]
    (tmp_path / "golden_steps.h").write_text(header(dim))
    library = sorted(program.SRC.glob("*.c"))
    flags = ("-Os", "-fdata-sections", f"-I{tmp_path}")
    built = program.build(board, tmp_path / "golden", [*library, SEMIHOSTING, PROGRAM], flags, STACK_BYTES)
    monkeypatch.chdir(tmp_path)  # where the emulator opens the file of snapshots
    done = program.run(board, built)
    assert done.status == 0, f"code -{done.status} after {done.text[-200:]}"
    compare(COURSES[dim]["steps"], done.text.splitlines(), (tmp_path / "snapshots.bin").read_bytes())


def compare(steps: list[dict[str, Any]], said: list[str], written: bytes) -> None:
    """What the board said and wrote, step by step, against the golden file."""
    lines = iter(said)
    offset = 0
    for number, step in enumerate(steps):
        expect, where = step["expect"], f"step {number}: {step['do']}"
        cosines = [int(next(lines).split()[1]) for _ in expect.get("labels", ())]
        for cosine, golden in zip(cosines, expect.get("cosines_q20", ()), strict=True):
            assert abs(cosine / 8 - golden) <= 1, where  # golden ones are whole 2^-20
        if step["do"] == "reload":
            next(lines)  # the snapshot that it loaded, which the one after the step replaced
        size = int(next(lines).split()[0])
        assert hashlib.sha256(written[offset : offset + size]).hexdigest() == expect["sha256"], where
        offset += size
    assert next(lines, None) is None
    assert offset == len(written)


def test_which_boards_run_which_course() -> None:
    large = {name for name, board in BOARDS.items() if board.ram[1] >= 1 << 20}
    assert {name for name, dim in CASES if dim == 64} == set(BOARDS) - {"microbit"}
    assert {name for name, dim in CASES if dim == 256} == set(BOARDS) - {"microbit"}
    assert {name for name, dim in CASES if dim == 1024} == large
