"""The host side of a microcontroller that runs the head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_imprint_firmware.device import Device

__all__ = ["Device"]


def __getattr__(name: str) -> Any:
    """`Device` needs pyserial and cobs, writing a firmware project does not: loaded when asked for."""
    if name != "Device":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from edge_imprint_firmware.device import Device
    except ModuleNotFoundError as error:
        from edge_imprint.errors import MissingRuntimeError

        raise MissingRuntimeError(
            f"a device's port needs {error.name}, which is not installed: pip install 'edge-imprint[firmware]'"
        ) from error
    return Device
