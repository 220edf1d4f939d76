"""What the device and its host agree on.

Written by edge_imprint_firmware.protocol_generator from protocol.toml. Do not edit.
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag
from typing import Final, NamedTuple

PROTOCOL_VERSION: Final = (1, 1)
SNAPSHOT_VERSION: Final = (1, 0)
REVISION: Final = 2
MAX_DIM: Final = 4096
MAX_BUDGET: Final = 1073741824
MAX_LABEL_BYTES: Final = 31
LABEL_FIELD_BYTES: Final = 32
MAX_BACKBONE_BYTES: Final = 4096
MAX_SNAPSHOT_BYTES: Final = 67108864
MAX_SNAPSHOT_SECTIONS: Final = 16
MAX_NAME_BYTES: Final = 32
FRAME_HEADER_BYTES: Final = 4
FRAME_CRC_BYTES: Final = 4
FRAME_MIN_PAYLOAD: Final = 96
FRAME_MAX_PAYLOAD: Final = 1024
FRAME_DEFAULT_PAYLOAD: Final = 256
FRAME_REPLY_BIT: Final = 128
FRAME_DAMAGED: Final = 128


class Status(IntEnum):
    """How a command ended."""

    OK = 0
    ARGUMENT = -1
    VALUE_RANGE = -2
    SHAPE = -3
    LABEL = -4
    UNKNOWN_LABEL = -5
    NOT_TAUGHT = -6
    NO_UNDO = -7
    CAPACITY = -8
    BUDGET = -9
    CORRUPT = -10
    VERSION = -11
    BACKBONE = -12
    STORAGE = -13
    COMMAND = -14
    LENGTH = -15
    STATE = -16
    SESSION = -17


STATUS_TEXT: Final[dict[int, str]] = {
    Status.OK: "done",
    Status.ARGUMENT: "an argument breaks the function's rule",
    Status.VALUE_RANGE: "a number is out of its range, or an embedding is all zeros",
    Status.SHAPE: "the embedding's length is not the head's",
    Status.LABEL: "a label has 1 to 31 bytes of UTF-8 without control characters",
    Status.UNKNOWN_LABEL: "no class of that label was taught",
    Status.NOT_TAUGHT: "the head knows too few classes for that",
    Status.NO_UNDO: "undo takes back one shot, directly after it was learnt; there is none",
    Status.CAPACITY: "the budget has no room for that",
    Status.BUDGET: "the budget holds no class",
    Status.CORRUPT: "the snapshot is damaged or truncated",
    Status.VERSION: "the snapshot's or the protocol's version is not the device's",
    Status.BACKBONE: "the embeddings come from another backbone",
    Status.STORAGE: "flash could not be read, erased or programmed",
    Status.COMMAND: "the device does not know that command",
    Status.LENGTH: "the command's payload has the wrong length",
    Status.STATE: "the command does not fit what came before it",
    Status.SESSION: "the device was restarted, and what it had not stored is gone; open it again",
}

STATUS_ERROR: Final[dict[int, str]] = {
    Status.ARGUMENT: "UsageError",
    Status.VALUE_RANGE: "ValueRangeError",
    Status.SHAPE: "ShapeError",
    Status.LABEL: "LabelError",
    Status.UNKNOWN_LABEL: "UnknownLabelError",
    Status.NOT_TAUGHT: "NotTaughtError",
    Status.NO_UNDO: "NotTaughtError",
    Status.CAPACITY: "CapacityError",
    Status.BUDGET: "BudgetError",
    Status.CORRUPT: "SnapshotCorruptError",
    Status.VERSION: "SnapshotVersionError",
    Status.BACKBONE: "BackboneMismatchError",
    Status.STORAGE: "StorageError",
    Status.COMMAND: "DeviceError",
    Status.LENGTH: "DeviceError",
    Status.STATE: "DeviceError",
    Status.SESSION: "DeviceRestartedError",
}


class Capability(IntFlag):
    """What a device can do."""

    STORE = 1
    COUNTER = 2
    STACK = 4
    CLOCK = 8
    REBOOT = 16
    RESOURCES = 32
    RIDGE = 64


class CounterUnit(IntEnum):
    """What a device counts its operations in."""

    NONE = 0
    INSTRUCTIONS = 1
    CYCLES = 2
    MICROSECONDS = 3


class Operation(IntEnum):
    """What is measured on the device."""

    LEARN = 0
    PREDICT = 1
    SCORES = 2
    FORGET = 3
    UNDO = 4
    SAVE = 5
    LOAD = 6


class Command(IntEnum):
    """What a host may ask."""

    HELLO = 1
    INFO = 2
    STAGE = 3
    LEARN = 4
    PREDICT = 5
    SCORES = 6
    FORGET = 7
    UNDO = 8
    CLEAR = 9
    CLASSES = 10
    SET_FALSE_ACCEPT = 11
    SET_BACKBONE = 12
    GET_BACKBONE = 13
    STATS = 14
    OPERATION = 15
    SNAPSHOT_OPEN = 16
    SNAPSHOT_READ = 17
    SNAPSHOT_BEGIN = 18
    SNAPSHOT_WRITE = 19
    SNAPSHOT_STATUS = 20
    SNAPSHOT_COMMIT = 21
    SAVE = 22
    LOAD = 23
    RESET = 24
    RESOURCES = 25
    CONFIDENCE = 26


HELLO_REQUEST: Final = struct.Struct("<BBI")  # major, minor, session


class HelloReply(NamedTuple):
    """Fields of hello's reply."""

    major: int
    minor: int
    session: int
    capabilities: int
    max_payload: int
    dim: int
    counter_unit: int


HELLO_REPLY: Final = struct.Struct("<BBIIHIB")


class InfoReply(NamedTuple):
    """Fields of info's reply."""

    dim: int
    budget: int
    false_accept_ppm: int
    max_proxies: int
    shrinkage: int
    backbone_bytes: int
    undo: int
    classes: int
    proxies: int
    used_bytes: int
    max_classes: int
    shots: int
    can_undo: int
    has_thresholds: int
    known_q23: int
    unknown_q23: int
    store_capacity: int
    store_size: int
    store_erases_0: int
    store_erases_1: int


INFO_REPLY: Final = struct.Struct("<IIIHHHBIIIIQBBiiIIII")

STAGE_REQUEST: Final = struct.Struct("<H")  # offset

LEARN_REQUEST: Final = struct.Struct("<I")  # stage_crc

LEARN_REPLY: Final = struct.Struct("<HH")  # class_index, classes

PREDICT_REQUEST: Final = struct.Struct("<I")  # stage_crc


class PredictReply(NamedTuple):
    """Fields of predict's reply."""

    class_index: int
    cosine_q23: int
    verdict: int
    has_thresholds: int
    known_q23: int
    unknown_q23: int


PREDICT_REPLY: Final = struct.Struct("<HiBBii")

SCORES_REQUEST: Final = struct.Struct("<IHH")  # stage_crc, first, most

SCORES_REPLY: Final = struct.Struct("<H")  # classes

CLASSES_REQUEST: Final = struct.Struct("<HH")  # first, most

CLASSES_REPLY: Final = struct.Struct("<H")  # classes

SET_FALSE_ACCEPT_REQUEST: Final = struct.Struct("<I")  # ppm

SET_BACKBONE_REQUEST: Final = struct.Struct("<HI")  # length, stage_crc

GET_BACKBONE_REQUEST: Final = struct.Struct("<HH")  # offset, most

GET_BACKBONE_REPLY: Final = struct.Struct("<H")  # length


class StatsReply(NamedTuple):
    """Fields of stats's reply."""

    uptime_ms: int
    stack_bytes: int
    frames: int
    damaged: int
    repeated: int


STATS_REPLY: Final = struct.Struct("<IIIII")

OPERATION_REQUEST: Final = struct.Struct("<B")  # operation

OPERATION_REPLY: Final = struct.Struct("<III")  # calls, last, longest

SNAPSHOT_OPEN_REPLY: Final = struct.Struct("<II")  # size, crc

SNAPSHOT_READ_REQUEST: Final = struct.Struct("<IH")  # offset, length

SNAPSHOT_BEGIN_REQUEST: Final = struct.Struct("<IIIIHHB")  # size, crc, dim, budget, backbone_bytes, max_proxies, undo

SNAPSHOT_BEGIN_REPLY: Final = struct.Struct("<I")  # received

SNAPSHOT_WRITE_REQUEST: Final = struct.Struct("<I")  # offset

SNAPSHOT_WRITE_REPLY: Final = struct.Struct("<I")  # received

SNAPSHOT_STATUS_REPLY: Final = struct.Struct("<III")  # size, crc, received


class ResourcesReply(NamedTuple):
    """Fields of resources's reply."""

    arena_bytes: int
    variables_bytes: int
    stack_room: int
    image_bytes: int
    counter_hz: int
    counter_overhead: int


RESOURCES_REPLY: Final = struct.Struct("<IIIIII")

CONFIDENCE_REQUEST: Final = struct.Struct("<I")  # stage_crc

CONFIDENCE_REPLY: Final = struct.Struct("<I")  # confidence_q16
