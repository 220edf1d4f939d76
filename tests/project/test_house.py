"""Rules of the house that a machine can check."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import edge_imprint

ROOT = Path(__file__).resolve().parents[2]
MOST_LINES = 320
OURS = ["edge_imprint", "export", "firmware_bridge", "benchmarks", "tests"]


def test_no_file_grows_beyond_one_sitting():
    lengths = {file: len(file.read_text().splitlines()) for folder in OURS for file in (ROOT / folder).rglob("*.py")}
    assert len(lengths) > 20
    long = {str(file.relative_to(ROOT)): lines for file, lines in lengths.items() if lines > MOST_LINES}
    assert not long, f"over {MOST_LINES} lines, to be divided: {long}"


def pins() -> dict[str, Requirement]:
    """The lines of constraints.txt that hold for this Python."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    holding = [pin for pin in found if pin.marker is None or pin.marker.evaluate()]
    assert len({canonicalize_name(pin.name) for pin in holding}) == len(holding), "pinned twice"
    return {canonicalize_name(pin.name): pin for pin in holding}


def test_constraints_pin_one_version_of_everything_that_any_extra_pulls_in():
    pinned = pins()
    seen: set[tuple[str, str]] = set()
    todo = [("edge-imprint", "all")]
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            wanted = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra that is not installed here; its own line is checked all the same
        for need in map(Requirement, wanted):
            if need.marker is not None and not need.marker.evaluate({"extra": extra}):
                continue
            needed = canonicalize_name(need.name)
            # GPU libraries belong to builds of torch for GPUs; the pinned build has none.
            if needed.startswith(("nvidia-", "cuda-", "triton")):
                continue
            todo += [(needed, each) for each in ("", *need.extras)]
            if needed != "edge-imprint":
                assert needed in pinned, f"{name} needs {needed}: pin it in constraints.txt"
                (version,) = pinned[needed].specifier
                assert version.operator == "=="
                assert need.specifier.contains(version.version, prereleases=True), f"{name} needs {need}"
    assert len(seen) > 40


def test_one_version_everywhere():
    version = importlib.metadata.version("edge-imprint")
    assert edge_imprint.__version__ == version
    assert re.search(rf'^version = "{re.escape(version)}"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert re.search(rf"^## {re.escape(version)}$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("target", ["help", "demo", "test", "test-slow", "lint", "types", "bench", "clean"])
def test_make_knows_its_targets_and_explains_them(target):
    explained = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^{target} +\S", explained, re.MULTILINE)
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, check=True)


def test_demo_installs_no_torch():
    demo = (ROOT / "Makefile").read_text().partition("demo-installed:")[2].partition("all-installed:")[0]
    assert '".[demo]"' in demo
    requires = map(Requirement, importlib.metadata.requires("edge-imprint") or [])
    names = {need.name for need in requires if need.marker is None or need.marker.evaluate({"extra": "demo"})}
    assert "torch" not in names


def test_ci_runs_every_check():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111, "git must keep .ci/run executable"
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text()
    assert "set -euo pipefail" in text
    assert "for target in test test-slow lint types" in text
