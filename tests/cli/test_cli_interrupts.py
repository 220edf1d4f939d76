"""Ctrl-C while libraries load: one line, exit status 130, nothing written, whatever a library makes of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

pytest.importorskip("onnx", reason="pip install 'edge-imprint[export]'")
pytest.importorskip("onnxruntime", reason="pip install 'edge-imprint[export]'")

# Sends itself a real SIGINT at the moment when a module begins to load, as the installed command would meet it.
PROGRAM = """
import os, signal, sys
moment = sys.argv.pop(1)

class Press:
    pressed = False
    def find_spec(self, name, path=None, target=None):
        if name == moment and not self.pressed:
            self.pressed = True
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000):  # the signal is heard between two instructions
                pass

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Press())
from edge_imprint.cli import main
sys.exit(main())
"""


def pressed_at(moment, *words, **environment):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, moment, *map(str, words)],
        capture_output=True, text=True, timeout=120, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.mark.parametrize(
    "moment", ["edge_imprint.cli.interrupts", "typer", "edge_imprint.cli.app", "edge_imprint.cli.export"]
)
@pytest.mark.parametrize("command", ["export", "learn", "--version"])
def test_while_the_command_line_loads(moment, command):
    done = pressed_at(moment, command)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted\n")


@pytest.mark.parametrize("moment", ["numpy", "numpy.linalg", "onnxruntime", "PIL.Image"])
def test_while_learn_loads_its_libraries(moment, bundle, pictures, tmp_path):
    state = tmp_path / "state.eimp"
    done = pressed_at(moment, "learn", "dots", pictures / "dots", "--state", state, "--backbone", bundle)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted\n")
    assert list(tmp_path.iterdir()) == []


def export(moment, tmp_path, source, pictures, **environment):
    """An export that is interrupted; checks what it says and that it left nothing."""
    (tmp_path / "temporary").mkdir()
    out = tmp_path / "made"
    words = ("export", source, "--out", out, "--calibration", pictures, "--formats", "onnx,onnx-int8", "--size", "32")
    done = pressed_at(moment, *words, TMPDIR=str(tmp_path / "temporary"), **environment)
    assert (done.returncode, done.stdout) == (130, ""), done
    assert done.stderr == f"Interrupted: {out} was not written\n"
    assert not out.exists()


@pytest.mark.parametrize("moment", ["edge_imprint_export", "numpy", "onnx", "onnx.onnx_cpp2py_export", "onnxruntime"])
def test_while_export_loads_its_libraries(moment, bundle, pictures, tmp_path):
    export(moment, tmp_path, bundle / "tiny.onnx", pictures)
    assert [path.name for path in tmp_path.rglob("*") if path.name != ".ses"] == ["temporary"]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["torch", "torch._C", "torch.export", "torch.onnx", "onnxscript"])
def test_while_torch_loads(moment, pictures, tmp_path):
    pytest.importorskip("torch", reason="pip install 'edge-imprint[export]'")
    pytest.importorskip("onnxscript", reason="pip install 'edge-imprint[export]'")
    from exporting import FACTORY, SUPPORT

    (tmp_path / "network.py").write_text(FACTORY)
    path = os.pathsep.join([str(tmp_path), SUPPORT])
    export(moment, tmp_path, "torch:network:make", pictures, PYTHONPATH=path)


LIBRARIES = {
    "swallows it": "try: import moment\nexcept BaseException: pass\n",
    "makes an error of it": "try: import moment\nexcept KeyboardInterrupt: raise ImportError('no') from None\n",
    "loses it in a callback": "class Gone:\n    def __del__(self):\n        import moment\nGone()\n",
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_that_does_not_pass_it_on(library, pictures, tmp_path):
    pytest.importorskip("torch", reason="pip install 'edge-imprint[export]'")
    from exporting import FACTORY, SUPPORT

    (tmp_path / "moment.py").write_text("")
    (tmp_path / "network.py").write_text(LIBRARIES[library] + FACTORY)
    path = os.pathsep.join([str(tmp_path), SUPPORT])
    export("moment", tmp_path, "torch:network:make", pictures, PYTHONPATH=path)


def test_main_leaves_the_callers_signals_alone(run):
    hook, handler = sys.unraisablehook, signal.getsignal(signal.SIGINT)
    assert run("--version").code == 0
    assert (sys.unraisablehook, signal.getsignal(signal.SIGINT)) == (hook, handler)
