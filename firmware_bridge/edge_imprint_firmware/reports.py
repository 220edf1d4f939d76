"""What a device says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from edge_imprint_firmware import protocol
from edge_imprint_firmware.link import Link, LinkCounts
from edge_imprint_firmware.protocol import Capability, Command, CounterUnit, InfoReply, Operation

__all__ = [
    "DeviceInfo",
    "DeviceResources",
    "DeviceStats",
    "OperationStats",
    "counter_unit",
    "read_info",
    "read_operation",
    "read_resources",
    "read_stats",
]


@dataclass(frozen=True)
class DeviceInfo:
    """A device and its head. Sizes are in bytes; those of the store are 0 where there is none."""

    name: str
    port: str
    protocol_version: tuple[int, int]
    capabilities: tuple[str, ...]
    dim: int
    budget: int
    false_accept_rate: float
    max_proxies: int
    shrinkage: int
    backbone_bytes: int
    undo: bool
    classes: int
    proxies: int
    used_bytes: int
    max_classes: int
    shots: int
    can_undo: bool
    known: float | None
    unknown: float | None
    store_capacity: int
    store_size: int
    store_erases: tuple[int, int]


@dataclass(frozen=True)
class OperationStats:
    """How often an operation ran, and what the last and the longest run took in the device's counter unit."""

    calls: int
    last: int
    longest: int


@dataclass(frozen=True)
class DeviceResources:
    """What the program takes of its board. Sizes are in bytes; what the device does not know is None.

    Attributes:
        arena_bytes: the head's arena: its budget and what it works in.
        variables_bytes: all variables of the program, arena and line buffer included; the stack is apart.
        stack_room: set aside for the stack.
        image_bytes: the program in flash.
        counter_hz: how often the counter counts in a second; None where it counts no time.
        counter_overhead: what measuring itself takes, in the counter's unit.
    """

    arena_bytes: int | None
    variables_bytes: int | None
    stack_room: int | None
    image_bytes: int | None
    counter_hz: int | None
    counter_overhead: int


@dataclass(frozen=True)
class DeviceStats:
    """What running has cost so far. None: the device cannot say."""

    uptime_s: float | None
    stack_bytes: int | None
    counter_unit: str | None
    operations: dict[str, OperationStats]
    frames: int
    damaged_frames: int
    repeated_requests: int
    host: LinkCounts


def read_info(link: Link) -> DeviceInfo:
    """Ask for everything in DeviceInfo; one round trip."""
    payload = link.request(Command.INFO, reply_bytes=protocol.INFO_REPLY.size)
    reply = InfoReply(*protocol.INFO_REPLY.unpack_from(payload))
    limits = (reply.known_q23 / (1 << 23), reply.unknown_q23 / (1 << 23)) if reply.has_thresholds else (None, None)
    return DeviceInfo(
        name=link.name,
        port=link.port,
        protocol_version=(link.device.major, link.device.minor),
        capabilities=tuple(bit.name.lower() for bit in Capability if bit & link.device.capabilities and bit.name),
        dim=reply.dim,
        budget=reply.budget,
        false_accept_rate=reply.false_accept_ppm / 1_000_000,
        max_proxies=reply.max_proxies,
        shrinkage=reply.shrinkage,
        backbone_bytes=reply.backbone_bytes,
        undo=bool(reply.undo),
        classes=reply.classes,
        proxies=reply.proxies,
        used_bytes=reply.used_bytes,
        max_classes=reply.max_classes,
        shots=reply.shots,
        can_undo=bool(reply.can_undo),
        known=limits[0],
        unknown=limits[1],
        store_capacity=reply.store_capacity,
        store_size=reply.store_size,
        store_erases=(reply.store_erases_0, reply.store_erases_1),
    )


def read_stats(link: Link) -> DeviceStats:
    """Ask for everything in DeviceStats; one round trip, and one for each operation."""
    payload = link.request(Command.STATS, reply_bytes=protocol.STATS_REPLY.size)
    reply = protocol.StatsReply(*protocol.STATS_REPLY.unpack_from(payload))
    operations = {operation.name.lower(): read_operation(link, operation) for operation in Operation}
    can = Capability(link.device.capabilities)
    return DeviceStats(
        uptime_s=reply.uptime_ms / 1000 if Capability.CLOCK in can else None,
        stack_bytes=reply.stack_bytes if Capability.STACK in can else None,
        counter_unit=counter_unit(link),
        operations=operations,
        frames=reply.frames,
        damaged_frames=reply.damaged,
        repeated_requests=reply.repeated,
        host=link.counts,
    )


def read_operation(link: Link, operation: Operation) -> OperationStats:
    """Ask how often an operation ran and what it took; one round trip."""
    asked = protocol.OPERATION_REQUEST.pack(operation)
    payload = link.request(Command.OPERATION, asked, reply_bytes=protocol.OPERATION_REPLY.size)
    return OperationStats(*protocol.OPERATION_REPLY.unpack_from(payload))


def read_resources(link: Link) -> DeviceResources | None:
    """Ask for everything in DeviceResources; None where the device cannot say, as all before version 1.1."""
    if not Capability.RESOURCES & link.device.capabilities:
        return None
    payload = link.request(Command.RESOURCES, reply_bytes=protocol.RESOURCES_REPLY.size)
    reply = protocol.ResourcesReply(*protocol.RESOURCES_REPLY.unpack_from(payload))
    return DeviceResources(
        arena_bytes=reply.arena_bytes or None,
        variables_bytes=reply.variables_bytes or None,
        stack_room=reply.stack_room or None,
        image_bytes=reply.image_bytes or None,
        counter_hz=reply.counter_hz or None,
        counter_overhead=reply.counter_overhead,
    )


def counter_unit(link: Link) -> str | None:
    """What the device counts operations in; None where it only counts how often they ran."""
    unit = link.device.counter_unit
    return CounterUnit(unit).name.lower() if unit in set(CounterUnit) - {CounterUnit.NONE} else None
