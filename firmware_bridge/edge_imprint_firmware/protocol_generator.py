"""Write what C, Python and the documents share from protocol.toml, or say what is out of step with it.

python -m edge_imprint_firmware.protocol_generator [--check]
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from edge_imprint.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Command", "Spec", "generated", "main", "parse", "stale_sources"]

BRIDGE = Path(__file__).resolve().parents[1]
SOURCE = BRIDGE / "protocol.toml"
NOTE = "Written by edge_imprint_firmware.protocol_generator from protocol.toml. Do not edit."
# Wire type to what struct calls it and its bytes.
TYPES = {"u8": ("B", 1), "u16": ("H", 2), "u32": ("I", 4), "u64": ("Q", 8), "i32": ("i", 4)}
# A reply of so many numbers gets a class with their names.
LEAST_NAMED = 4
# C sources that depend on the generated header name the revision that they were written for.
GUARD = re.compile(r"#if EIMP_PROTOCOL_REVISION != (\d+)\n#error ")


class Field(NamedTuple):
    """One number of a payload."""

    name: str
    type: str


class Command(NamedTuple):
    """One command: fields that are always there, and what follows them ("" where nothing does)."""

    name: str
    id: int
    request: tuple[Field, ...]
    request_tail: str
    reply: tuple[Field, ...]
    reply_tail: str
    text: str


class Spec(NamedTuple):
    """protocol.toml, read and checked."""

    raw: dict[str, Any]
    commands: tuple[Command, ...]


def size_of(fields: tuple[Field, ...]) -> int:
    """Bytes of fields on the wire."""
    return sum(TYPES[field.type][1] for field in fields)


def _fields(text: str, where: str) -> tuple[Field, ...]:
    fields = [Field(*part.partition(":")[::2]) for part in text.split()]
    for field in fields:
        if field.type not in TYPES or not field.name.isidentifier():
            raise UsageError(f"a field is name:type with a type of {', '.join(TYPES)}; got {field} in {where}")
    return tuple(fields)


def parse(text: str) -> Spec:
    """Read protocol.toml.

    Raises:
        UsageError: a number is used twice, a field has no known type, or a reply does not fit the smallest frame.

    Example:
        >>> [command.name for command in parse(SOURCE.read_text()).commands][:2]
        ['hello', 'info']
    """
    raw = tomllib.loads(text)
    commands = []
    for name, entry in raw["commands"].items():
        parts = (_fields(entry.get(side, ""), f"{name}.{side}") for side in ("request", "reply"))
        request, reply = parts
        tails = (entry.get("request_tail", ""), entry.get("reply_tail", ""))
        commands.append(Command(name, entry["id"], request, tails[0], reply, tails[1], entry["text"]))
        if max(size_of(request), size_of(reply)) > raw["frame"]["frame_min_payload"]:
            raise UsageError(f"fixed fields fit frame_min_payload; {name}'s do not. Divide the command")
    numbers = {
        "command": [command.id for command in commands],
        "status": [entry["code"] for entry in raw["status"].values()],
        "capability": [entry["bit"] for entry in raw["capabilities"].values()],
    }
    for what, values in numbers.items():
        if len(set(values)) != len(values):
            raise UsageError(f"each {what} has its own number; got {sorted(values)}")
    if numbers["command"] != list(range(1, len(commands) + 1)):
        raise UsageError(f"commands are numbered 1, 2, 3 in order; got {numbers['command']}")
    return Spec(raw, tuple(commands))


def c_header(spec: Spec) -> str:
    """eimp_protocol.h."""
    raw, version = spec.raw, spec.raw["version"]
    lines = [f"/* {NOTE} */", "#ifndef EIMP_PROTOCOL_H", "#define EIMP_PROTOCOL_H", ""]
    constants = {
        "protocol_revision": version["revision"],
        "protocol_major": version["protocol"][0],
        "protocol_minor": version["protocol"][1],
        "snapshot_major": version["snapshot"][0],
        "snapshot_minor": version["snapshot"][1],
        **raw["limits"],
        "snapshot_sections": len(raw["sections"]),
        "snapshot_moment_sections": len(raw["moment_sections"]),
        **raw["frame"],
    }
    # The preprocessor compares the revision: no suffix.
    lines += [f"#define EIMP_{k.upper()} {v}{'' if k == 'protocol_revision' else 'u'}" for k, v in constants.items()]
    lines += [f'#define EIMP_LIBRARY_VERSION "{version["library"]}"', ""]
    lines += ["enum eimp_status {"]
    status = [(name if name == "ok" else f"e_{name}", entry["code"]) for name, entry in raw["status"].items()]
    lines += [*_c_values(status), "};", "", "/* Bits of what a device can do. */"]
    lines += [f"#define EIMP_CAN_{k.upper()} (1u << {v['bit']})" for k, v in raw["capabilities"].items()]
    units = [(f"count_{name}", entry["code"]) for name, entry in raw["counter_unit"].items()]
    lines += ["", "enum eimp_counter_unit {", *_c_values(units), "};", ""]
    operations = [(f"operation_{name}", code) for name, code in raw["operations"].items()]
    lines += ["enum eimp_operation {", *_c_values(operations), "};"]
    lines += [f"#define EIMP_OPERATIONS {len(operations)}u", ""]
    lines += ["/* X(NAME, name, id, bytes of a request's fields, 1 if more may follow), in the order of ids from 1. */"]
    rows = [
        f"    X({c.name.upper()}, {c.name}, {c.id}, {size_of(c.request)}u, {int(bool(c.request_tail))}u)"
        for c in spec.commands
    ]
    lines += [" \\\n".join(["#define EIMP_COMMANDS(X)", *rows]), ""]
    lines += ["/* Bytes of a reply's fields. */"]
    lines += [f"#define EIMP_{c.name.upper()}_REPLY_BYTES {size_of(c.reply)}u" for c in spec.commands if c.reply]
    return "\n".join([*lines, "", "#endif", ""])


def _c_values(values: list[tuple[str, int]]) -> list[str]:
    last = len(values) - 1
    return [f"    EIMP_{name.upper()} = {code}{',' if i < last else ''}" for i, (name, code) in enumerate(values)]


def python_module(spec: Spec) -> str:
    """protocol.py, before ruff has laid it out."""
    raw, version = spec.raw, spec.raw["version"]
    lines = [
        '"""What the device and its host agree on.',
        "",
        f'{NOTE}\n"""',
        "",
        "from __future__ import annotations",
        "",
    ]
    lines += ["import struct", "from enum import IntEnum, IntFlag", "from typing import Final, NamedTuple", ""]
    lines += [f"PROTOCOL_VERSION: Final = {tuple(version['protocol'])}"]
    lines += [f"SNAPSHOT_VERSION: Final = {tuple(version['snapshot'])}"]
    lines += [f"REVISION: Final = {version['revision']}"]
    lines += [f"{name.upper()}: Final = {value}" for name, value in {**raw["limits"], **raw["frame"]}.items()]
    status = {name: entry["code"] for name, entry in raw["status"].items()}
    capabilities = {name: 1 << entry["bit"] for name, entry in raw["capabilities"].items()}
    units = {name: entry["code"] for name, entry in raw["counter_unit"].items()}
    lines += _enum("Status", "IntEnum", "How a command ended.", status)
    texts = [f"Status.{name.upper()}: {entry['text']!r}," for name, entry in raw["status"].items()]
    lines += ["", "STATUS_TEXT: Final[dict[int, str]] = {", *texts, "}"]
    errors = [f"Status.{n.upper()}: {entry['error']!r}," for n, entry in raw["status"].items() if entry["error"]]
    lines += ["", "STATUS_ERROR: Final[dict[int, str]] = {", *errors, "}", ""]
    lines += _enum("Capability", "IntFlag", "What a device can do.", capabilities)
    lines += _enum("CounterUnit", "IntEnum", "What a device counts its operations in.", units)
    lines += _enum("Operation", "IntEnum", "What is measured on the device.", raw["operations"])
    lines += _enum("Command", "IntEnum", "What a host may ask.", {c.name: c.id for c in spec.commands})
    for command in spec.commands:
        title = "".join(part.capitalize() for part in command.name.split("_"))
        for side, fields in (("Request", command.request), ("Reply", command.reply)):
            if not fields:
                continue
            codes = "".join(TYPES[field.type][0] for field in fields)
            names = "  # " + ", ".join(field.name for field in fields)
            if side == "Reply" and len(fields) >= LEAST_NAMED:
                names = ""
                lines += ["", f"class {title}Reply(NamedTuple):", f'    """Fields of {command.name}\'s reply."""']
                lines += ["", *(f"    {field.name}: int" for field in fields), ""]
            lines += [f'{command.name.upper()}_{side.upper()}: Final = struct.Struct("<{codes}"){names}', ""]
    return "\n".join(lines)


def _enum(name: str, base: str, doc: str, values: dict[str, int]) -> list[str]:
    members = [f"    {member.upper()} = {value}" for member, value in values.items()]
    return ["", f"class {name}({base}):", f'    """{doc}"""', "", *members, ""]


def _laid_out(source: str) -> str:
    command = ["ruff", "format", "--line-length", "120", "--stdin-filename", "protocol.py", "-"]
    ran = subprocess.run([sys.executable, "-m", *command], input=source, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise UsageError(f"writing protocol.py needs ruff: pip install 'edge-imprint[test]'; it said: {ran.stderr}")
    return ran.stdout


def tables(spec: Spec) -> dict[str, list[str]]:
    """Rows of the documents' tables, by the name of their markers."""
    raw = spec.raw
    commands = ["| id | command | request | reply | what it does |", "|---:|---|---|---|---|"]
    for c in spec.commands:
        sides = (_payload(c.request, c.request_tail), _payload(c.reply, c.reply_tail))
        commands.append(f"| {c.id} | `{c.name}` | {sides[0]} | {sides[1]} | {c.text} |")
    status = ["| code | name | meaning | exception in Python |", "|---:|---|---|---|"]
    for name, entry in raw["status"].items():
        error = f"`{entry['error']}`" if entry["error"] else ""
        status.append(f"| {entry['code']} | `{name}` | {entry['text']} | {error} |")
    bits = ["| bit | capability | meaning |", "|---:|---|---|"]
    bits += [f"| {entry['bit']} | `{name}` | {entry['text']} |" for name, entry in raw["capabilities"].items()]
    units = ["| code | counter_unit |", "|---:|---|"]
    units += [f"| {entry['code']} | {entry['text']} |" for entry in raw["counter_unit"].values()]
    operations = ["| number | operation |", "|---:|---|"]
    operations += [f"| {number} | `{name}` |" for name, number in raw["operations"].items()]
    frame = ["| constant | value |", "|---|---:|"]
    frame += [f"| `{name}` | {value} |" for name, value in raw["frame"].items()]
    return {
        "commands": commands,
        "status": status,
        "capabilities": bits,
        "counter units": units,
        "operations": operations,
        "frame": frame,
        "sections": _sections(raw["sections"]),
        "moment sections": _sections(raw["moment_sections"]),
    }


def _sections(entries: dict[str, dict[str, str]]) -> list[str]:
    head = ["| name | bytes | what |", "|---|---:|---|"]
    return head + [f"| `{name}` | {entry['bytes']} | {entry['text']} |" for name, entry in entries.items()]


def _payload(fields: tuple[Field, ...], tail: str) -> str:
    parts = [f"{field.name} {field.type}" for field in fields]
    return ", ".join([*parts, *([f"*{tail}*"] if tail else [])])


def with_tables(document: str, spec: Spec) -> str:
    """A document with each `<!-- table: NAME -->` ... `<!-- end of table -->` filled in."""
    rows = tables(spec)

    def fill(match: re.Match[str]) -> str:
        return "\n".join([f"<!-- table: {match[1]} -->", *rows[match[1]], "<!-- end of table -->"])

    return re.sub(r"<!-- table: ([a-z ]+) -->\n.*?<!-- end of table -->", fill, document, flags=re.DOTALL)


def generated(spec: Spec) -> Iterator[tuple[Path, str]]:
    """Every file that follows from protocol.toml, and what has to stand in it."""
    yield BRIDGE / "c" / "src" / "eimp_protocol.h", c_header(spec)
    yield Path(__file__).with_name("protocol.py"), _laid_out(python_module(spec))
    for name in ("PROTOCOL.md", "FORMAT.md"):
        document = BRIDGE.parent / "docs" / name
        yield document, with_tables(document.read_text(), spec)


def stale_sources(spec: Spec) -> list[Path]:
    """C sources that were written for another revision of the generated names."""
    wanted = spec.raw["version"]["revision"]
    sources = sorted((BRIDGE / "c" / "src").glob("eimp_*.[ch]"))
    return [file for file in sources if any(int(found) != wanted for found in GUARD.findall(file.read_text()))]


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or with --check compare them. Returns 0 when everything is in step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a file is out of step")
    check = parser.parse_args(arguments).check
    spec = parse(SOURCE.read_text())
    stale = [(file, text) for file, text in generated(spec) if not file.is_file() or file.read_text() != text]
    for file, text in stale:
        if not check:
            file.write_text(text)
        print(f"{file.relative_to(BRIDGE.parent)} {'is out of step with protocol.toml' if check else 'written'}")
    old = stale_sources(spec)
    for file in old:
        print(f"{file.relative_to(BRIDGE.parent)} expects another EIMP_PROTOCOL_REVISION: look at it, then change it")
    return 1 if old or (check and stale) else 0


if __name__ == "__main__":
    sys.exit(main())
