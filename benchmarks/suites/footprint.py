"""What the C library costs on a Cortex-M4 with -Os: flash of each part, and the deepest stack of a call."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from benchmarks.context import Context
from benchmarks.firmware import footprint
from benchmarks.markdown import table
from benchmarks.results import Result

HEAD_BYTES, ALL_BYTES, STACK_BYTES = 6 * 1024, 14 * 1024, 512
CALLS = ("eimp_learn", "eimp_predict", "eimp_merge", "eimp_snapshot_load", "eimp_store_save", "eimp_rpc_receive")


def run(context: Context, result: Result) -> None:
    """Compile and look."""
    if missing := footprint.missing_tool():
        result.skip(missing)
        return
    version = subprocess.run([footprint.GCC, "--version"], capture_output=True, text=True, check=True).stdout
    result.settings = {"compiler": version.splitlines()[0], "flags": " ".join(footprint.FLAGS)}
    with tempfile.TemporaryDirectory() as name:
        footprint.compile_library(Path(name))
        flash, stack = footprint.flash(Path(name)), footprint.stack(Path(name))
    for part, size in flash.items():
        result.add("flash", "bytes", [size], {"part": part}, "max")
    for function in CALLS:
        result.add("stack", "bytes", [stack[function]], {"function": function}, "max")
    # Single precision in software here; a linker drops it where it is not used.
    whole = sum(size for part, size in flash.items() if not part.startswith("second moment"))
    deepest = max(stack.values())
    result.promise(
        "footprint", "the head in at most 6 KB of flash", flash["head"], "bytes", flash["head"] <= HEAD_BYTES
    )
    rule = "head, snapshots, store and protocol in at most 14 KB of flash"
    result.promise("footprint", rule, whole, "bytes", whole <= ALL_BYTES)
    result.promise("footprint", "at most 512 bytes of stack", deepest, "bytes", deepest <= STACK_BYTES)


def tables(result: Result) -> dict[str, str]:
    """Flash by part, stack by function."""
    parts = {str(each.params["part"]): each.value for each in result.select("flash")}
    rows = [[f"flash, {part}", f"{size:,.0f}"] for part, size in parts.items()]
    rows.append(["flash, all", f"{sum(parts.values()):,.0f}"])
    rows += [[f"stack, `{each.params['function']}`", f"{each.value:,.0f}"] for each in result.select("stack")]
    note = f"Cortex-M4, `-Os`, {result.settings['compiler']}; object files, before a linker drops what is not used."
    return {"footprint": f"{table(['what', 'bytes'], rows)}\n\n{note}"}
