"""What commands print: one JSON object, or text for people; progress and warnings go to standard error."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

_VERDICT_COLOURS = {"known": "green", "uncertain": "yellow", "unknown": "red"}


def write(text: str) -> None:
    """Write to standard output; a reader that has gone away (`| head`) is no error."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes once more on its way out; give it somewhere to write to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_json(document: Mapping[str, Any]) -> None:
    """Write one JSON object on one line, ASCII only so that it survives every locale."""
    write(json.dumps(document, allow_nan=False) + "\n")


def warn(message: str) -> None:
    """Write exactly one line on standard error, whatever the message carries."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in message)
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            sys.stderr.write(line + "\n")
            sys.stderr.flush()


def write_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table: coloured on a terminal, plain aligned columns into a file or pipe."""
    if sys.stdout is not None and sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*columns, header_style="bold")
        for row in rows:
            table.add_row(*(Text(cell, style=_VERDICT_COLOURS.get(cell, "")) for cell in row))
        console = Console()
        with console.capture() as captured:
            console.print(table)
        write(captured.get())
        return
    widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (columns, *rows)]
    write("".join(line.rstrip() + "\n" for line in lines))


def write_facts(facts: Mapping[str, str]) -> None:
    """Write `name: value` lines with the values aligned."""
    width = max(map(len, facts)) + 1
    write("".join(f"{(name + ':').ljust(width)}  {value}\n" for name, value in facts.items()))


def write_story(lines: Sequence[str]) -> None:
    """Write one paragraph per line, on a terminal with the words before the colon in bold."""
    if sys.stdout is None or not sys.stdout.isatty():
        write("".join(f"{line}\n" for line in lines))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console()
    with console.capture() as captured:
        for line in lines:
            subject, colon, rest = line.partition(": ")
            console.print(Text.assemble((subject, "bold cyan"), colon, rest), soft_wrap="/" in rest)
    write(captured.get())


@contextlib.contextmanager
def progress(description: str, total: int, *, quiet: bool = False) -> Iterator[Callable[[], None]]:
    """A progress bar on standard error; yields the function that advances it by one.

    Shows nothing when standard error is not a terminal or `quiet` is set.
    """
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda: bar.advance(task)
