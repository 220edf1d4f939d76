"""protocol.toml and everything that is written from it."""

from __future__ import annotations

import re
import shutil
import subprocess

import cbuild
import numpy as np
import pytest

import edge_imprint.errors
from edge_imprint import ImprintHead, snapshot
from edge_imprint.errors import EdgeImprintError, UsageError
from edge_imprint.head import codec, labels
from edge_imprint_firmware import errors, protocol, protocol_generator
from edge_imprint_firmware.protocol import Command, Status

pytest.importorskip("ruff", reason="protocol.py is laid out with ruff: pip install 'edge-imprint[test]'")

TEXT = protocol_generator.SOURCE.read_text()
SPEC = protocol_generator.parse(TEXT)


def test_every_generated_file_is_in_step(capsys):
    assert protocol_generator.main(["--check"]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("max_dim = 4096", "max_dim = 2048", ["eimp_protocol.h", "protocol.py"]),
        ("Keeps the stage's first", "Retains the stage's first", ["PROTOCOL.md"]),
        ('bytes = "52 `c`"', 'bytes = "53 `c`"', ["FORMAT.md"]),
        ('max_proxies:u16 undo:u8"', 'max_proxies:u16 undo:u16"', ["eimp_protocol.h", "protocol.py", "PROTOCOL.md"]),
    ],
)
def test_a_change_of_the_source_is_seen_in_what_follows_from_it(old, new, expected):
    assert TEXT.count(old) == 1
    changed = protocol_generator.parse(TEXT.replace(old, new))
    differ = [file.name for file, text in protocol_generator.generated(changed) if file.read_text() != text]
    assert differ == expected


def test_check_fails_and_writes_nothing_when_a_file_has_drifted(tmp_path, monkeypatch, capsys):
    bridge = tmp_path / "firmware_bridge"
    for folder in ("firmware_bridge/c/src", "docs"):
        shutil.copytree(cbuild.ROOT / folder, tmp_path / folder)
    header = bridge / "c" / "src" / "eimp_protocol.h"
    header.write_text(header.read_text().replace("-16", "-26"))
    drifted = header.read_text()
    monkeypatch.setattr(protocol_generator, "BRIDGE", bridge)
    assert protocol_generator.main(["--check"]) == 1
    assert "eimp_protocol.h is out of step" in capsys.readouterr().out
    assert header.read_text() == drifted
    assert protocol_generator.main([]) == 0
    assert header.read_text() == (cbuild.SRC / "eimp_protocol.h").read_text()


def test_sources_of_another_revision_are_named(tmp_path, monkeypatch):
    source = tmp_path / "c" / "src" / "eimp_frame.c"
    source.parent.mkdir(parents=True)
    source.write_text((cbuild.SRC / "eimp_frame.c").read_text())
    monkeypatch.setattr(protocol_generator, "BRIDGE", tmp_path)
    assert protocol_generator.stale_sources(SPEC) == []
    source.write_text(re.sub(r"REVISION != \d+", "REVISION != 999", source.read_text()))
    assert protocol_generator.stale_sources(SPEC) == [source]


@pytest.mark.parametrize("name", ["eimp_frame.c", "eimp_rpc.c", "eimp_rpc_head.c", "eimp_rpc_snapshot.c"])
def test_a_stale_header_does_not_compile(tmp_path, name):
    for file in cbuild.SRC.glob("*.[ch]"):
        shutil.copy(file, tmp_path)
    command = [cbuild.compiler(), *cbuild.STRICT, "-fsyntax-only", str(tmp_path / name)]
    assert subprocess.run(command, check=False).returncode == 0
    header = tmp_path / "eimp_protocol.h"
    header.write_text(re.sub(r"(EIMP_PROTOCOL_REVISION) \d+", r"\1 1", header.read_text()))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "eimp_protocol.h is of another version" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("id = 24", "id = 23", "its own number"),
        ("id = 26", "id = 27", "in order"),
        ("code = -16", "code = -15", "its own number"),
        ("bit = 4", "bit = 3", "its own number"),
        ('ppm:u32"', 'ppm:u33"', "a type of"),
        ("frame_min_payload = 96", "frame_min_payload = 60", "frame_min_payload"),
    ],
)
def test_a_contradiction_in_the_source_is_refused(old, new, words):
    assert old in TEXT
    with pytest.raises(UsageError, match=words):
        protocol_generator.parse(TEXT.replace(old, new))


def test_numbers_are_those_of_the_runtime():
    assert protocol.SNAPSHOT_VERSION == (snapshot.MAJOR, snapshot.MINOR)
    assert (protocol.MAX_SNAPSHOT_BYTES, protocol.MAX_SNAPSHOT_SECTIONS) == (snapshot.MAX_BYTES, snapshot.MAX_SECTIONS)
    assert protocol.MAX_LABEL_BYTES == labels.MAX_LABEL_BYTES
    assert protocol.LABEL_FIELD_BYTES == labels.LABEL_FIELD_BYTES
    assert SPEC.raw["version"]["library"] == edge_imprint.__version__


def test_sections_are_those_that_the_head_writes():
    head = ImprintHead(4, 2048).partial_fit(np.eye(4), "mug")
    written = codec.sections(head, "a backbone")
    assert list(written) == list(SPEC.raw["sections"])
    fixed = {name: int(entry["bytes"]) for name, entry in SPEC.raw["sections"].items() if entry["bytes"].isdigit()}
    assert fixed == {"config": len(written["config"]), "state": len(written["state"])}


@pytest.mark.parametrize("status", [status for status in Status if status])
def test_every_status_becomes_an_exception_with_its_words(status):
    error = errors.refusal(status, "/dev/ttyX", "do it")
    assert isinstance(error, EdgeImprintError)
    assert type(error).__name__ == protocol.STATUS_ERROR[status]
    for words in ("/dev/ttyX", "do it", protocol.STATUS_TEXT[status], str(int(status)), status.name.lower()):
        assert words in str(error)


def test_an_unknown_status_is_an_error_as_well():
    error = errors.refusal(-100, "/dev/ttyX", "do it")
    assert type(error) is errors.DeviceError
    assert "-100" in str(error)


def test_the_document_speaks_of_every_command_and_status():
    document = (cbuild.ROOT / "docs" / "PROTOCOL.md").read_text()
    for command in Command:
        assert f"| {int(command)} | `{command.name.lower()}` |" in document
    for status in Status:
        assert f"| {int(status)} | `{status.name.lower()}` |" in document
