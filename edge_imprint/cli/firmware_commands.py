"""The commands of `edge-imprint firmware talk`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_imprint.cli import output
from edge_imprint.cli.common import Json, percent, size_text
from edge_imprint.cli.firmware_conversation import Conversation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_imprint_firmware.reports import DeviceResources

Files = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="Pictures (with --backbone), folders of them, or .npy arrays.")
]
Label = Annotated[str, typer.Argument(metavar="LABEL", help="The class.")]


def learn(context: typer.Context, label: Label, files: Files, as_json: Json = False) -> None:
    """Teach a class from pictures or embeddings."""
    talk: Conversation = context.obj
    _, rows = talk.embeddings(files)
    taught = talk.label(label)
    talk.device.partial_fit(rows, taught)
    stored = talk.keep_it()
    shots, proxies = talk.device.shots_per_class()[taught], talk.device.proxies_per_class()[taught]
    document = {"label": label, "shots_added": len(rows), "shots": shots, "proxies": proxies, "stored": stored}
    talk.answer(document, f"Learnt {label}: {shots} shots in {proxies} proxies{_stored(stored)}", as_json)


def predict(context: typer.Context, files: Files, as_json: Json = False) -> None:
    """Say what pictures or embeddings show."""
    talk: Conversation = context.obj
    names, rows = talk.embeddings(files)
    predictions = [{"image": name, **_answer(talk, row[None])} for name, row in zip(names, rows, strict=True)]
    if as_json or talk.as_json:
        output.write_json({"predictions": predictions})
    else:
        columns = ("image", "label", "score", "verdict")
        output.write_table(
            (*columns, "confidence") if talk.device.method == "ridge" else columns,
            [
                (p["image"], str(p["label"]), f"{p['score']:.3f}", p["verdict"], *percent(p["confidence"]))
                for p in predictions
            ],
        )


def _answer(talk: Conversation, shot: NDArray[Any]) -> dict[str, Any]:
    """One after the other, so that the device needs the embedding only once."""
    (label,), (verdict,) = talk.device.predict(shot).tolist(), talk.device.verdicts(shot).tolist()
    score = float(talk.device.decision_function(shot).max())
    sure = round(float(talk.device.confidence(shot)[0]), 6) if talk.device.method == "ridge" else None
    return {"label": label, "score": round(score, 6), "verdict": verdict, "confidence": sure}


def forget(context: typer.Context, label: Label, as_json: Json = False) -> None:
    """Remove a class."""
    talk: Conversation = context.obj
    talk.device.forget(talk.label(label))
    stored = talk.keep_it()
    talk.answer({"label": label, "stored": stored}, f"Forgot {label}{_stored(stored)}", as_json)


def undo(context: typer.Context, as_json: Json = False) -> None:
    """Take the last shot back."""
    talk: Conversation = context.obj
    talk.device.undo()
    stored = talk.keep_it()
    talk.answer({"undone": True, "stored": stored}, f"Took the last shot back{_stored(stored)}", as_json)


def clear(context: typer.Context, as_json: Json = False) -> None:
    """Forget everything."""
    talk: Conversation = context.obj
    talk.device.clear()
    stored = talk.keep_it()
    talk.answer({"cleared": True, "stored": stored}, f"Forgot everything{_stored(stored)}", as_json)


def classes(context: typer.Context, as_json: Json = False) -> None:
    """List the classes with their shots and proxies."""
    talk: Conversation = context.obj
    shots, proxies = talk.device.shots_per_class(), talk.device.proxies_per_class()
    if as_json or talk.as_json:
        rows = [{"label": label, "shots": n, "proxies": proxies[label]} for label, n in shots.items()]
        output.write_json({"classes": rows})
    else:
        output.write_table(
            ("class", "shots", "proxies"), [(str(label), str(n), str(proxies[label])) for label, n in shots.items()]
        )


def save(context: typer.Context, file: Annotated[Path, typer.Argument(metavar="FILE")], as_json: Json = False) -> None:
    """Copy the device's snapshot into a file here."""
    talk: Conversation = context.obj
    talk.device.save(file)
    size = file.stat().st_size
    talk.answer({"file": str(file), "bytes": size}, f"Saved {size_text(size)} to {file}", as_json)


def load(context: typer.Context, file: Annotated[Path, typer.Argument(metavar="FILE")], as_json: Json = False) -> None:
    """Give the device a snapshot, into its flash and its head."""
    talk: Conversation = context.obj
    talk.device.load(file)
    known = talk.device.classes_.tolist()
    document = {"file": str(file), "classes": known}
    talk.answer(document, f"Loaded {file}: {', '.join(map(str, known)) or 'no classes'}", as_json)


def keep(context: typer.Context, as_json: Json = False) -> None:
    """Save the head into the device's flash, from where it comes back after a power cut."""
    talk: Conversation = context.obj
    talk.device.persist()
    talk.answer({"stored": True}, "Saved in its flash", as_json)


def restore(context: typer.Context, as_json: Json = False) -> None:
    """Load what was last saved in the device's flash."""
    talk: Conversation = context.obj
    talk.device.restore()
    talk.answer({"classes": talk.device.classes_.tolist()}, "Loaded from its flash", as_json)


def reset(context: typer.Context, as_json: Json = False) -> None:
    """Restart the device; it begins with what is in its flash."""
    talk: Conversation = context.obj
    talk.device.reset()
    talk.answer({"classes": talk.device.classes_.tolist()}, "Restarted", as_json)


def info(context: typer.Context, as_json: Json = False) -> None:
    """Say what the device is and what its head holds."""
    talk: Conversation = context.obj
    found = talk.device.info()
    if as_json or talk.as_json:
        output.write_json({**asdict(found), "backbone": talk.device.backbone})
        return
    limits = "none yet" if found.known is None else f"known from {found.known:.3f}, unknown below {found.unknown:.3f}"
    stored = (
        f"{size_text(found.store_size)} of {size_text(found.store_capacity)}, erased {max(found.store_erases)} times"
    )
    output.write_facts(
        {
            "device": f"{found.name} at {found.port}",
            "protocol": ".".join(map(str, found.protocol_version)),
            "can": ", ".join(found.capabilities),
            "head": f"dim {found.dim}, {size_text(found.used_bytes)} of {size_text(found.budget)} used",
            "classes": f"{found.classes} of at most {found.max_classes}, {found.proxies} proxies, {found.shots} shots",
            "verdicts": f"{limits}; false-accept rate {found.false_accept_rate:g}",
            "flash": stored if found.store_capacity else "none",
            "backbone": talk.device.backbone or "not named",
        }
    )


def stats(context: typer.Context, as_json: Json = False) -> None:
    """Say what running has cost: stack, counts of each operation, the line."""
    talk: Conversation = context.obj
    found, bytes_of = talk.device.stats(), talk.device.resources()
    if as_json or talk.as_json:
        output.write_json({**asdict(found), "resources": None if bytes_of is None else asdict(bytes_of)})
        return
    unit = found.counter_unit or "nothing"
    output.write_facts(
        {
            "up": "unknown" if found.uptime_s is None else f"{found.uptime_s:.1f} s",
            "stack": "unknown" if found.stack_bytes is None else f"{found.stack_bytes} B used at most",
            "bytes": "unknown" if bytes_of is None else _bytes_text(bytes_of),
            "line": f"{found.frames} frames, {found.damaged_frames} damaged, {found.repeated_requests} repeated",
            "counts": unit,
        }
    )
    rows = [(name, f"{s.calls:,}", f"{s.last:,}", f"{s.longest:,}") for name, s in found.operations.items() if s.calls]
    output.write_table(("operation", "calls", "last", "longest"), rows)


def _bytes_text(known: DeviceResources) -> str:
    parts = (("arena", known.arena_bytes), ("all variables", known.variables_bytes), ("program", known.image_bytes))
    return ", ".join(f"{name} {'unknown' if size is None else size_text(size)}" for name, size in parts)


def _stored(stored: bool) -> str:
    return ", saved in its flash" if stored else "; not in flash, so gone with the power"


COMMANDS = (info, classes, learn, predict, forget, undo, clear, save, load, keep, restore, reset, stats)
