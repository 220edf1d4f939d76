"""Run a command inside an ARM root, as on one board."""

from __future__ import annotations

import subprocess
from pathlib import Path

from roots import HERE, Root, tool

# Without these, numpy's and onnxruntime's threads would wait for each other on an emulated core.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def run(root: Root, folder: Path, board: str, work: Path, *command: str, **environment: str) -> int:
    """Run a command in the root's own mount and process namespaces and give its exit status.

    Args:
        root: what the folder holds.
        folder: of the root; not modified, the command sees it read-only.
        board: one of `root.boards`: its `/proc/cpuinfo` and its processor.
        work: a folder that the command sees as /work and may write to; it starts there.
        command: with absolute paths.
        environment: added to the few variables that are set inside.
    """
    variables = {
        "PATH": "/usr/bin:/bin",
        "HOME": "/tmp",
        "LC_ALL": "C.UTF-8",
        "QEMU_CPU": root.boards[board],
        "PYTHONDONTWRITEBYTECODE": "1",
        **ONE_THREAD,
        **environment,
    }
    namespaces = ["--mount", "--propagation=private", "--pid", "--fork", "--kill-child"]
    script = [str(HERE / "enter.sh"), str(folder), str(HERE / "boards" / board), str(work)]
    return subprocess.call(
        [tool("unshare", "util-linux"), *namespaces, *script, *command], env=variables, stdin=subprocess.DEVNULL
    )
