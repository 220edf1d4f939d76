"""Who may import whom, read from the source: imports inside functions and `import_module("x")` included."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "edge_imprint": ROOT / "edge_imprint",
    "edge_imprint_export": ROOT / "export" / "edge_imprint_export",
    "edge_imprint_firmware": ROOT / "firmware_bridge" / "edge_imprint_firmware",
}

# Unit of edge_imprint -> units it may import. A new unit is entered here: that is to decide where it belongs.
MAY_IMPORT = {
    "errors": set(),
    "atomic": {"errors"},
    "snapshot": {"errors", "atomic"},
    "imprint": {"errors"},
    "backbones": {"errors", "atomic"},
    "head": {"errors", "snapshot"},
}
MAY_IMPORT["learner"] = {*MAY_IMPORT}
MAY_IMPORT["episodes"] = {*MAY_IMPORT}
MAY_IMPORT["profiling"] = {*MAY_IMPORT}
MAY_IMPORT["demo"] = {*MAY_IMPORT, "__init__"}
MAY_IMPORT["cli"] = {*MAY_IMPORT, "__init__"}
MAY_IMPORT["__init__"] = {"errors", "snapshot", "imprint", "backbones", "head", "learner"}

# What pyproject.toml declares, by import name. Anything else would be missing on somebody's machine.
DECLARED = {"numpy", "PIL", "typer", "click", "rich", "onnxruntime", "ai_edge_litert", "tflite_runtime"}
DECLARED |= {"tensorflow", "sklearn", "skimage", "matplotlib", "jinja2"}
AT_IMPORT_TIME = {"cli": {"numpy", "typer", "click", "rich"}}


# edge_imprint_firmware: the one module that may import each package of its extra.
FIRMWARE_EXTRA = {"serial": {"transport"}, "cobs": {"frames"}, "jinja2": {"generate"}}
FIRMWARE_DECLARED = {"numpy", "tomllib", "tomli"}
# Writing a project and running it in an emulator must work without a port's packages.
WITHOUT_A_PORT = {"boards", "options", "sizes", "sources", "generate", "build", "emulator"}
TALKING = {"transport", "frames", "link", "session", "device", "commands", "snapshots", "reports", "errors", "profile"}


class Import(NamedTuple):
    """One imported name and where."""

    name: str
    file: Path
    line: int
    lazy: bool  # inside a function, or for the type checker only

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.name}"


def imports_in(source: str, file: Path, module: str) -> Iterator[Import]:
    """Every import of a module, relative ones resolved; `from a import b` yields `a.b`."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]

    def visit(node: ast.AST, lazy: bool) -> Iterator[Import]:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = parents[: len(parents) - node.level + 1] if node.level else []
            prefix = ".".join([*base, *filter(None, [node.module])])
            names = [f"{prefix}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func).rpartition(".")[2]
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                names = [node.args[0].value]
        yield from (Import(name, file, getattr(node, "lineno", 0), lazy) for name in names)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            lazy = True
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for child in node.body:
                yield from visit(child, True)
            for child in node.orelse:
                yield from visit(child, lazy)
            return
        for child in ast.iter_child_nodes(node):
            yield from visit(child, lazy)

    yield from visit(ast.parse(source), False)


def unit_of(name: str) -> str:
    """The unit that a dotted name under edge_imprint belongs to; names of the package itself: `__init__`."""
    first = [*name.split("."), "__init__"][1]
    folder = PACKAGES["edge_imprint"]
    is_unit = (folder / first / "__init__.py").is_file() or (folder / f"{first}.py").is_file()
    return first if is_unit else "__init__"


def modules(package: str) -> Iterator[tuple[str, list[Import]]]:
    folder = PACKAGES[package]
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder).with_suffix("").parts
        module = ".".join([package, *parts]).removesuffix(".__init__")
        yield module, list(imports_in(file.read_text(), file, module))


def top(name: str) -> str:
    return name.partition(".")[0]


def test_the_reader_of_imports_sees_them_all(tmp_path):
    source = (
        "import a.b\nfrom . import c\nfrom ..d import e\n"
        "def f():\n    import g\n    importlib.import_module('h.i')\n"
        "if TYPE_CHECKING:\n    import j\nclass K:\n    import k\n"
    )
    found = [(i.name, i.lazy) for i in imports_in(source, tmp_path / "m.py", "p.q.m")]
    assert found == [
        *(
            ("a.b", False),
            ("p.q.c", False),
            ("p.d.e", False),
            ("g", True),
            ("h.i", True),
            ("j", True),
            ("k", False),
        ),
    ]


def test_each_unit_imports_only_what_lies_below_it():
    wrong = []
    for module, found in modules("edge_imprint"):
        unit = unit_of(module)
        assert unit in MAY_IMPORT, f"{module}: enter this new unit in MAY_IMPORT"
        for one in found:
            if top(one.name) == "edge_imprint" and unit_of(one.name) not in {unit, *MAY_IMPORT[unit]}:
                wrong.append(f"{one}; {unit} may import {sorted(MAY_IMPORT[unit])}")
    assert not wrong, "\n".join(wrong)


def test_errors_imports_nothing():
    found = dict(modules("edge_imprint"))["edge_imprint.errors"]
    assert [one.name for one in found] == ["__future__.annotations"]


def test_nothing_in_the_runtime_imports_torch_or_an_undeclared_package():
    wrong = [
        str(one)
        for module, found in modules("edge_imprint")
        for one in found
        if top(one.name) not in {*sys.stdlib_module_names, *DECLARED, "edge_imprint"}
        and not (unit_of(module) == "cli" and one.lazy and top(one.name) in PACKAGES)
    ]
    assert not wrong, "\n".join(wrong)


def test_only_numpy_is_imported_at_import_time():
    """cli may load what draws a command line; demo is loaded by nobody but its command."""
    wrong = [
        str(one)
        for module, found in modules("edge_imprint")
        for one in found
        if top(one.name) in DECLARED - AT_IMPORT_TIME.get(unit_of(module), {"numpy"})
        and not one.lazy
        and unit_of(module) != "demo"
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", ["edge_imprint_export", "edge_imprint_firmware"])
def test_export_and_firmware_never_import_each_other(package):
    (other,) = {"edge_imprint_export", "edge_imprint_firmware"} - {package}
    wrong = [str(one) for _, found in modules(package) for one in found if top(one.name) == other]
    assert not wrong, "\n".join(wrong)


def test_firmware_imports_its_extra_in_one_place_each():
    wrong = []
    for module, found in modules("edge_imprint_firmware"):
        unit = module.rpartition(".")[2]
        for one in found:
            name = top(one.name)
            if one.lazy and name == "typing_extensions":
                continue
            allowed = unit in FIRMWARE_EXTRA.get(name, set())
            allowed |= name in {*sys.stdlib_module_names, *FIRMWARE_DECLARED, *PACKAGES}
            if not allowed:
                wrong.append(str(one))
    assert not wrong, "\n".join(wrong)


def test_firmware_uses_no_learner_demo_or_command_line():
    wrong = [
        str(one)
        for _, found in modules("edge_imprint_firmware")
        for one in found
        if top(one.name) == "edge_imprint" and unit_of(one.name) in {"cli", "demo", "learner", "episodes"}
    ]
    assert not wrong, "\n".join(wrong)


def test_a_project_is_written_and_run_without_the_packages_of_a_port():
    found = dict(modules("edge_imprint_firmware"))
    wrong = [
        str(one)
        for unit in WITHOUT_A_PORT
        for one in found[f"edge_imprint_firmware.{unit}"]
        if not one.lazy
        and (
            (top(one.name) == "edge_imprint_firmware" and TALKING & set(one.name.split(".")[1:]))
            or top(one.name) in FIRMWARE_EXTRA
        )
    ]
    assert not wrong, "\n".join(wrong)


def test_import_edge_imprint_loads_numpy_and_nothing_else():
    program = (
        "import sys\nbefore = set(sys.modules)\nfrom edge_imprint import *\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert set(done.stdout.split()) <= {"edge_imprint", "numpy"}
