"""The command line, `edge-imprint`: one file per command."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    Args:
        arguments: the words after `edge-imprint`; None takes them from the command line.

    Returns:
        0; 2 after one line on standard error; 130 after one line when interrupted from the keyboard.

    >>> main(["plan", "--dim", "0", "--budget", "16KB"])
    2
    """
    try:
        from edge_imprint.cli import interrupts

        with interrupts.heeded():
            from edge_imprint.cli.app import run

            return run(arguments)
    except KeyboardInterrupt:  # what says so otherwise is not loaded yet
        import os
        from contextlib import suppress

        with suppress(OSError):  # standard error may be closed
            os.write(2, b"Interrupted\n")
        return 130
