"""Boards in qemu-system-arm: a program built, started, and reached through a TCP socket."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any

from edge_imprint.atomic import storage_errors
from edge_imprint.errors import EdgeImprintError, MissingRuntimeError, UsageError
from edge_imprint.head import parse_budget, plan
from edge_imprint_firmware import boards, build
from edge_imprint_firmware.options import HeadOptions, default_budget, options_from

# One instruction takes 2^6 ns of the board's time, so that its timer counts instructions, exactly and repeatably.
INSTRUCTION_SHIFT = 6
_STARTED_S = 0.1


class EmulatorError(EdgeImprintError):
    """The emulator ended where it should run; the message has its last words."""


class Emulator:
    """A running board. Leaving the context, or `close`, is what pulling the plug is to a board.

    Attributes:
        url: for `Device.open`, such as socket://127.0.0.1:43123. One host at a time; another may come after it.
        flash: the file that stands for the board's flash.
    """

    def __init__(self, board: boards.Board, program: Path, flash: Path | None = None) -> None:
        self.board = board.name
        self._folder = tempfile.TemporaryDirectory(prefix="edge-imprint-board-") if flash is None else None
        self.flash = Path(self._folder.name) / "flash.bin" if self._folder else Path(flash or "").resolve()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.url = f"socket://127.0.0.1:{listener.getsockname()[1]}"
            self._process = self._start(board, program, listener)
        self._stop = weakref.finalize(self, _kill, self._process)

    def _start(self, board: boards.Board, program: Path, listener: socket.socket) -> subprocess.Popen[bytes]:
        qemu = shutil.which("qemu-system-arm")
        if qemu is None:
            raise MissingRuntimeError("no qemu-system-arm here. On Debian: apt-get install qemu-system-arm")
        command = [qemu, "-M", board.machine, "-kernel", str(program), "-display", "none", "-monitor", "none"]
        command += ["-icount", f"shift={INSTRUCTION_SHIFT}"]
        # The program opens the file by this name, from the folder that the emulator is started in.
        command += [
            "-semihosting-config",
            f"enable=on,target=native,arg={self.flash.name},arg=shift={INSTRUCTION_SHIFT}",
        ]
        command += [
            "-chardev",
            f"socket,id=line,fd={listener.fileno()},server=on,wait=off,nodelay=on",
            "-serial",
            "chardev:line",
        ]
        with storage_errors("start", qemu):
            process = subprocess.Popen(
                command,
                cwd=self.flash.parent,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[listener.fileno()],
                start_new_session=True,  # Ctrl-C is for the host's program, which then closes this
            )
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STARTED_S)
            raise EmulatorError(f"the emulator of {board.name} did not start: {_last_words(process)}")
        return process

    @property
    def pid(self) -> int:
        """The emulator's process."""
        return self._process.pid

    def check(self) -> None:
        """That the board runs.

        Raises:
            EmulatorError: it does not.
        """
        if self._process.poll() is not None and self._stop.alive:
            raise EmulatorError(f"the emulator of {self.board} has ended: {_last_words(self._process)}")

    def wait(self) -> None:
        """Stay until the emulator ends; `EmulatorError` when it does, KeyboardInterrupt passes through."""
        while True:
            self.check()
            time.sleep(0.2)

    def close(self) -> None:
        """Cut the power. What the board saved is in `flash`, unless that was a temporary file. May be called again."""
        self._stop()
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> Emulator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def start(
    board: str,
    dim: int | None = None,
    budget: int | str | None = None,
    *,
    state: str | Path | None = None,
    flash: str | Path | None = None,
    classes: int | None = None,
    **options: Any,
) -> Emulator:
    """Build the program for a board and start it in the emulator.

    Args:
        board: one of `boards.BOARDS`.
        dim: length of an embedding, 64 by default.
        budget: bytes of the head, or text such as "16KB", which is the default where the board has room for it.
        state: a snapshot that the board starts with; `dim` and `budget` are then its own.
        flash: the file that stands for the board's flash, made when it is missing; a temporary one when None.
        classes: how many classes have to fit.
        options: the others of `HeadOptions`.

    Raises:
        UsageError: no such board, or `state` beside `dim` or `budget`.
        BudgetError, CapacityError: the head does not fit into the board, or the classes not into the head.
        MissingRuntimeError: no compiler, make or qemu-system-arm; the message says how to get it.
        EmulatorError: it does not start.
    """
    known = boards.find(board)
    head = head_options(known, dim, budget, state=state, classes=classes, **options)
    return Emulator(known, build.program(known, head, state), None if flash is None else Path(flash))


def head_options(
    board: boards.Board,
    dim: int | None = None,
    budget: int | str | None = None,
    *,
    state: str | Path | None = None,
    classes: int | None = None,
    **options: Any,
) -> HeadOptions:
    """The head's options as `start` understands them; see there."""
    if state is not None:
        given = {"dim": dim, "budget": budget, **options}
        others = [name for name, value in given.items() if value is not None and name != "backbone_bytes"]
        if others:
            raise UsageError(f"a snapshot brings its own {', '.join(others)}; leave them out, or leave state out")
        head = options_from(state, **{k: v for k, v in options.items() if k == "backbone_bytes" and v is not None})
    else:
        chosen = {name: value for name, value in options.items() if value is not None}
        length = 64 if dim is None else dim
        size = default_budget(board, length, chosen.get("backbone_bytes", 512)) if budget is None else budget
        head = HeadOptions(length, parse_budget(size), **chosen)
    if classes is not None:
        plan(head.dim, head.budget, classes=classes, undo=head.undo)
    return head


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stderr:
        process.stderr.close()


def _last_words(process: subprocess.Popen[bytes]) -> str:
    text = process.stderr.read().decode(errors="replace").strip() if process.stderr else ""
    return text.splitlines()[-1] if text else f"exit code {process.returncode}"
