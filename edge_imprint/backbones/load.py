"""Open a backbone from a bundle folder, a single file, or the package itself."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_imprint.backbones.backbone import Backbone, pool
from edge_imprint.backbones.bundle import BaseStatistics, read_file, read_verified
from edge_imprint.backbones.manifest import Manifest, read_manifest
from edge_imprint.backbones.onnx import OnnxRunner
from edge_imprint.backbones.preprocess import Preprocessor
from edge_imprint.backbones.spec import FORMATS, PRECISIONS, FileSpec, InputSpec
from edge_imprint.errors import BundleError, ValueRangeError

if TYPE_CHECKING:
    from edge_imprint.backbones.tflite import TfliteRunner

DEFAULT = "default"


def load_backbone(
    source: str | os.PathLike[str] = DEFAULT,
    *,
    runtime: str | None = None,
    precision: str = "auto",
    providers: str | Sequence[str] | None = None,
    threads: int | None = None,
    embedding: str | None = None,
    preprocessing: InputSpec | None = None,
) -> Backbone:
    """Open a backbone.

    Args:
        source: "default" (the one inside this package), a bundle folder, an .onnx or a .tflite file. A
            TFLite classifier is cut at its embedding; see `embedding`.
        runtime: "onnx" or "tflite", for bundles that have both; None prefers ONNX where onnxruntime is
            installed.
        precision: "float32", "int8", or "auto": int8 where the bundle has it, which took two thirds of the
            time of float32 (measured on x86-64 with onnxruntime). The two are different embedding functions
            with different digests: a snapshot made with one is refused by the other.
        providers: execution provider of onnxruntime, or several in order of preference: "cpu", "cuda",
            "tensorrt", ...; None takes those of the environment variable EDGE_IMPRINT_PROVIDERS, else CPU.
        threads: of one inference, 1 to 256; None leaves it to the runtime.
        embedding: for a single file: name of the tensor (TFLite) or output (ONNX) to use.
        preprocessing: for a single file: replaces what is derived from it (see
            `edge_imprint.backbones.raw`): mean and scale from the quantisation of a TFLite input, [-1, 1]
            for a float32 TFLite, ImageNet's for an ONNX.

    Raises:
        BundleError: no such source, a damaged or inconsistent file, a hash that does not match.
        MissingRuntimeError: what would run it is not installed; the message names the extra.
        ValueRangeError: an argument outside its choices, or none of the providers starts.

    Warns:
        ProviderWarning: one of several providers does not start; it names what runs instead.
    """
    _check_choice("runtime", runtime, (None, *FORMATS))
    _check_choice("precision", precision, ("auto", *PRECISIONS))
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= 256):
        raise ValueRangeError(f"threads must be 1 to 256; got {threads!r}. Leave it out to let the runtime choose.")
    try:
        path = Path(__file__).parent / DEFAULT if source == DEFAULT else Path(source).absolute()
        is_folder = path.is_dir()
    except (TypeError, ValueError, OSError) as error:
        raise BundleError(f"a backbone must be 'default', a folder or a file; got {source!r}: {error}.") from None
    if is_folder or source == DEFAULT:
        if embedding is not None or preprocessing is not None:
            raise ValueRangeError(
                "embedding and preprocessing are for single files; a bundle's manifest says both. Leave them out."
            )
        name = DEFAULT if source == DEFAULT else str(path)
        return _load_bundle(path, name, runtime, precision, providers, threads)
    suffix = path.suffix.lower().lstrip(".")
    if suffix not in FORMATS:
        what = "has another ending" if path.exists() else "does not exist"
        raise BundleError(f"a backbone must be 'default', a bundle folder, a .onnx or a .tflite file; {source} {what}.")
    if runtime not in (None, suffix):
        raise ValueRangeError(f"a .{suffix} file runs on runtime={suffix!r}; got {runtime!r}. Leave it out.")
    if suffix == "onnx":
        backbone = _load_onnx(path, providers, threads, embedding, preprocessing)
    else:
        backbone = _load_tflite(path, threads, embedding, preprocessing)
    if precision not in ("auto", backbone.file.precision):
        raise ValueRangeError(f"precision of {source} is {backbone.file.precision}; got {precision!r}. Leave it out.")
    return backbone


def _check_choice(name: str, value: object, choices: tuple[str | None, ...]) -> None:
    if value not in choices:
        raise ValueRangeError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}.")


def _has_onnxruntime() -> bool:
    return importlib.util.find_spec("onnxruntime") is not None


def choose_file(manifest: Manifest, runtime: str | None, precision: str) -> FileSpec:
    """The file of a bundle that `load_backbone` runs; its arguments say by which rule.

    Raises:
        BundleError: the bundle has no such file; the message lists those it has.
    """
    fits = [file for file in manifest.files if runtime in (None, file.format) and precision in ("auto", file.precision)]
    if not fits:
        has = ", ".join(f"{file.format} {file.precision}" for file in manifest.files)
        raise BundleError(
            f"bundle {manifest.name} has no file for runtime={runtime!r} and precision={precision!r}; it "
            f"has {has}. Choose one of them."
        )
    installed = "onnx" if _has_onnxruntime() else "tflite"
    return min(fits, key=lambda file: (file.format != installed, file.precision != "int8"))


def _load_bundle(
    folder: Path,
    source: str,
    runtime: str | None,
    precision: str,
    providers: str | Sequence[str] | None,
    threads: int | None,
) -> Backbone:
    manifest = read_manifest(folder)
    file = choose_file(manifest, runtime, precision)
    where = folder / file.name
    content = read_verified(folder, file.name, file.sha256)
    runner: OnnxRunner | TfliteRunner
    if file.format == "onnx":
        runner = OnnxRunner(content, str(where), file.embedding, providers, threads)
    else:  # what reads TFLite is loaded for it alone: a bundle's ONNX file starts sooner
        from edge_imprint.backbones.embedding import find_embedding
        from edge_imprint.backbones.flatbuffer import cut, read_graph
        from edge_imprint.backbones.tflite import TfliteRunner

        graph = read_graph(content, str(where))
        tensor = find_embedding(graph, str(where), file.embedding)
        runner = TfliteRunner(cut(content, graph, tensor), str(where), threads)
        stored = (file.input_quantisation, graph.tensors[graph.inputs[0]].quantisation)
        if stored[0] and stored[1] and (stored[0].scale, stored[0].zero_point) != stored[1]:
            raise BundleError(
                f"input_quantisation of {where} must be the file's own, {stored[1]}; the manifest has "
                f"{stored[0]}. Export it again."
            )
    _check_input(manifest, file, runner, str(where))
    statistics = None
    if manifest.base_statistics is not None:
        stored_statistics = manifest.base_statistics

        def statistics() -> BaseStatistics:
            npz = read_verified(folder, stored_statistics.file, stored_statistics.sha256)
            return BaseStatistics.from_npz(npz, manifest.dim, str(folder / stored_statistics.file))

    options = {"runtime": file.format, "precision": file.precision}
    return Backbone(manifest, file, runner, source=source, options=options, statistics=statistics)


def _check_input(manifest: Manifest, file: FileSpec, runner: OnnxRunner | TfliteRunner, where: str) -> None:
    """Refuse a manifest that says another input tensor than the file has: the pictures would be scrambled,
    silently.
    """
    says: tuple[int, ...] | str = "of any shape"
    fits = runner.input_dtype == file.dtype
    if manifest.input is not None:
        says = (1, *Preprocessor.of(manifest.input, file).shape)
        fits &= len(runner.input_shape) == len(says) and all(map(_fits, runner.input_shape, says))
    if not fits:
        raise BundleError(
            f"{where} must take the input that is described for it, {file.dtype} {says}; it takes "
            f"{runner.input_dtype} {runner.input_shape}. Correct height, width, layout or dtype."
        )


def _fits(has: int | None, says: int) -> bool:
    return has is None or has == says


def _load_onnx(
    path: Path,
    providers: str | Sequence[str] | None,
    threads: int | None,
    embedding: str | None,
    preprocessing: InputSpec | None,
) -> Backbone:
    from edge_imprint.backbones import raw

    content = read_file(path)
    runner = OnnxRunner(content, str(path), embedding, providers, threads)

    def derive(dim: int) -> Manifest:
        return raw.derive_onnx(
            path,
            content,
            input_shape=runner.input_shape,
            input_dtype=runner.input_dtype,
            embedding=runner.embedding,
            dim=dim,
            preprocessing=preprocessing,
        )

    # The width of an embedding may be an open axis in the file: one run tells.
    probe = derive(1)
    file = probe.files[0]
    _check_input(probe, file, runner, str(path))
    spec = probe.input
    assert spec is not None  # what is derived from a single file is for pictures
    sides = Preprocessor.of(spec, file).shape
    output = runner(np.zeros((1, *sides), file.dtype)).astype(np.float32)
    output = pool(output, file.layout, spec.height == spec.width)
    if output.ndim != 2:
        raise BundleError(
            f"an embedding must be (1, dim) or a map of four axes; {path} gives {output.shape} as "
            f"{runner.embedding!r}. Name another output with embedding=, or export the network with its "
            "pooling."
        )
    manifest = derive(int(output.shape[1]))
    options = {} if embedding is None else {"embedding": embedding}
    return Backbone(manifest, manifest.files[0], runner, source=str(path), options=options)


def _load_tflite(path: Path, threads: int | None, embedding: str | None, preprocessing: InputSpec | None) -> Backbone:
    from edge_imprint.backbones import raw
    from edge_imprint.backbones.embedding import find_embedding
    from edge_imprint.backbones.flatbuffer import cut, read_graph
    from edge_imprint.backbones.tflite import TfliteRunner

    content = read_file(path)
    graph = read_graph(content, str(path))
    # Before the embedding is looked for: that this network takes no pictures is the better message.
    raw.picture_axes(graph.tensors[graph.inputs[0]].shape, str(path))
    tensor = find_embedding(graph, str(path), embedding)
    manifest = raw.derive_tflite(path, content, graph, tensor, preprocessing)
    runner = TfliteRunner(cut(content, graph, tensor), str(path), threads)
    _check_input(manifest, manifest.files[0], runner, str(path))
    options = {} if embedding is None else {"embedding": embedding}
    return Backbone(manifest, manifest.files[0], runner, source=str(path), options=options)
