"""What can go wrong between a host and a device, beside the errors of the head itself."""

from __future__ import annotations

from edge_imprint import errors
from edge_imprint.errors import EdgeImprintError
from edge_imprint_firmware.protocol import STATUS_ERROR, STATUS_TEXT, Status

__all__ = [
    "DeviceError",
    "DeviceRestartedError",
    "LinkError",
    "LinkTimeoutError",
    "ProtocolVersionError",
    "refusal",
]


class DeviceError(EdgeImprintError):
    """A device refused a command, or answered what no device answers."""


class DeviceRestartedError(DeviceError):
    """The device was restarted while it was used: what it had learnt and not stored is gone."""


class ProtocolVersionError(DeviceError):
    """The device speaks another major version of the protocol."""


class LinkError(DeviceError):
    """A port cannot be opened, or broke while it was used."""


class LinkTimeoutError(LinkError):
    """A device did not answer in time: no cable, no power, another port, or not a device of this kind."""


_OURS = {kind.__name__: kind for kind in (DeviceError, DeviceRestartedError)}


def refusal(code: int, port: str, action: str) -> EdgeImprintError:
    """The exception for a status code, with the device's code in words.

    Args:
        code: a negative status; see `protocol.Status`.
        port: where the device is.
        action: what it was asked, such as "forget 'mug'".

    Example:
        >>> refusal(-5, "/dev/ttyACM0", "forget 'mug'")
        UnknownLabelError("/dev/ttyACM0 refused to forget 'mug': no class of that label was taught (-5, unknown_label)")
    """
    name = Status(code).name.lower() if code in STATUS_TEXT else "unknown"
    words = STATUS_TEXT.get(code, "this version does not know that code; update edge-imprint")
    kind_name = STATUS_ERROR.get(code, "DeviceError")
    kind: type[EdgeImprintError] = _OURS.get(kind_name) or getattr(errors, kind_name)
    return kind(f"{port} refused to {action}: {words} ({code}, {name})")
