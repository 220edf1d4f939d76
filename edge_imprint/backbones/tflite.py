"""Run a TFLite file with LiteRT, tflite-runtime or TensorFlow, whichever is there and works."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import BundleError, MissingRuntimeError

# (module with an Interpreter, distribution), smallest first; tensorflow only where it is installed anyway.
RUNTIMES = (
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
    ("tensorflow.lite", "tensorflow"),
)
_stderr_lock = threading.Lock()


class TfliteRunner:
    """One TFLite network with a single image input, ready to run. Calls from several threads wait for each
    other.

    Args:
        content: the file's bytes; its first output is the embedding (see `flatbuffer.cut`).
        where: the file's name, for messages.
        threads: of one run; None leaves it to the runtime.
        runtimes: which to try, in this order, each like an entry of `RUNTIMES`; None tries those.

    Attributes:
        input_shape, input_dtype, output_shape, output_dtype: of the two tensors.
        runtime: name of the distribution that runs it.
        version: of that distribution.
    """

    def __init__(
        self,
        content: bytes,
        where: str,
        threads: int | None = None,
        runtimes: Sequence[tuple[str, str]] | None = None,
    ) -> None:
        self._where = where
        self._lock = threading.Lock()
        self._interpreter, self.runtime = _construct(
            content, where, threads, RUNTIMES if runtimes is None else runtimes
        )
        self.version = _version(self.runtime)
        source, target = self._interpreter.get_input_details()[0], self._interpreter.get_output_details()[0]
        self._input, self._output = source["index"], target["index"]
        self.input_shape: tuple[int | None, ...] = tuple(int(axis) for axis in source["shape"])
        self.output_shape: tuple[int | None, ...] = tuple(int(axis) for axis in target["shape"])
        self.input_dtype = np.dtype(source["dtype"]).name
        self.output_dtype = np.dtype(target["dtype"]).name

    def __call__(self, tensor: NDArray[Any]) -> NDArray[Any]:
        """Run one picture's tensor (1, ...), giving the embedding as the network stores it."""
        with self._lock:
            try:
                self._interpreter.set_tensor(self._input, tensor)
                self._interpreter.invoke()
                return np.asarray(self._interpreter.get_tensor(self._output))  # a copy
            except (ValueError, RuntimeError) as error:
                raise BundleError(f"{self._where} failed on a tensor {tensor.shape}: {str(error)[:300]}") from None


def _construct(content: bytes, where: str, threads: int | None, runtimes: Sequence[tuple[str, str]]) -> tuple[Any, str]:
    """An interpreter of the first runtime that can be imported *and* constructs one.

    tflite-runtime 2.14 imports under numpy 2 and fails only when an interpreter is made, so an import
    proves nothing.
    """
    failures: list[str] = []
    refusal = ""
    for module, distribution in runtimes:
        try:
            return interpreter(module, content, threads), distribution
        except MissingRuntimeError as error:
            failures.append(f"{distribution}: {error}")
        except BundleError as error:
            refusal = refusal or f"{distribution}: {error}"
    if refusal:
        raise BundleError(f"a TFLite file must be whole and use built-in operators; {where} is refused by {refusal}")
    raise MissingRuntimeError(
        f"a TFLite backbone needs a runtime that works; tried {'; '.join(failures)}. "
        "Install one: pip install edge-imprint[tflite]"
    )


def interpreter(module: str, content: bytes, threads: int | None) -> Any:
    """Construct the interpreter of one runtime, tensors allocated.

    Raises:
        MissingRuntimeError: it cannot be imported, or cannot construct anything; the message is its own.
        BundleError: it works and refuses the file; likewise.
    """
    with _quiet():
        try:
            made = importlib.import_module(module).Interpreter(model_content=content, num_threads=threads)
            made.allocate_tensors()
            return made
        except ImportError as error:
            raise MissingRuntimeError(str(error)) from None
        except (AttributeError, SystemError) as error:  # built for another numpy
            raise MissingRuntimeError(str(error.__cause__ or error)) from None
        except (ValueError, RuntimeError) as error:
            raise BundleError(str(error)[:300]) from None


def _version(distribution: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:  # a vendor's build under another distribution name
        return "unknown"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop the runtime's chatter while an interpreter is made, and keep everything else.

    The C++ side writes "INFO: Created TensorFlow Lite XNNPACK delegate" straight to file descriptor 2 and
    offers no switch, so the descriptor is lent to a file; every line but those that start with INFO is
    passed on afterwards. Importing a module that was built for another numpy prints a page to sys.stderr;
    what went wrong is in the exception, so that page is dropped.
    """
    import tempfile  # here: it loads OpenSSL by way of hashlib, and ONNX needs neither

    with _stderr_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.stderr.flush()
        try:
            real = os.dup(2)
        except OSError:  # no standard error at all, as in a daemon
            yield
            return
        with tempfile.TemporaryFile() as caught, contextlib.redirect_stderr(io.StringIO()):
            os.dup2(caught.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(real, 2)
                os.close(real)
                caught.seek(0)
                kept = [line for line in caught if not line.startswith(b"INFO:")]
                if kept:
                    os.write(2, b"".join(kept))
