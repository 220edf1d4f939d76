"""`edge-imprint predict`."""

from __future__ import annotations

from typing import Annotated

import typer

from edge_imprint.cli import output
from edge_imprint.cli.common import Images, Json, State, existing_state, expand_images, percent


def command(
    images: Images,
    state: State,
    backbone: Annotated[
        str | None,
        typer.Option(metavar="B", help="Where the backbone is now, when it moved since the learn."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what pictures show: the closest class, its score (-1 to 1), and how far to trust it.

    The verdict is known, uncertain or unknown; unknown means: like nothing that
    was taught, whatever the label says. With method ridge, confidence is the
    probability that the label is right, if the picture shows a taught class;
    with method proxies there is none (null in JSON). When one of the pictures
    cannot be used, the command names it and answers none.

    \b
    Examples:
      edge-imprint predict new.jpg --state robot.eimp
      edge-imprint predict photos/ --state robot.eimp --json
    """
    from edge_imprint.learner import Learner

    pictures = expand_images(images)
    learner = Learner.load(existing_state(state), backbone=backbone)
    with output.progress("Looking", len(pictures), quiet=as_json) as advance:
        predictions = []
        for picture in pictures:
            predictions.append(learner.predict(picture))
            advance()
    if as_json:
        rows = [
            {
                "image": str(picture),
                "label": answer.label,
                "score": round(float(answer.score), 6),
                "verdict": answer.verdict,
                "confidence": None if answer.confidence is None else round(answer.confidence, 6),
            }
            for picture, answer in zip(pictures, predictions, strict=True)
        ]
        output.write_json({"predictions": rows})
        return
    columns = ("image", "label", "score", "verdict")
    sure = learner.head.method == "ridge"
    output.write_table(
        (*columns, "confidence") if sure else columns,
        [
            (str(picture), str(answer.label), f"{answer.score:.3f}", answer.verdict, *percent(answer.confidence))
            for picture, answer in zip(pictures, predictions, strict=True)
        ],
    )
