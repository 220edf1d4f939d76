"""Write a firmware project that builds with `make` alone: sources, start-up code, linker script, configuration."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_imprint import ImprintHead, __version__
from edge_imprint.atomic import storage_errors
from edge_imprint.errors import MissingRuntimeError, UsageError
from edge_imprint_firmware import sizes, sources
from edge_imprint_firmware.boards import Board
from edge_imprint_firmware.options import STACK_BYTES, HeadOptions, check_ram, other_ram, payload_bytes, ring_bytes

MARKER = ".edge-imprint-firmware.json"
_COMMON = (
    "cortex_m.h", "maths.c", "memory.c", "port.h", "port_common.c", "port_common.h", "startup.c", "startup.h",
    "vectors.S", "freestanding/math.h", "freestanding/string.h",
)  # fmt: skip
_RAM_FLASH = ("flash_ram.c", "flash_ram.h")
_EMULATED = ("emulation.c", "emulation.h", "flash_host.c", "flash_host.h", "semihosting.c", "semihosting.h")
_NVMC = ("flash_nvmc.c", "flash_nvmc.h")
_TEMPLATES = {
    "Makefile": "Makefile",
    "board.ld": "board.ld",
    "README.md": "README.md",
    "port_config.h": "config/port_config.h",
    "eimp_app_config.h": "config/eimp_app_config.h",
}


@dataclass(frozen=True)
class Project:
    """A folder that was written, and what it holds. Sizes are in bytes."""

    folder: str
    board: str
    dim: int
    budget: int
    method: str
    max_classes: int
    arena_bytes: int
    flash_bytes: int
    snapshot_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def generate(
    out: str | Path, board: Board, options: HeadOptions, *, state: str | Path | None = None, replace: bool = False
) -> Project:
    """Write the project.

    Args:
        out: its folder; new or empty, or with `replace` one that this function wrote.
        board: what it is for.
        options: the head.
        state: a snapshot to link in, which the program loads where its store is empty.
        replace: remove what an earlier call wrote there. Nothing else is ever removed.

    Raises:
        BudgetError: the head does not fit into the board's RAM.
        UsageError: `out` holds something else.
        StorageError: it cannot be written, or `state` not be read.
        SnapshotCorruptError, SnapshotVersionError: `state` is no snapshot that this version reads.
    """
    folder = Path(out)
    check_ram(board, options)
    snapshot = options.snapshot_bytes
    if state is not None:
        ImprintHead.load(state)
    flash = sizes.flash_bytes(snapshot, board.sector_bytes)
    facts = _facts(board, options, flash) | {"has_state": int(state is not None)}
    texts = {target: _render(template, facts) for template, target in _TEMPLATES.items()}
    project = Project(
        str(folder),
        board.name,
        options.dim,
        options.budget,
        options.layout.method,
        options.layout.max_classes,
        options.arena_bytes,
        flash,
        snapshot,
    )
    with storage_errors("write", folder):
        _prepare(folder, replace)
        marker = {"version": __version__, **project.as_dict()}
        (folder / MARKER).write_text(json.dumps(marker, indent=1) + "\n")
        _copy_sources(folder, board)
        if state is not None:
            shutil.copyfile(sources.folder("app") / "state.S", folder / "app" / "state.S")
            shutil.copyfile(state, folder / "app" / "state.eimp")
        for target, text in texts.items():
            (folder / target).write_text(text)
    return project


def _facts(board: Board, options: HeadOptions, flash: int) -> dict[str, Any]:
    """What the templates name."""
    ridge = options.layout.method == "ridge"
    spare = board.ram[1] - options.arena_bytes - other_ram(board, options)
    return {
        **{field: getattr(board, field) for field in board.__dataclass_fields__},
        "core": board.float_core if ridge and board.float_core else board.core,
        "kept_bytes": flash if board.flash_on_chip else 0,
        "stack_bytes": STACK_BYTES,
        "flash_bytes": flash,
        "ring_bytes": ring_bytes(board),
        "ram_flash": int(not board.flash_on_chip and flash <= spare),
        "payload_bytes": payload_bytes(board),
        **{name: getattr(options, name) for name in ("dim", "budget", "max_proxies", "shrinkage", "backbone_bytes")},
        "false_accept_ppm": round(options.false_accept_rate * 1_000_000),
        "undo": {None: 2, True: 1, False: 0}[options.undo],
        "arena_bytes": options.arena_bytes,
        "ridge": int(ridge),
        "version": __version__,
    }


def _prepare(folder: Path, replace: bool) -> None:
    """Make the folders, or empty those that an earlier call wrote."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out must name a folder; {folder} is a file")
    if folder.is_dir() and any(folder.iterdir()):
        ours = (folder / MARKER).is_file()
        if not (ours and replace):
            way_out = "Give --replace to write it anew" if ours else "Choose another folder"
            raise UsageError(f"--out must be a new or an empty folder; {folder} is not empty. {way_out}")
        for name in ("lib", "boards", "app", "config", "build"):
            shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("lib", "boards/freestanding", "app", "config"):
        (folder / name).mkdir(parents=True, exist_ok=True)


def _copy_sources(folder: Path, board: Board) -> None:
    for file in sources.library():
        shutil.copyfile(file, folder / "lib" / file.name)
    flash = _NVMC if board.flash_on_chip else _RAM_FLASH
    for name in (*_COMMON, board.port, *flash, *(_EMULATED if board.machine else ())):
        shutil.copyfile(sources.folder("boards") / name, folder / "boards" / name)
    shutil.copyfile(sources.folder("app") / "main.c", folder / "app" / "main.c")


def _render(template: str, facts: dict[str, Any]) -> str:
    try:
        import jinja2
    except ImportError as error:
        raise MissingRuntimeError("firmware generate needs jinja2. pip install 'edge-imprint[firmware]'") from error
    text = (Path(__file__).parent / "templates" / f"{template}.j2").read_text()
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    return environment.from_string(text).render(facts)
