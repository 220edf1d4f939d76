"""The Typer application and the one place where an exception becomes a line and an exit code."""

from __future__ import annotations

import contextlib
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from edge_imprint import __version__
from edge_imprint.cli import (
    backbones,
    demo,
    evaluate,
    export,
    firmware,
    forget,
    info,
    interrupts,
    learn,
    output,
    plan,
    predict,
    profile,
)
from edge_imprint.errors import EdgeImprintError, ProviderWarning

_INTERRUPTED = 130

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    """Few-shot imprinting on the device: show a handful of pictures, say the name, recognise it from then on.

    No gradients, no network connection, and never more memory than the budget
    you set.

    \b
    Start here:
      edge-imprint demo
      edge-imprint learn mug mug1.jpg mug2.jpg --state robot.eimp
      edge-imprint predict new.jpg --state robot.eimp
    """
    if version:
        output.write(f"edge-imprint {__version__}\n")
    elif context.invoked_subcommand is None:
        output.write(context.get_help() + "\n")


for _command in (demo, learn, predict, forget, info, plan, evaluate, profile, export, backbones):
    app.command(_command.__name__.rpartition(".")[2])(_command.command)
app.add_typer(firmware.app, name="firmware")


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; whatever it raises becomes one line on standard error. See `edge_imprint.cli.main`."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # a closed stream is None, a captured one may lack the method
            # File names need not be UTF-8; show what cannot be encoded instead of failing on it.
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with _warnings_in_one_line():
            code = typer.main.get_command(app).main(args=words, prog_name="edge-imprint", standalone_mode=False)
    except interrupts.StoppedError as stopped:
        return _interrupted(str(stopped))
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except Exception as error:
        # What a library makes of Ctrl-C is no defect.
        return _interrupted() if interrupts.pressed() else _fail(_line(error))
    if code == _INTERRUPTED:  # what Typer makes of Ctrl-C
        return _interrupted()
    return code if isinstance(code, int) else 0


@contextlib.contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """What this package warns of is for who typed the command: a line like an error's, without a place in the code."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def shown(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, ProviderWarning):
                output.warn(f"Warning: {message}")
            else:
                show(message, category, *place, **more)

        warnings.showwarning = shown
        yield


def _line(error: Exception) -> str:
    if isinstance(error, EdgeImprintError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
    if isinstance(error, MemoryError):
        return "not enough memory for this; use smaller pictures or fewer at once"
    return _explain(error)


def _explain(error: Exception) -> str:
    """A wrong option or argument in Typer's words, or a defect of this program in one line."""
    if hasattr(
        error, "format_message"
    ):  # Typer's base class for usage errors has had two homes; this is what they share
        context = getattr(error, "ctx", None)  # of the command whose words were wrong
        return f"{error.format_message()} Try: {context.command_path if context else 'edge-imprint'} --help"
    if sys.flags.dev_mode:
        traceback.print_exc()
    return f"internal error, please report it ({type(error).__name__}: {error}); PYTHONDEVMODE=1 shows where"


def _fail(message: str) -> int:
    output.warn(f"Error: {message}")
    return 2


def _interrupted(left: str = "") -> int:
    """Every save is a rename, so whatever was interrupted left the old file or the new one."""
    output.warn(f"Interrupted{left and f': {left}'}")
    return _INTERRUPTED
