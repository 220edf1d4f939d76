"""How warm the machine is, and whether it slows itself down."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from edge_imprint.profiling.sysfs import Missing, folders, is_missing, not_available, number, text

_TIMEOUT_S = 5.0
# Bits of `vcgencmd get_throttled`, as the Raspberry Pi's documentation lists them.
_FLAGS = {
    0: "under-voltage now",
    1: "frequency capped now",
    2: "throttled now",
    3: "soft temperature limit now",
    16: "under-voltage since boot",
    17: "frequency capped since boot",
    18: "throttled since boot",
    19: "soft temperature limit since boot",
}


def read(root: Path = Path("/")) -> dict[str, Any]:
    """Temperatures and throttling now, as plain JSON; a value that cannot be had is `{"not_available": why}`.

    Args:
        root: of the file system to look at.

    Returns:
        `zones` (name to degrees Celsius), `throttled` (a list of what a Raspberry Pi's firmware says), `jetson` (power
        mode and throttling alerts of a Tegra).

    Example:
        >>> sorted(read())
        ['jetson', 'throttled', 'zones']
    """
    return {"zones": _zones(root), "throttled": _throttled(root), "jetson": _jetson(root)}


def _zones(root: Path) -> dict[str, Any] | Missing:
    zones: dict[str, Any] = {}
    for path in folders(root / "sys/class/thermal", "thermal_zone*"):
        kind = text(path / "type")
        name = path.name if isinstance(kind, dict) or not kind else kind
        if name in zones:  # two zones of one type
            name = f"{name} {path.name}"
        zones[name] = number(path / "temp", 1e-3)
    return zones or not_available("no thermal zones below /sys/class/thermal")


def _throttled(root: Path) -> list[str] | Missing:
    program = shutil.which("vcgencmd")
    if program is None:
        return not_available("vcgencmd is not here: not a Raspberry Pi, or without its tools")
    try:
        done = subprocess.run(
            [program, "get_throttled"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return not_available(f"vcgencmd failed: {error}")
    value = done.stdout.strip().partition("=")[2]
    try:
        bits = int(value, 16)
    except ValueError:
        said = (done.stdout.strip() or done.stderr.strip())[:80]
        return not_available(f"vcgencmd says {said!r}; may this user open /dev/vcio?")
    return [flag for bit, flag in _FLAGS.items() if bits >> bit & 1]


def _jetson(root: Path) -> dict[str, Any] | Missing:
    if is_missing(text(root / "etc/nv_tegra_release")):
        return not_available("/etc/nv_tegra_release is not here: not a Jetson")
    alerts = {}
    for path in folders(root / "sys/class/thermal", "cooling_device*"):
        kind, state = text(path / "type"), number(path / "cur_state")
        if isinstance(kind, str) and isinstance(state, float) and state > 0 and "fan" not in kind:
            alerts[kind] = int(state)
    return {
        "power_mode": text(root / "var/lib/nvpmodel/status"),
        "cooling": alerts,
        "release": text(root / "etc/nv_tegra_release"),
    }
