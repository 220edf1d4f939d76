"""`edge-imprint evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_imprint.cli import output
from edge_imprint.cli.common import Json, pictures_in
from edge_imprint.errors import ImageError, StorageError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_imprint.backbones import Backbone
    from edge_imprint.episodes import Outcome

_CHUNK = 32  # pictures held in memory at once


def command(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", show_default=False, help="Holds one folder of pictures per label."),
    ],
    shots: Annotated[str, typer.Option(metavar="N,N,...", help="Shots per class to try.")] = "1,5,20",
    ways: Annotated[
        int | None, typer.Option(metavar="N", help="Classes per episode; all of them when left out.")
    ] = None,
    episodes: Annotated[int, typer.Option(metavar="N", help="How many random draws.")] = 20,
    queries: Annotated[int, typer.Option(metavar="N", help="Pictures asked about per class and episode.")] = 15,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same episodes.", min=0)] = 0,
    backbone: Annotated[
        str, typer.Option(metavar="B", help="default, a bundle folder, an .onnx or a .tflite file.")
    ] = "default",
    budget: Annotated[str, typer.Option(metavar="BYTES", help="The budget of each head.")] = "512KB",
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="M,M,...",
            help="Some of: auto, proxies, ridge, qi, hosoda, janson, westerhoff, oracle. "
            "All but auto when left out; ridge only where the budget holds it.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure how well your own pictures are recognised after 1, 5, 20 shots: FOLDER/LABEL/*.jpg.

    Draws random episodes (some pictures to learn from, others to ask about) and
    prints the mean balanced accuracy in percent with its 95 % interval
    (Student's t over the episodes) for both methods of the head on the device,
    proxies and ridge, and for the presets of the paper, all on the same
    episodes. auto is the one that learn takes. Pictures that cannot be read are
    left out with a warning.

    \b
    Examples:
      edge-imprint evaluate photos
      edge-imprint evaluate photos --shots 1,2,5 --ways 5 --episodes 100
      edge-imprint evaluate photos --methods auto,qi --json
    """
    from edge_imprint.backbones import load_backbone
    from edge_imprint.episodes import HEADS, check_methods, draw_episodes, evaluate
    from edge_imprint.head import plan

    counts = _numbers(shots)
    chosen = None if methods is None else tuple(name.strip() for name in methods.split(","))
    if chosen is not None:
        check_methods(chosen)
    paths, labels = _labelled(folder)
    settings: dict[str, Any] = {
        "shots": counts,
        "episodes": episodes,
        "queries": queries,
        "ways": ways,
        "seed": seed,
    }
    draw_episodes(labels, **settings)  # refuses what cannot work before the slow part
    loaded = load_backbone(backbone)
    for name in chosen or ("proxies",):
        if name in HEADS:
            plan(loaded.dim, budget, method=HEADS[name])  # so does this
    with output.progress("Embedding pictures", len(paths), quiet=as_json) as advance:
        embeddings, kept, skipped = _embed(loaded, paths, advance)
    if skipped:
        names = ", ".join(str(path) for path in skipped[:3]) + (", ..." if len(skipped) > 3 else "")
        output.warn(f"Warning: left out {len(skipped)} of {len(paths)} pictures that cannot be read: {names}")
    with output.progress("Episodes", episodes, quiet=as_json) as advance:
        outcomes = evaluate(
            embeddings,
            [labels[i] for i in kept],
            methods=chosen,
            budget=budget,
            base=loaded.base_statistics,
            advance=advance,
            **settings,
        )
    classes = len({labels[i] for i in kept})
    if as_json:
        output.write_json(
            {
                "folder": str(folder),
                "backbone": loaded.name,
                "dim": loaded.dim,
                "pictures": len(kept),
                "classes": classes,
                "skipped": [str(path) for path in skipped],
                "ways": ways or classes,
                "episodes": episodes,
                "queries": queries,
                "seed": seed,
                "budget": budget,
                "measure": "balanced accuracy in percent",
                "interval": "95 % by Student's t over the episodes",
                "results": [_row(outcome) for outcome in outcomes],
            }
        )
        return
    output.write(
        f"{len(kept)} pictures of {classes} classes, {episodes} episodes of {ways or classes} classes; "
        "balanced accuracy in %, mean and 95 % interval (Student's t).\n"
    )
    output.write_table(
        ("method", *(f"{count} shot{'' if count == 1 else 's'}" for count in sorted(set(counts)))),
        _rows(outcomes),
    )
    if chosen is None and "ridge" not in {outcome.method for outcome in outcomes}:
        output.write(f"Without ridge, which needs a larger budget than {budget}: edge-imprint plan says which.\n")


def _numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise UsageError(f"--shots must be whole numbers like 1,5,20; got {text!r}") from None


def _labelled(folder: Path) -> tuple[list[Path], list[str]]:
    """All picture files of FOLDER/LABEL/ and their labels."""
    if not folder.is_dir():
        raise StorageError(f"FOLDER must be a folder that holds one folder of pictures per label; got {folder}")
    paths: list[Path] = []
    labels: list[str] = []
    for child in sorted(folder.iterdir()):
        if child.is_dir() and (found := pictures_in(child)):
            paths += found
            labels += [child.name] * len(found)
    if not paths:
        raise ImageError(f"no pictures in {folder}: expected {folder / 'LABEL' / 'picture.jpg'}, one folder per label")
    return paths, labels


def _embed(
    backbone: Backbone, paths: Sequence[Path], advance: Any
) -> tuple[NDArray[np.float32], list[int], list[Path]]:
    """Embed what can be read: embeddings, their pictures' positions in `paths`, and the pictures left out."""
    import numpy as np

    from edge_imprint.backbones import load_image

    rows: list[NDArray[np.float32]] = [np.empty((0, backbone.dim), np.float32)]
    kept: list[int] = []
    skipped: list[Path] = []
    for start in range(0, len(paths), _CHUNK):
        images = []
        for position in range(start, min(start + _CHUNK, len(paths))):
            try:
                images.append(load_image(paths[position]))
                kept.append(position)
            except ImageError:
                skipped.append(paths[position])
            advance()
        if images:
            rows.append(backbone.embed(images))
    return np.concatenate(rows), kept, skipped


def _row(outcome: Outcome) -> dict[str, Any]:
    half = outcome.accuracy.half_width
    return {
        "method": outcome.method,
        "shots": outcome.shots,
        "mean": round(100 * outcome.accuracy.mean, 2),
        "half_width": None if half is None else round(100 * half, 2),
        "episodes": [round(100 * value, 2) for value in outcome.per_episode],
    }


def _rows(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    rows: dict[str, list[str]] = {}
    for outcome in outcomes:
        half = outcome.accuracy.half_width
        spread = "" if half is None else f" ± {100 * half:.1f}"
        rows.setdefault(outcome.method, [outcome.method]).append(f"{100 * outcome.accuracy.mean:.1f}{spread}")
    return [tuple(cells) for cells in rows.values()]
