"""Results on disk: `settings.json` says what was measured, `cells.jsonl` has one line per finished cell.

Lines are appended as cells finish, so that a run that was killed goes on where it stopped. Each line carries the
digest of the code that made it: after a change of that code the cell is computed again, and its last line counts.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from benchmarks import machine
from benchmarks.paper import cells
from benchmarks.paper.cells import HEADS, Cell
from edge_imprint.atomic import replace_file, storage_errors
from edge_imprint.errors import StorageError, UsageError

SCHEMA = 1
SETTINGS, CELLS = "settings.json", "cells.jsonl"
Record = dict[str, Any]


def code_digests() -> dict[str, str]:
    """Digests of the sources of `edge_imprint.head` and `edge_imprint.imprint`, by unit."""
    import edge_imprint

    found = {}
    for unit in ("head", "imprint"):
        digest = hashlib.sha256()
        for file in sorted((Path(edge_imprint.__file__).parent / unit).glob("*.py")):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
        found[unit] = digest.hexdigest()[:12]
    return found


def code_of(cell: Cell, digests: Mapping[str, str]) -> str:
    """The digest of the code that a cell runs, `benchmarks.paper.cells` included."""
    return digests["head" if cell.method in HEADS else "imprint"] + "-" + _cells_digest()


@cache
def _cells_digest() -> str:
    return hashlib.sha256(Path(cells.__file__).read_bytes()).hexdigest()[:12]


class Store:
    """The results of one folder, held by one run at a time; a context manager.

    Args:
        folder: made when it is not there.
        settings: what must agree for numbers to be compared: budget, labels, and digests by name of `data` and
            `backbones`. Names may be added later; a known name keeps its digest.

    Raises:
        UsageError: the folder holds results of other settings, or another run is writing to it.
        StorageError: it cannot be read or written, or a line that is not the last one is damaged.
    """

    def __init__(self, folder: Path, settings: Record) -> None:
        self.folder = folder
        self._file: BinaryIO | None = None
        with storage_errors("write", folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / CELLS).open("ab")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._file.close()
                raise UsageError(f"another run is writing to {folder}. Wait for it, or choose another --out") from None
        try:
            self._mend()
            self.records = read_cells(folder)
            self._agree(settings)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def finished(self, cell: Cell, code: str) -> bool:
        """Whether a cell was computed by this code."""
        return self.records.get(cell.key, {}).get("code") == code

    def add(self, cell: Cell, code: str, outcome: Record) -> None:
        """Append a finished cell."""
        record = {**asdict(cell), "code": code, **outcome}
        assert self._file is not None
        with storage_errors("write", self.folder / CELLS):
            self._file.write(json.dumps(record).encode() + b"\n")
            self._file.flush()
        self.records[cell.key] = record

    def _mend(self) -> None:
        """Cut off what a killed run left of its last line."""
        path = self.folder / CELLS
        with storage_errors("read", path), path.open("r+b") as file:
            content = file.read()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                file.truncate(whole)

    def _agree(self, settings: Record) -> None:
        path = self.folder / SETTINGS
        before = read_settings(self.folder) if path.is_file() else settings
        if "schema" in before and before["schema"] != SCHEMA:
            raise UsageError(f"{self.folder} holds results of another version. Choose another --out")
        for name in ("budget", "labels"):
            if before[name] != settings[name]:
                raise UsageError(
                    f"{self.folder} was made with --{name} {before[name]}; got {settings[name]}. "
                    "Choose another --out, or ask for the same"
                )
        for kind in ("data", "backbones"):
            for name, digest in settings[kind].items():
                if before[kind].get(name, digest) != digest:
                    raise UsageError(
                        f"{self.folder} has results of another {name!r} ({kind}): its contents have changed. "
                        "Choose another --out, or give it another name"
                    )
        joined = {**settings, "schema": SCHEMA, "machine": machine.describe(), "versions": machine.versions()}
        joined |= {kind: {**before[kind], **settings[kind]} for kind in ("data", "backbones")}
        replace_file(path, json.dumps(joined, indent=1).encode() + b"\n")


def read_settings(folder: Path) -> Record:
    """What `Store` wrote about a folder's results.

    Raises:
        StorageError: there are no results, or the file is damaged.
    """
    path = folder / SETTINGS
    if not path.is_file():
        raise StorageError(f"no results in {folder}. Make some: python -m benchmarks.paper run --out {folder}")
    with storage_errors("read", path):
        content = path.read_bytes()
    try:
        found: Record = json.loads(content)
        return {**found, "data": dict(found["data"]), "backbones": dict(found["backbones"])}
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path} is damaged ({error}). Move it away with {CELLS}, and run again") from error


def read_cells(folder: Path) -> dict[str, Record]:
    """Finished cells by key; of several lines of one cell the last counts, half a last line does not.

    Raises:
        StorageError: the file cannot be read, or a line before the last is damaged.
    """
    path = folder / CELLS
    with storage_errors("read", path):
        lines = path.read_bytes().split(b"\n")
    found: dict[str, Record] = {}
    names = list(Cell.__dataclass_fields__)
    for number, line in enumerate(lines[:-1], 1):
        try:
            record = json.loads(line)
            found[Cell(**{name: record[name] for name in names}).key] = record
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(f"{path}, line {number}, is damaged. Take the line out and run again") from error
    return found
