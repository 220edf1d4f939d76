"""`edge-imprint learn`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_imprint.cli import output
from edge_imprint.cli.common import Images, Json, State, expand_images, label_as_taught, locked, size_text, usage
from edge_imprint.errors import UsageError

if TYPE_CHECKING:
    from edge_imprint.head import ImprintHead
    from edge_imprint.learner import Learner

DEFAULT_FALSE_ACCEPT_RATE = 0.05
MOST_ADVICE = 3


def command(
    label: Annotated[str, typer.Argument(metavar="LABEL", show_default=False, help="The name of what they show.")],
    images: Images,
    state: State,
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="B",
            help="default, a bundle folder, an .onnx or a .tflite file; fixed at the first learn.",
        ),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="BYTES", help="Like 64KB; 512KB by default; fixed at the first learn.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="M",
            help="auto (the default), proxies or ridge, see edge-imprint plan; fixed at the first learn.",
        ),
    ] = None,
    false_accept_rate: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="Share of strangers taken for known, 0.05 by default; fixed at the first learn.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Teach a class from pictures; the first learn creates the state file.

    Every picture is read before anything changes: when one of them cannot be
    used, the state file stays as it was. Several learns on one state file at
    the same time wait for each other, so no shot is lost.

    \b
    Examples:
      edge-imprint learn mug mug1.jpg mug2.jpg mug3.jpg --state robot.eimp
      edge-imprint learn cap photos/cap/ --state robot.eimp
      edge-imprint learn bolt bolt1.jpg --state line.eimp --budget 16KB
      edge-imprint learn leaf leaves/ --state garden.eimp --method proxies
    """
    pictures = expand_images(images)
    with locked(state) as path:
        if path.exists():
            learner = _open(path, backbone, budget, method, false_accept_rate)
        else:
            learner = _create(backbone, budget, method, false_accept_rate)
        head = learner.head
        taught = label_as_taught(head, label)
        before = sum(head.shots_per_class().values())
        _learn(learner, pictures, taught, quiet=as_json)
        learner.save(path)
    advice = _advice(head, before, pictures)
    shots, proxies = head.shots_per_class()[taught], head.proxies_per_class()[taught]
    if as_json:
        output.write_json(
            {
                "label": label,
                "shots_added": len(pictures),
                "shots": shots,
                "proxies": proxies,
                "method": head.method,
                "advice": advice,
                **usage(head, state),
            }
        )
    else:
        output.write(
            f"Learnt {label} from {_count(len(pictures), 'picture')}: now {_count(shots, 'shot')} in "
            f"{proxies} {'proxy' if proxies == 1 else 'proxies'}; "
            f"{_count(len(head.classes_), 'class', 'es')} {'uses' if len(head.classes_) == 1 else 'use'} "
            f"{size_text(head.nbytes)} of {size_text(head.budget)} ({state}).\n"
        )
        for piece in [piece for piece in advice if label in map(str, piece["labels"])][:MOST_ADVICE]:
            output.write(f"{piece['sentence']}\n")


def _advice(head: ImprintHead, before: int, pictures: list[Path]) -> list[dict[str, Any]]:
    """The head's advice; a shot of these pictures that looks odd is called by its file."""
    found = []
    for piece in head.advice():
        plain = piece.as_dict()
        number = piece.numbers.get("shot")
        if piece.kind == "odd shot" and number is not None and before < number <= before + len(pictures):
            plain["image"] = str(pictures[int(number) - before - 1])
            plain["sentence"] = f"{plain['image']}: {plain['sentence']}"
        found.append(plain)
    return found


def _learn(learner: Learner, pictures: list[Path], label: str | int, *, quiet: bool) -> None:
    """Embed all pictures, then teach them; nothing is taught when one cannot be used."""
    import numpy as np

    with output.progress("Looking", len(pictures), quiet=quiet) as advance:
        embeddings = []
        for picture in pictures:
            embeddings.append(learner.embed([picture]))
            advance()
    # One by one, which gives the same head: each shot is looked at by a head that knows the ones before.
    for row in np.concatenate(embeddings):
        learner.head.partial_fit(row[None], label)


def _create(backbone: str | None, budget: str | None, method: str | None, false_accept_rate: float | None) -> Learner:
    from edge_imprint.learner import DEFAULT_BUDGET, Learner

    rate = DEFAULT_FALSE_ACCEPT_RATE if false_accept_rate is None else false_accept_rate
    return Learner(
        backbone="default" if backbone is None else backbone,
        budget=DEFAULT_BUDGET if budget is None else budget,
        method="auto" if method is None else method,
        false_accept_rate=rate,
    )


def _open(
    path: Path, backbone: str | None, budget: str | None, method: str | None, false_accept_rate: float | None
) -> Learner:
    from edge_imprint.head import parse_budget
    from edge_imprint.learner import Learner

    learner = Learner.load(path, backbone=backbone)
    head = learner.head
    if budget is not None and parse_budget(budget) != head.budget:
        raise UsageError(
            f"the budget is fixed when a state file is created; {path} has {head.budget} bytes, "
            f"got {budget}. Leave --budget out or start another state file"
        )
    # A state file does not say whether auto chose its method, so auto is content with either.
    if method not in (None, "auto", head.method):
        raise UsageError(
            f"the method is fixed when a state file is created; {path} has {head.method}, got {method}. "
            "Leave --method out or start another state file"
        )
    if false_accept_rate is not None and false_accept_rate != head.false_accept_rate:
        raise UsageError(
            "the false-accept rate is fixed when a state file is created; "
            f"{path} has {head.false_accept_rate}, got {false_accept_rate}. "
            "Leave --false-accept-rate out or start another state file"
        )
    return learner


def _count(n: int, noun: str, plural: str = "s") -> str:
    return f"{n} {noun}{'' if n == 1 else plural}"
