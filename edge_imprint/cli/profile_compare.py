"""`edge-imprint profile --compare`: two profiles of machines, or two of microcontrollers, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edge_imprint.cli import output
from edge_imprint.cli.common import size_text
from edge_imprint.cli.profile_host import said

if TYPE_CHECKING:
    from edge_imprint.profiling import Profile
    from edge_imprint.profiling.device import DeviceDocument


def run(first: Path, second: Path, *, as_json: bool) -> None:
    """Print two profiles side by side.

    Raises:
        StorageError: a file cannot be read.
        ProfileError: no two profiles of one kind.
    """
    from edge_imprint.profiling import Profile, compare
    from edge_imprint.profiling.device import compare_devices, load_pair

    one, other = load_pair(first, second)
    if isinstance(one, Profile) and isinstance(other, Profile):
        rows, about = compare(one, other), (_machine(one), _machine(other))
    else:
        assert not isinstance(one, Profile)  # a pair is of one kind
        assert not isinstance(other, Profile)
        rows, about = compare_devices(one, other), (_device(one), _device(other))
    if as_json:
        output.write_json({"first": str(first), "second": str(second), "rows": [row.as_dict() for row in rows]})
        return
    output.write_facts({"first": f"{first}: {about[0]}", "second": f"{second}: {about[1]}"})
    output.write("\n")
    output.write_table(
        ("", "first", "second", "unit", "ratio"),
        [(row.name, _cell(row.first), _cell(row.second), row.unit, _cell(row.ratio)) for row in rows],
    )


def _machine(found: Profile) -> str:
    return f"{said(found.machine['cpu'])}, {found.bundle['name']} {found.bundle['runtime']}, {found.date}"


def _device(found: DeviceDocument) -> str:
    plain, head = found.plain, found.plain["head"]
    broken = f"; incomplete: {plain['broken']}" if plain["broken"] else ""
    return (
        f"{plain['device'].get('name')}, {head['classes']} classes, {head['proxies']} proxies, dim {head['dim']}, "
        f"{size_text(head['used_bytes'])} of {size_text(head['budget'])} used; {plain['origin']}{broken}"
    )


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 999.5 else f"{value:.3g}"
