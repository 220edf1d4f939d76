"""What a profile was measured on: processor, board, cores, clock frequencies, memory, system."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from edge_imprint.profiling.sysfs import Missing, first_there, folders, is_missing, not_available, number, text

_MODEL_FIELDS = ("model name", "Model", "Hardware", "cpu model")


def describe(root: Path = Path("/")) -> dict[str, Any]:
    """The machine, as plain JSON; a value that cannot be had is `{"not_available": why}`.

    Args:
        root: of the file system to look at; another one for a mounted image or a test.

    Returns:
        `cpu`, `board`, `architecture`, `cores` (that this process may use), `clocks` (per policy: governor, and MHz
        now, at least and at most), `memory_bytes`, `os`, `kernel`.

    Example:
        >>> describe()["cores"] >= 1
        True
    """
    return {
        "cpu": _cpu(root),
        "board": _board(root),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "clocks": clocks(root),
        "memory_bytes": _memory(root),
        "os": _os_name(root),
        "kernel": platform.release(),
    }


def clocks(root: Path = Path("/")) -> list[dict[str, Any]] | Missing:
    """Of every cpufreq policy its governor and frequencies in MHz."""
    found = folders(root / "sys/devices/system/cpu/cpufreq", "policy*")
    if not found:
        return not_available(
            "no cpufreq policies below /sys/devices/system/cpu/cpufreq: the host or a firmware decides"
        )
    return [
        {
            "policy": path.name,
            "governor": text(path / "scaling_governor"),
            "mhz": number(path / "scaling_cur_freq", 1e-3),
            "mhz_least": number(path / "scaling_min_freq", 1e-3),
            "mhz_most": number(path / "scaling_max_freq", 1e-3),
        }
        for path in found
    ]


def processor() -> str:
    """What /proc/cpuinfo calls the processor, or on ARM the board; else what Python knows.

    Example:
        >>> processor() != ""
        True
    """
    fields = _cpuinfo(Path("/"))
    return fields.get("model name") or fields.get("Model") or platform.processor() or platform.machine()


def _cpuinfo(root: Path) -> dict[str, str]:
    """The first of each field of /proc/cpuinfo, or only `not_available`."""
    found = text(root / "proc/cpuinfo")
    if isinstance(found, dict):
        return found
    fields: dict[str, str] = {}
    for line in found.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip(), value.strip())
    return fields


def _cpu(root: Path) -> str | Missing:
    fields = _cpuinfo(root)
    if is_missing(fields):
        return fields
    # A Raspberry Pi's last block names the board, which `board` has already.
    names = [fields[name] for name in _MODEL_FIELDS[:1] if name in fields]
    if not names and "CPU part" in fields:
        part = fields["CPU part"].lower()
        names = [_ARM_PARTS.get(part, f"ARM part {part}")]
    names += [fields[name] for name in _MODEL_FIELDS[1:] if name in fields]
    return first_there(names, f"{root / 'proc/cpuinfo'} names no processor")  # type: ignore[no-any-return]


# "CPU part" of /proc/cpuinfo for implementer 0x41 (the MIDR register's part number in Arm's reference manuals).
_ARM_PARTS = {
    "0xb76": "ARM1176",
    "0xc07": "Cortex-A7",
    "0xc08": "Cortex-A8",
    "0xc09": "Cortex-A9",
    "0xc0f": "Cortex-A15",
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd42": "Cortex-A78AE",
}


def _board(root: Path) -> str | Missing:
    paths = ("proc/device-tree/model", "sys/firmware/devicetree/base/model", "sys/devices/virtual/dmi/id/product_name")
    return first_there(  # type: ignore[no-any-return]
        (text(root / path) for path in paths), "neither a device tree nor DMI names the board"
    )


def _memory(root: Path) -> int | Missing:
    found = text(root / "proc/meminfo")
    if isinstance(found, dict):
        return found
    for line in found.splitlines():
        words = line.split()
        if words[:1] == ["MemTotal:"] and len(words) >= 2 and words[1].isdigit():
            return int(words[1]) * 1024
    return not_available(f"{root / 'proc/meminfo'} has no MemTotal")


def _os_name(root: Path) -> str | Missing:
    for path in ("etc/os-release", "usr/lib/os-release"):
        found = text(root / path)
        if is_missing(found):
            continue
        for line in str(found).splitlines():
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip("\"'")
    return platform.system() or not_available("no os-release")
