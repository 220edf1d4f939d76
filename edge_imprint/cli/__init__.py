"""The command line, `edge-imprint`: one file per command."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    Args:
        arguments: the words after `edge-imprint`; None takes them from the command line.

    Returns:
        0; 2 after one line on standard error; 130 when interrupted from the keyboard.

    >>> main(["plan", "--dim", "0", "--budget", "16KB"])
    2
    """
    try:
        from edge_imprint.cli.app import run

        return run(arguments)
    except KeyboardInterrupt:  # every save is a rename, so whatever was interrupted left the old file or the new one
        return 130
