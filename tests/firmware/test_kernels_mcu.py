"""The kernels for microcontrollers: right on all eight boards, and as few instructions as the project promises."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import cbuild
import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.firmware import count, program
from benchmarks.suites import firmware
from edge_imprint_firmware.boards import BOARDS

C = Path(__file__).resolve().parent / "c"
KERNELS = [cbuild.SRC / name for name in firmware.KERNELS]
CHECK = [C / "kernels_mcu.c", C / "kernels_mcu_board.c"]
# What must not be read: where RAM ends, or, where the emulator has something there, an address in RAM that the program
# closes.
FORBIDDEN = {
    "mps2-an385": 0x2030_0000,
    "mps2-an386": 0x2030_0000,
    "mps2-an500": 0x2030_0000,
    "mps2-an505": 0x3840_0000,
    "mps2-an521": 0x3840_0000,
    "mps3-an524": 0x3002_0000,
    "mps3-an547": 0x3140_0000,
    "microbit": 0x2000_4000,
}
KERNEL = {"mps2-an386": "arm dsp", "mps2-an500": "arm dsp", "mps2-an505": "arm dsp", "mps3-an547": "helium mve"}
needs_boards = pytest.mark.skipif(bool(program.missing_tools()), reason=f"needs: {program.missing_tools()}")


@pytest.mark.parametrize("optimisation", ["-O0", "-Os", "-O3"])
def test_plain_kernel_equals_the_sum_on_the_host_and_touches_nothing_else(optimisation):
    built = cbuild.build(
        "kernels_mcu_host", *KERNELS, C / "kernels_mcu.c", C / "kernels_mcu_host.c",
        flags=(*cbuild.SANITIZE, optimisation),
    )  # fmt: skip
    done = subprocess.run([built], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "plain c: 1356 calls equal\n", "")


@needs_boards
@pytest.mark.parametrize("name", BOARDS)
def test_kernel_of_every_board_equals_the_sum_and_reads_no_byte_beyond(name, tmp_path):
    flags = ("-Os", f"-DFORBIDDEN={FORBIDDEN[name]:#x}u")
    built = program.build(BOARDS[name], tmp_path / name, [*KERNELS, *CHECK], flags)
    done = program.run(BOARDS[name], built)
    # No "no fault" follows: what the program reads at last is forbidden, and restarts the board.
    assert (done.status, done.text) == (0, f"{KERNEL.get(name, 'plain c')}: 1336 calls equal twice\n")


@needs_boards
@pytest.mark.slow
@pytest.mark.parametrize("optimisation", ["-O0", "-O1", "-O2", "-O3"])
@pytest.mark.parametrize("name", BOARDS)
def test_kernel_of_every_board_at_every_optimisation(name, optimisation, tmp_path):
    flags = (optimisation, f"-DFORBIDDEN={FORBIDDEN[name]:#x}u")
    built = program.build(BOARDS[name], tmp_path / name, [*KERNELS, *CHECK], flags)
    assert program.run(BOARDS[name], built).text == f"{KERNEL.get(name, 'plain c')}: 1336 calls equal twice\n"


@needs_boards
@pytest.mark.parametrize("name", firmware.LIMITS)
@pytest.mark.parametrize("optimisation", firmware.OPTIMISATIONS)
def test_instructions_per_multiply_accumulate_stay_below_the_promise(name, optimisation, tmp_path):
    kernel, loop = firmware.measure(BOARDS[name], tmp_path, optimisation, firmware.MANY)
    assert kernel <= firmware.LIMITS[name]
    assert kernel < loop


@needs_boards
@pytest.mark.parametrize(
    ("name", "most"), [("microbit", 320), ("mps2-an385", 400), ("mps2-an386", 500), ("mps3-an547", 500)]
)
def test_kernels_are_small(name, most, tmp_path):
    board = BOARDS[name]
    built = program.build(board, tmp_path / name, [*KERNELS, *firmware.PROGRAM], ("-Os", "-DDIM=256", "-DCOUNT=8"))
    assert size_of(built, ("eimp_dots", "four_rows", "two_rows", "one_row")) <= most


def size_of(built: Path, names: tuple[str, ...]) -> int:
    """Bytes of the functions whose names start like that; the linker has dropped what is not used."""
    listing = subprocess.run(["arm-none-eabi-nm", "-S", str(built)], capture_output=True, text=True, check=True).stdout
    columns = [line.split() for line in listing.splitlines()]
    return sum(int(row[1], 16) for row in columns if len(row) == 4 and row[3].startswith(names))


@needs_boards
@pytest.mark.parametrize("cpu", ["cortex-m0", "cortex-m3", "cortex-m4", "cortex-m55"])
def test_a_kernel_is_an_empty_unit_where_its_instructions_are_missing(cpu, tmp_path):
    has = {"cortex-m4": {"dsp"}, "cortex-m55": {"mve"}}.get(cpu, set())
    for source in KERNELS:
        target = tmp_path / f"{source.stem}.o"
        floats = "-mfloat-abi=hard" if cpu == "cortex-m55" else "-mfloat-abi=soft"
        command = ["arm-none-eabi-gcc", *cbuild.STRICT, "-ffreestanding", "-Os", f"-mcpu={cpu}", "-mthumb", floats]
        done = subprocess.run([*command, "-c", source, "-o", target], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        symbols = subprocess.run(["arm-none-eabi-nm", target], capture_output=True, text=True, check=True).stdout
        kind = source.stem.removeprefix("eimp_kernels").removeprefix("_")
        # A Cortex-M55 has SMLAD as well; the linker drops what is not called.
        expected = kind in has or kind == "" or (cpu == "cortex-m55" and kind == "dsp")
        assert bool(symbols.strip()) == expected, f"{source.name} on {cpu}: {symbols}"


@needs_boards
def test_stack_of_a_kernel_stays_below_the_promise(tmp_path):
    for board in BOARDS.values():
        for source in KERNELS:
            command = [program.COMPILER, *board.core.gcc.split(), "-std=c99", "-ffreestanding", "-Os", "-fstack-usage"]
            subprocess.run([*command, "-c", str(source), "-o", str(tmp_path / "k.o")], check=True)
            usage = (tmp_path / "k.su").read_text(encoding="ascii").splitlines()
            assert sum(int(line.split("\t")[1]) for line in usage) <= 256


@needs_boards
def test_counting_gives_the_instructions_of_a_function_known_by_heart(tmp_path):
    source = tmp_path / "known.c"
    source.write_text(
        "#include \"bare.h\"\n"
        "void inner(void); void outer(void);\n"
        "__attribute__((naked, noinline)) void inner(void) { __asm__ volatile(\"nop\\n\\tnop\\n\\tbx lr\"); }\n"
        "__attribute__((naked, noinline)) void outer(void) {\n"
        "    __asm__ volatile(\"push {r4, lr}\\n\\tbl inner\\n\\tbl inner\\n\\tpop {r4, pc}\"); }\n"
        "int main(void) { outer(); inner(); bare_exit(0); return 0; }\n"
    )  # fmt: skip
    board = BOARDS["microbit"]
    built = program.build(board, tmp_path / "known", [source])
    assert count.count(board, built, "inner", "outer") == [[3, 3, 3], [1 + 1 + 3 + 1 + 3 + 1]]
    with pytest.raises(BenchmarkError, match="has no function nothing"):
        count.count(board, built, "nothing")
    with pytest.raises(BenchmarkError, match="does not return from main"):
        count.count(board, built, "main")
    with pytest.raises(BenchmarkError, match="never calls eimp_port_tick"):
        count.count(board, built, "eimp_port_tick")


def test_a_call_ends_where_it_came_from():
    meter = count.Meter(entry=100)
    for place in (0, 4, 100, 102, 8, 10, 100, 12, 14, 100):
        meter.step(place)
    assert meter.calls == [2, 1]
    assert meter.inside


@needs_boards
def test_a_program_that_fails_says_so(tmp_path):
    source = tmp_path / "failing.c"
    source.write_text('#include "bare.h"\nint main(void) { bare_print("no"); bare_exit(3); return 0; }\n')
    board = BOARDS["mps2-an386"]
    built = program.build(board, tmp_path / "failing", [source])
    assert program.run(board, built) == program.Run(3, "no")
    with pytest.raises(BenchmarkError, match="ended with 3: no"):
        count.count(board, built, "main")
    source.write_text("int main(void) { return nothing; }\n")
    with pytest.raises(BenchmarkError, match="nothing"):
        program.build(board, tmp_path / "wrong", [source])


def test_missing_tools_are_named_with_the_command_that_installs_them(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    assert program.missing_tools() == "apt-get install gcc-arm-none-eabi qemu-system-arm"
