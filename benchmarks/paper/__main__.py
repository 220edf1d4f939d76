"""`python -m benchmarks.paper`: one command, and one line on standard error when it cannot do it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

import typer

from edge_imprint.cli import interrupts, output
from edge_imprint.errors import EdgeImprintError

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after the program's name; None takes them from the command line.

    Returns:
        0; 2 after one line on standard error; 130 after one line when interrupted from the keyboard.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with interrupts.heeded():
            from benchmarks.paper.cli import app

            command = typer.main.get_command(app)
            code = command.main(args=words, prog_name="python -m benchmarks.paper", standalone_mode=False)
    except interrupts.StoppedError as stopped:
        return _interrupted(str(stopped))
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except Exception as error:
        if interrupts.pressed():  # what a library makes of Ctrl-C
            return _interrupted()
        output.warn(f"Error: {_line(error)}")
        return 2
    return _interrupted() if code == INTERRUPTED else code if isinstance(code, int) else 0


def _line(error: Exception) -> str:
    if isinstance(error, EdgeImprintError):
        return str(error)
    if hasattr(error, "format_message"):  # wrong words, in Typer's own
        return f"{error.format_message()} Try: python -m benchmarks.paper --help"
    if sys.flags.dev_mode:
        traceback.print_exception(error)
    return f"internal error, please report it ({type(error).__name__}: {error}); PYTHONDEVMODE=1 shows where"


def _interrupted(left: str = "") -> int:
    output.warn(f"Interrupted{left and f': {left}'}")
    return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
