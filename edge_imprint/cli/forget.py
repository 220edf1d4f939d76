"""`edge-imprint forget`."""

from __future__ import annotations

from typing import Annotated

import typer

from edge_imprint.cli import output
from edge_imprint.cli.common import Json, State, existing_state, label_as_taught, locked, size_text, usage


def command(
    label: Annotated[str, typer.Argument(metavar="LABEL", show_default=False, help="The class to forget.")],
    state: State,
    as_json: Json = False,
) -> None:
    """Forget a class and give its bytes back to the budget.

    With proxies the other classes answer as before; with ridge as if this one
    had not been taught, as long as all its shots are remembered: "forgotten
    exactly" in edge-imprint info.

    \b
    Example:
      edge-imprint forget mug --state robot.eimp
    """
    from edge_imprint.head import ImprintHead

    with locked(existing_state(state)) as path:
        head = ImprintHead.load(path)
        before = head.nbytes
        taught = label_as_taught(head, label)
        exact = head.forgets_exactly().get(taught, True)
        head.forget(taught)
        head.save(path, backbone=head.backbone)
    if as_json:
        output.write_json(
            {
                "label": label,
                "bytes_freed": before - head.nbytes,
                "exact": exact,
                **usage(head, state),
            }
        )
    else:
        output.write(
            f"Forgot {label}: {size_text(before - head.nbytes)} given back; now {size_text(head.nbytes)} of "
            f"{size_text(head.budget)} in use ({state}).\n"
        )
        if not exact:
            output.write(
                "Not all of its shots were remembered: what the others said about how shots differ stays until the "
                "last class goes.\n"
            )
