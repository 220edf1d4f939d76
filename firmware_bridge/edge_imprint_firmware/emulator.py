"""Boards in qemu-system-arm: a program built, started, and reached through a TCP socket."""

from __future__ import annotations

import contextlib
import os
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
from edge_imprint_firmware import boards, build, sizes
from edge_imprint_firmware.options import chosen

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

    def __init__(self, board: boards.Board, program: Path, flash: Path | None = None, port: int = 0) -> None:
        self.board = board.name
        self._folder = tempfile.TemporaryDirectory(prefix="edge-imprint-board-") if flash is None else None
        self.flash = Path(self._folder.name) / "flash.bin" if self._folder else Path(flash or "").resolve()
        try:
            with _listener(port) as listener:
                self.url = f"socket://127.0.0.1:{listener.getsockname()[1]}"
                self._process = self._start(board, program, listener)
        except BaseException:
            if self._folder is not None:
                self._folder.cleanup()
            raise
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
    port: int = 0,
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
        port: TCP port of the serial line; any free one for 0.
        options: the others of `HeadOptions`.

    Raises:
        UsageError: no such board, `state` beside `dim` or `budget`, or `flash` is a file that no such board wrote.
        BudgetError, CapacityError: the head does not fit into the board, or the classes not into the head.
        MissingRuntimeError: no compiler, make or qemu-system-arm; the message says how to get it.
        StorageError: the file of the flash cannot be written.
        EmulatorError: it does not start, or the port is taken.
    """
    known = boards.find(board)
    head = chosen(known, dim, budget, state=state, classes=classes, **options)
    if flash is not None:
        _check_flash(Path(flash), known, sizes.flash_bytes(head.snapshot_bytes, known.sector_bytes))
    return Emulator(known, build.program(known, head, state), None if flash is None else Path(flash), port)


def _check_flash(file: Path, board: boards.Board, flash_bytes: int) -> None:
    """That the file can be written, and that it is no other file of its owner's which a save would overwrite."""
    with storage_errors("write", file), file.open("ab+") as opened:
        opened.seek(0)
        start = opened.read(flash_bytes + 1)
    if len(start) > flash_bytes or (len(start) < flash_bytes and start.strip(b"\xff")):
        raise UsageError(
            f"the flash of {board.name} with this head is a file of {flash_bytes} bytes; {file} holds something else. "
            "Name a new file"
        )


def _listener(port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise UsageError(f"a TCP port is from 0 to 65535; got {port}")
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else error
        raise EmulatorError(f"TCP port {port} cannot be had: {why}. Choose another, or 0 for any free one") from error


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stderr:
        process.stderr.close()


def _last_words(process: subprocess.Popen[bytes]) -> str:
    text = process.stderr.read().decode(errors="replace").strip() if process.stderr else ""
    return text.splitlines()[-1] if text else f"exit code {process.returncode}"
