"""A microcontroller's profile, as `edge-imprint profile --port` writes it: read, compared, held against budgets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_imprint.errors import ProfileError
from edge_imprint.profiling.compare import Row, check_budgets
from edge_imprint.profiling.result import SCHEMA as HOST_SCHEMA
from edge_imprint.profiling.result import Profile, is_amount, read_json

SCHEMA = "edge-imprint/device-profile/1"
VARIABLES, STACK = "all variables, arena included", "stack, used at most"
"""Two of the `bytes`, which together are the RAM that a program takes."""
RAM = "RAM: all variables and the deepest stack"
ANSWER, LINE = "predict", "round trip"
"""The stages that a budget of time is for, and in which the device does nothing."""
EMULATED = "instructions"
_PERCENTILES = ("p50", "p90", "p99", "jitter")
_COMPARED = ("p50", "p99")
_HEAD = ("dim", "budget", "used_bytes", "classes", "proxies", "shots")


@dataclass(frozen=True)
class DeviceDocument:
    """What `profile --port` found, as plain JSON; docs/PROFILE.md names every field.

    Attributes:
        plain: the JSON object.

    Example:
        >>> DeviceDocument({"bytes": {VARIABLES: {"bytes": 12856}, STACK: {"bytes": 548}}}).ram_bytes
        13404
    """

    plain: dict[str, Any]

    @property
    def unit(self) -> str | None:
        """What the device counts in; None without a counter."""
        unit: str | None = self.plain["counter_unit"]
        return unit

    @property
    def stages(self) -> list[str]:
        """Names of the operations, in the order in which they ran."""
        return list(self.plain["stages"])

    @property
    def sizes(self) -> dict[str, int | None]:
        """Name to bytes; None for what the device does not know."""
        return {name: entry["bytes"] for name, entry in self.plain["bytes"].items()}

    @property
    def ram_bytes(self) -> int | None:
        """All variables and the stack used at most; None where the device does not know one of them."""
        parts = [self.sizes.get(name) for name in (VARIABLES, STACK)]
        return None if None in parts else sum(part for part in parts if part is not None)

    def count(self, stage: str, key: str) -> float | None:
        """A percentile of an operation's counts in `unit`, such as "p50"; None where there is none."""
        return self._number(stage, "counts", key)

    def round_trip_us(self, stage: str, key: str) -> float | None:
        """The same of what the host's clock says, in microseconds."""
        return self._number(stage, "round_trip_us", key)

    def _number(self, stage: str, kind: str, key: str) -> float | None:
        summary = self.plain["stages"].get(stage, {}).get(kind)
        return None if summary is None else float(summary[key])

    @classmethod
    def from_dict(cls, plain: Any, name: str = "the profile") -> DeviceDocument:
        """Take a JSON object for what it says to be.

        Raises:
            ProfileError: it is no profile of a microcontroller, of another version, or lacks something.
        """
        schema = plain.get("schema") if isinstance(plain, dict) else None
        if schema != SCHEMA:
            raise ProfileError(
                f"a microcontroller's profile must have the schema {SCHEMA}; {name} has {schema!r}. Make it again with "
                "this version of edge-imprint profile --port"
            )
        for key, kinds in _KINDS.items():
            if not isinstance(plain.get(key, ()), kinds):
                raise ProfileError(f"a microcontroller's profile must have {key!r}; {name} has not. Make it again")
        for key in _HEAD:
            if not is_amount(plain["head"].get(key)):
                raise ProfileError(f"a profile must have a number as head {key!r}; {name} has not. Make it again")
        for stage, entry in plain["stages"].items():
            if not isinstance(entry, dict) or not all(map(_is_summary, map(entry.get, ("counts", "round_trip_us")))):
                raise ProfileError(f"a stage must have counts and round_trip_us; {name}: {stage!r} has not")
        for size, entry in plain["bytes"].items():
            if not isinstance(entry, dict) or not (entry.get("bytes", "") is None or is_amount(entry.get("bytes"))):
                raise ProfileError(f"bytes must be a number or null; {name}: {size!r} has not. Make it again")
        return cls(plain)


_KINDS: dict[str, Any] = {
    "device": dict, "head": dict, "stages": dict, "bytes": dict, "origin": str, "broken": str,
    "counter_unit": str | None, "counter_hz": float | int | None,
}  # fmt: skip


def _is_summary(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and all(is_amount(value.get(key)) for key in _PERCENTILES))


def load_pair(first: Path, second: Path) -> tuple[Profile, Profile] | tuple[DeviceDocument, DeviceDocument]:
    """Read two profiles of one kind: of machines, or of microcontrollers.

    Raises:
        StorageError: a file cannot be read.
        ProfileError: a file is no profile, of another version, or of another kind than the other.
    """
    one, other = read_json(first), read_json(second)
    kinds = [_kind(plain) for plain in (one, other)]
    if set(kinds) == {"machine", "microcontroller"}:
        raise ProfileError(
            f"profiles of one kind are compared: {first} is of a {kinds[0]} ({one['schema']}), {second} of a "
            f"{kinds[1]} ({other['schema']}), and times of the one say nothing of counts of the other. Name two that "
            "edge-imprint profile made with --port, or two that it made without"
        )
    if "microcontroller" in kinds:
        return DeviceDocument.from_dict(one, str(first)), DeviceDocument.from_dict(other, str(second))
    return Profile.from_dict(one, str(first)), Profile.from_dict(other, str(second))


def _kind(plain: Any) -> str | None:
    schema = str(plain.get("schema")) if isinstance(plain, dict) else ""
    for kind, of in (("microcontroller", SCHEMA), ("machine", HOST_SCHEMA)):
        if schema.startswith(of.rpartition("/")[0] + "/"):
            return kind
    return None


def compare_devices(first: DeviceDocument, second: DeviceDocument) -> list[Row]:
    """Counts of each operation and bytes of two profiles.

    Counts in two units stand in rows of their own, without a ratio. Round trips stand there where neither device is
    emulated: an emulator's speed is that of the machine it runs on.
    """
    both = (first, second)
    units = dict.fromkeys(found.unit for found in both if found.unit is not None)
    rows = []
    for stage in dict.fromkeys([*first.stages, *second.stages]):
        for key in _COMPARED:
            for unit in units:
                values = [found.count(stage, key) if found.unit == unit else None for found in both]
                rows.append(Row(f"{stage} {key}", unit, *values))
    if EMULATED not in units:
        for key in _COMPARED:
            rows.append(Row(f"{LINE} {key}", "us", *(found.round_trip_us(LINE, key) for found in both)))
    for name in dict.fromkeys([*first.sizes, *second.sizes]):
        rows.append(Row(name, "bytes", *(found.sizes.get(name) for found in both)))
    rows.append(Row(RAM, "bytes", first.ram_bytes, second.ram_bytes))
    return [row for row in rows if (row.first, row.second) != (None, None)]


def refuse_budgets(
    unit: str | None, counter_hz: float | None, knows_ram: bool, budget_ms: float | None, budget_bytes: float | None
) -> None:
    """Refuse a budget for what a device does not measure, before it measures anything.

    Raises:
        ProfileError: the message says why, and what to do instead.
    """
    if budget_ms is not None and _ms(1, unit, counter_hz) is None:
        why, instead = _NO_TIME.get(unit, ("its counter does not say how often it counts in a second", _HZ))
        raise ProfileError(f"--budget-ms needs a device that counts time, and {why}. {instead}")
    if budget_bytes is not None and not knows_ram:
        raise ProfileError(
            "a budget of memory needs the bytes of all variables and of the deepest stack, and this device does not "
            "know them. Make its program with this version's edge-imprint firmware generate"
        )


_HZ = "Make its program with edge-imprint firmware generate --clock-hz"
_NO_TIME = {
    EMULATED: (
        "an emulated one counts instructions, which say nothing of milliseconds",
        "Measure the real part; put two profiles' instructions side by side with --compare",
    ),
    None: ("this one has no counter", "Give it one: eimp_port_counter() of its port"),
}


def _ms(count: float, unit: str | None, counter_hz: float | None) -> float | None:
    """Milliseconds of a count; None where it is not one of time."""
    if unit == "microseconds":
        return count / 1000
    return count / counter_hz * 1000 if unit == "cycles" and counter_hz else None


def exceeded_by(found: DeviceDocument, budget_ms: float | None, budget_bytes: float | None) -> list[str]:
    """What a device exceeds: a sentence for each budget.

    Args:
        found: its profile.
        budget_ms: milliseconds that 99 % of all answers ("predict") have to take at most, by the device's counter.
        budget_bytes: bytes of RAM that all variables and the deepest stack may take.

    Raises:
        ProfileError: a budget for something that was not measured, or that is not above zero.
    """
    check_budgets(budget_ms, budget_kb=budget_bytes)
    hz = found.plain["counter_hz"]
    ram = found.ram_bytes
    refuse_budgets(found.unit, hz, ram is not None, budget_ms, budget_bytes)
    sentences = []
    if budget_ms is not None:
        count = found.count(ANSWER, "p99")
        taken = None if count is None else _ms(count, found.unit, hz)
        if taken is None:
            raise ProfileError(f"--budget-ms needs {ANSWER!r} to be counted, and it was not. Run it again")
        if taken > budget_ms:
            over = f"{taken / budget_ms:.2f} times as long"
            sentences.append(
                f"99 % of answers take the device at most {taken:.3f} ms; the budget is {budget_ms:g} ms, {over}"
            )
    if budget_bytes is not None and ram is not None and ram > budget_bytes:
        sentences.append(
            f"all variables and the deepest stack take {ram:,} bytes of RAM; the budget is {budget_bytes:,.0f} bytes"
        )
    return sentences
