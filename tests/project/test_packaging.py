"""The wheel and the source distribution, built in isolation and installed where nothing else is."""

from __future__ import annotations

import email
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "edge_imprint": "edge_imprint",
    "export/edge_imprint_export": "edge_imprint_export",
    "firmware_bridge/edge_imprint_firmware": "edge_imprint_firmware",
}
# Folders of C beside edge_imprint_firmware in a checkout, inside it in a wheel.
C_FOLDERS = ("c", "boards", "app")
C_SOURCES = {"firmware_bridge/protocol.toml"}
CORE = {"numpy", "pillow", "typer", "rich"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """A copy of the files that git would commit: building leaves its traces there."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("the packaging tests copy what git knows: run them in a clone")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    folder = tmp_path_factory.mktemp("sources")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def built(sources, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(sources)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def one(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def expected_files(sources: Path) -> set[str]:
    """What an installation consists of: every file of the packages but the extension's source, and the C folders."""
    folders = PACKAGES | {f"firmware_bridge/{name}": f"edge_imprint_firmware/{name}" for name in C_FOLDERS}
    return {
        f"{installed}/{file.relative_to(sources / folder).as_posix()}"
        for folder, installed in folders.items()
        for file in (sources / folder).rglob("*")
        if file.is_file()
    } - {f"edge_imprint/head/{name}" for name in ("_nativemodule.c", "_nativeridge.c", "_native.h")}


def test_wheel_holds_every_file_of_the_packages_and_nothing_else(built, sources):
    with zipfile.ZipFile(one(built, "*.whl")) as wheel:
        names = {name for name in wheel.namelist() if not name.endswith("/")}
        metadata = email.message_from_bytes(wheel.read(one_of(names, r".*\.dist-info/METADATA")))
    package_files = {name for name in names if ".dist-info/" not in name}
    extension = {name for name in package_files if re.fullmatch(r"edge_imprint/head/_native\.[^/]+\.(so|pyd)", name)}
    assert len(extension) == (shutil.which("cc") is not None)
    assert package_files - extension == expected_files(sources)
    assert "edge_imprint/py.typed" in names
    assert one_of(names, r".*\.dist-info/licenses/LICENSE")
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Name"] == "edge-imprint"
    needed = [Requirement(line) for line in metadata.get_all("Requires-Dist")]
    assert {canonicalize_name(each.name) for each in needed if each.marker is None} == CORE
    assert metadata.get_payload(decode=True).decode().strip() == (sources / "README.md").read_text().strip()


def one_of(names: Iterable[str], pattern: str) -> str:
    (found,) = [name for name in names if re.fullmatch(pattern, name)]
    return found


def test_source_distribution_holds_no_tests_benchmarks_docs_or_recipes(built, sources):
    with tarfile.open(one(built, "*.tar.gz")) as archive:
        files = [PurePosixPath(member.name) for member in archive.getmembers() if member.isfile()]
    names = {PurePosixPath(*file.parts[1:]).as_posix() for file in files}
    top = {PurePosixPath(name).parts[0] for name in names}
    assert not top & {"tests", "benchmarks", "docs", ".ci", ".github", "shared"}
    assert {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml"} <= names
    inside = {name for name in names if name.startswith(("edge_imprint/", "export/", "firmware_bridge/"))}
    originals = C_SOURCES | {
        file.relative_to(sources).as_posix()
        for folder in [*PACKAGES, *(f"firmware_bridge/{name}" for name in C_FOLDERS)]
        for file in (sources / folder).rglob("*")
        if file.is_file()
    }
    assert inside == originals


def test_without_a_compiler_a_wheel_is_built_that_computes_with_numpy(sources, tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", str(tmp_path), str(sources)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"CC": "/bin/false"})
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(one(tmp_path, "*.whl")) as wheel:
        assert not [name for name in wheel.namelist() if name.endswith((".so", ".pyd"))]
        wheel.extractall(tmp_path / "site")
    program = "from edge_imprint.head import engine; import edge_imprint; print(edge_imprint.__file__)\n"
    program += "assert not engine.native_is_there()\n"
    program += "edge_imprint.ImprintHead(8, 4096).partial_fit([[1.0] * 8], ['mug'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path / "site")
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) in done.stdout


def test_an_installed_wheel_writes_a_whole_firmware_project(built, tmp_path):
    with zipfile.ZipFile(one(built, "*.whl")) as wheel:
        wheel.extractall(tmp_path / "site")
    command = [sys.executable, "-c", "import edge_imprint.cli as cli; cli.main()"]
    command += ["firmware", "generate", "--board", "mps2-an386", "--out", str(tmp_path / "fw")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path / "site")
    assert done.returncode == 0, done.stderr
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("arm-none-eabi-gcc is missing; on Debian: apt-get install gcc-arm-none-eabi picolibc-arm-none-eabi")
    done = subprocess.run(["make", "-C", str(tmp_path / "fw")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_wheel_installs_with_its_core_alone_and_runs(built, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    constrain = ["--constraint", str(ROOT / "constraints.txt")]
    done = subprocess.run([*install, *constrain, one(built, "*.whl")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    site = one(tmp_path / "venv" / "lib", "python*/site-packages")
    installed = {canonicalize_name(found.name): found for found in importlib.metadata.distributions(path=[str(site)])}
    needed, todo = set(), ["edge-imprint"]
    while todo:
        name = todo.pop()
        if name not in needed:
            needed.add(name)
            wanted = [Requirement(line) for line in installed[name].requires or []]
            todo += [canonicalize_name(r.name) for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    assert needed >= CORE
    assert set(installed) - {"pip", "setuptools"} == needed
    assert not needed & {"torch", "onnxruntime", "scipy", "scikit-learn", "matplotlib", "onnx"}

    def run(*command: object) -> str:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    version = run(python, "-c", "import edge_imprint; print(edge_imprint.__version__, edge_imprint.__file__)")
    assert version.split() == [installed["edge-imprint"].version, str(site / "edge_imprint" / "__init__.py")]
    assert "learn" in run(python.parent / "edge-imprint", "--help")
    assert "256" in run(python.parent / "edge-imprint", "plan", "--dim", "256", "--budget", "16KB")
