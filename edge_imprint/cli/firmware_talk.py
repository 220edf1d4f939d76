"""`edge-imprint firmware talk`: teach and ask a device on a port, with one command or at a prompt."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from edge_imprint.cli import output
from edge_imprint.cli.common import Json
from edge_imprint.cli.firmware_commands import COMMANDS
from edge_imprint.cli.firmware_conversation import Conversation
from edge_imprint.errors import EdgeImprintError

_FAILED = 2

app = typer.Typer(help="Teach, ask and look after a device on a serial port.", rich_markup_mode="rich")


@app.callback(invoke_without_command=True)
def talk(
    context: typer.Context,
    port: Annotated[
        str, typer.Option("--port", metavar="PORT", help="/dev/ttyACM0, COM3, or socket://HOST:PORT for an emulator.")
    ],
    backbone: Annotated[
        str | None, typer.Option(metavar="B", help="Makes embeddings of pictures: default, a bundle, .onnx or .tflite.")
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="S", help="Seconds of silence after which to give up.")] = 10.0,
    baud: Annotated[int, typer.Option(metavar="N", help="Speed of a real serial line.")] = 115200,
    keep: Annotated[
        bool, typer.Option("--keep/--no-keep", help="Save changes into the device's flash at once.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Teach, ask and look after a device on a serial port.

    Without a command: a prompt that takes them one after the other. The
    embedding of a picture is computed here, the head answers on the device.

    \b
    Examples:
      edge-imprint firmware talk --port socket://127.0.0.1:5555 info
      edge-imprint firmware talk --port /dev/ttyACM0 --backbone default learn mug mug1.jpg mug2.jpg
      edge-imprint firmware talk --port /dev/ttyACM0 predict new.npy --json
    """
    from edge_imprint_firmware import Device

    device = context.with_resource(Device.open(port, timeout_s=timeout, baud=baud))
    context.obj = Conversation(device, backbone, as_json, keep)
    if context.invoked_subcommand is None and not _prompt(context.obj):
        raise typer.Exit(_FAILED)


def _prompt(conversation: Conversation) -> bool:
    """Read commands until the end of input; one that fails says why, and the next is read.

    Returns:
        False when somebody else than a person typed them and one of them failed.
    """
    if sys.stdin is None:
        return True
    commands = typer.main.get_command(_commands)
    shown, well = sys.stdin.isatty(), True
    if shown:
        output.write(f"{', '.join(command.__name__ for command in COMMANDS)}; --help explains, Ctrl-D ends\n")
    while True:
        if shown:
            output.write("> ")
        line = sys.stdin.readline()
        if not line:
            return shown or well
        try:
            words = shlex.split(line, comments=True)
            if words:
                commands.main(args=words, prog_name="", standalone_mode=False, obj=conversation)
        except EdgeImprintError as error:
            well = False
            output.warn(f"Error: {error}")
        except Exception as error:
            # A wrong word, in Typer's words or in those of shlex; its base class for them has had two homes.
            if not (hasattr(error, "format_message") or isinstance(error, ValueError)):
                raise
            well = False
            output.warn(f"Error: {error.format_message() if hasattr(error, 'format_message') else error}")


_commands = typer.Typer()
for _command in COMMANDS:
    app.command()(_command)
    _commands.command()(_command)
