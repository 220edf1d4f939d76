"""firmware_bridge/c as Arduino, CMake, ESP-IDF, Zephyr and C++ users take it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "firmware_bridge" / "c"
SRC = LIBRARY / "src"
STUBS = Path(__file__).parent / "c" / "arduino"
PUBLIC = sorted(file.name for file in SRC.glob("*.h") if "internal" not in file.name)
M4 = ("-mcpu=cortex-m4", "-mthumb")


def need(tool: str, package: str) -> str:
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"needs {tool}: apt-get install {package}")
    return found


def run(*command: object) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("header", PUBLIC)
def test_every_public_header_stands_alone_in_c_and_in_cpp(header: str, tmp_path: Path) -> None:
    flags = ["-I", SRC, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]
    for compiler, standard, suffix in (("gcc", "c99", "c"), ("g++", "c++11", "cpp")):
        program = tmp_path / f"one.{suffix}"
        program.write_text(f'#include "{header}"\n#include "{header}"\n')
        run(need(compiler, compiler), f"-std={standard}", *flags, program)


def test_cpp_links_against_the_c_library(tmp_path: Path) -> None:
    gcc, gpp = need("gcc", "gcc"), need("g++", "g++")
    objects = []
    for source in sorted(SRC.glob("*.c")):
        objects.append(tmp_path / f"{source.stem}.o")
        run(gcc, "-std=c99", "-O1", "-c", source, "-o", objects[-1])
    sketch = LIBRARY / "examples" / "Teach" / "Teach.ino"
    program = tmp_path / "teach"
    flags = ["-std=c++11", "-Wall", "-Wextra", "-Werror", "-I", SRC, "-I", STUBS, "-include", "Arduino.h"]
    run(gpp, *flags, "-x", "c++", sketch, "-x", "none", *objects, "-o", program)
    assert run(program) == "left: known\n"


@pytest.mark.parametrize("board", ["this machine", "Cortex-M4"])
def test_cmake_builds_the_library(board: str, tmp_path: Path) -> None:
    cmake = need("cmake", "cmake")
    options = []
    if board == "Cortex-M4":
        compiler = need("arm-none-eabi-gcc", "gcc-arm-none-eabi")
        options = ["-DCMAKE_SYSTEM_NAME=Generic", "-DCMAKE_SYSTEM_PROCESSOR=arm", f"-DCMAKE_C_COMPILER={compiler}"]
        headers = LIBRARY.parent / "boards" / "freestanding"
        options += [
            f"-DCMAKE_C_FLAGS={' '.join(M4)} -Os -isystem {headers}",
            "-DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY",
        ]
    run(cmake, "-S", LIBRARY, "-B", tmp_path, *options)
    run(cmake, "--build", tmp_path, "--parallel", "2")
    assert (tmp_path / "libedge_imprint.a").stat().st_size > 0


def test_every_description_has_the_library_s_version() -> None:
    found = re.search(r'^library = "(.+)"$', (LIBRARY.parent / "protocol.toml").read_text(), re.MULTILINE)
    assert found is not None
    version = found[1]
    arduino = dict(line.split("=", 1) for line in (LIBRARY / "library.properties").read_text().splitlines())
    assert arduino["version"] == version
    wanted = {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures"}
    assert wanted <= arduino.keys()
    assert all((SRC / header).is_file() for header in arduino["includes"].split(","))
    assert re.search(rf'^version: "{re.escape(version)}"$', (LIBRARY / "idf_component.yml").read_text(), re.MULTILINE)


def test_paths_in_the_build_descriptions_exist() -> None:
    module = (LIBRARY / "zephyr" / "module.yml").read_text()
    cmake, kconfig = (re.search(rf"^  {key}: (\S+)$", module, re.MULTILINE) for key in ("cmake", "kconfig"))
    assert cmake is not None
    assert kconfig is not None
    assert (LIBRARY / cmake[1] / "CMakeLists.txt").is_file()
    symbol = re.search(r"^config (\w+)$", (LIBRARY / kconfig[1]).read_text(), re.MULTILINE)
    assert symbol is not None
    assert f"CONFIG_{symbol[1]}" in (LIBRARY / cmake[1] / "CMakeLists.txt").read_text()
