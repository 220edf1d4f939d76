"""Death at any moment of a save: the old snapshot or the new one, never neither.

The saving process is a real one and SIGKILL is real. A power cut cannot be tried without a plug to pull:
for that, the order write, flush, rename, flush of the folder is what a journalling file system needs.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import pytest

from edge_imprint import atomic, snapshot

SMALL = {"HEAD": b"small", "PROXIES8": b"\x01" * 3_000}
LARGE = {"HEAD": b"large", "PROXIES8": b"\x02" * 150_000}
KILLS = 240

# The package's own __init__ would load numpy: a stand-in keeps the start of each process at some 30 ms.
PREAMBLE = """
import os, signal, sys, types
package = types.ModuleType("edge_imprint")
package.__path__ = [sys.argv[1]]
sys.modules["edge_imprint"] = package
from edge_imprint import atomic, snapshot
# Whoever starts the tests in the background may have told this process to ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
SMALL = {"HEAD": b"small", "PROXIES8": b"\\x01" * 3_000}
LARGE = {"HEAD": b"large", "PROXIES8": b"\\x02" * 150_000}
path = sys.argv[2]
"""

SAVE_FOR_EVER = """
os.write(1, b".")
while True:
    for sections in (LARGE, SMALL):
        snapshot.write(path, sections)
        os.write(1, b".")
"""

DIE_AT_LINE = """
left = int(sys.argv[3])
def trace(frame, event, argument):
    global left
    if frame.f_code.co_filename not in (atomic.__file__, snapshot.__file__):
        return None
    if event == "line":
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return trace
sys.settrace(trace)
snapshot.write(path, LARGE)
"""


def start(program: str, path: Path, *arguments: str) -> subprocess.Popen[bytes]:
    package = str(Path(snapshot.__file__).parent)
    command = [sys.executable, "-S", "-E", "-c", PREAMBLE + program, package, str(path), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def random_moment(process: subprocess.Popen[bytes], generator: random.Random) -> None:
    """Return after a few saves and a random part of one more, as long as a save takes on this machine now."""
    assert process.stdout is not None
    assert process.stdout.read(1) == b"."
    began, saves = time.perf_counter(), generator.randint(1, 3)
    assert len(process.stdout.read(saves)) == saves
    time.sleep(generator.uniform(0, 1.5) * (time.perf_counter() - began) / saves)


def temporary_files(folder: Path) -> list[Path]:
    return list(folder.glob(".edge-imprint-*.tmp"))


def test_sigkill_at_random_moments(tmp_path):
    path = tmp_path / "kitchen.eimp"
    snapshot.write(path, SMALL)
    generator = random.Random(200)
    half_written, seen = 0, set()
    for _ in range(KILLS):
        with start(SAVE_FOR_EVER, path) as process:
            random_moment(process, generator)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        sections = snapshot.read(path)
        assert sections in (SMALL, LARGE)
        seen.add(sections["HEAD"])
        assert len(temporary_files(tmp_path)) <= 1  # the next process removed the last one's
        half_written += len(temporary_files(tmp_path))
    assert seen == {b"small", b"large"}
    assert half_written >= KILLS // 10, "too few kills came in the middle of a save to prove anything"
    snapshot.write(path, SMALL)
    assert list(tmp_path.iterdir()) == [path]


def test_sigkill_at_every_line_of_the_save(tmp_path):
    path = tmp_path / "kitchen.eimp"
    outcomes = []
    for line in range(1, 500):
        snapshot.write(path, SMALL)
        assert list(tmp_path.iterdir()) == [path]
        with start(DIE_AT_LINE, path, str(line)) as process:
            process.wait()
        sections = snapshot.read(path)
        assert sections in (SMALL, LARGE)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        outcomes.append(sections["HEAD"])
    assert process.returncode == 0
    assert outcomes == sorted(outcomes, reverse=True)  # small ... small, large ... large: one moment decides
    assert set(outcomes) == {b"small", b"large"}


def test_interrupt_at_every_instruction_leaves_old_or_new_and_no_temporary_file(tmp_path):
    path = tmp_path / "kitchen.eimp"
    ours = {atomic.__file__, snapshot.__file__}
    left = 0

    def trace(frame: FrameType, event: str, argument: object):
        nonlocal left
        if frame.f_code.co_filename not in ours:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return trace

    outcomes = []
    previous = sys.gettrace()
    for instruction in range(1, 5000):
        snapshot.write(path, SMALL)
        left = instruction
        sys._getframe().f_trace_opcodes = True  # Python 3.12 looks at this when tracing starts, not later
        sys.settrace(trace)
        try:
            snapshot.write(path, LARGE)
        except KeyboardInterrupt:
            interrupted = True
        else:
            interrupted = False
        finally:
            sys.settrace(previous)
        assert list(tmp_path.iterdir()) == [path], f"instruction {instruction} left a temporary file"
        outcomes.append(snapshot.read(path)["HEAD"])
        if not interrupted:
            break
    assert not interrupted
    assert outcomes == sorted(outcomes, reverse=True)
    assert set(outcomes) == {b"small", b"large"}


@pytest.mark.parametrize("seed", range(20))
def test_ctrl_c_leaves_old_or_new_and_no_temporary_file(tmp_path, seed):
    path = tmp_path / "kitchen.eimp"
    snapshot.write(path, SMALL)
    with start(SAVE_FOR_EVER, path) as process:
        assert process.stderr is not None
        random_moment(process, random.Random(seed))
        process.send_signal(signal.SIGINT)
        assert b"KeyboardInterrupt" in process.stderr.read()
    assert snapshot.read(path) in (SMALL, LARGE)
    assert list(tmp_path.iterdir()) == [path]
