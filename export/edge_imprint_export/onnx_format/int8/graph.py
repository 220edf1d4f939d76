"""An ONNX graph made ready for 8-bit integers: constants gathered, batch norm folded, patterns named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.atomic import scratch_folder
from edge_imprint.errors import ExportError, MissingRuntimeError

STANDARD = ("", "ai.onnx")
# Scales per channel came with it.
OLDEST_OPSET = 13


def packages() -> tuple[Any, Any]:
    """The onnx and onnxruntime modules.

    Raises:
        MissingRuntimeError: one of them is not installed.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as e:
        raise MissingRuntimeError(
            f"int8 ONNX needs onnx and onnxruntime ({e}). Install them: pip install 'edge-imprint[export]'"
        ) from e
    return onnx, onnxruntime


def session(content: bytes, *, optimise: bool = True, threads: int = 1) -> Any:
    """A quiet onnxruntime session on the processor.

    Raises:
        ExportError: onnxruntime refuses the file.
    """
    _, onnxruntime = packages()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as e:  # onnxruntime's errors have no common base of their own
        raise ExportError(f"onnxruntime cannot load the network: {_one_line(e)}") from e


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _simplified(content: bytes) -> bytes:
    """What onnxruntime's basic optimiser makes of a file: constants folded, batch norm inside the convolutions."""
    _, onnxruntime = packages()
    with scratch_folder() as folder:
        target = folder / "simplified.onnx"
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(target)
        try:
            onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as e:
            raise ExportError(f"onnxruntime cannot load the network: {_one_line(e)}") from e
        return target.read_bytes()


class Graph:
    """A float32 network with one input and one output, its constants as arrays and its nodes in order.

    Attributes:
        model: the onnx ModelProto, without initialisers; do not modify, `emit` copies what it needs.
        nodes: NodeProto in topological order, each with a unique name.
        constants: name to array.
        input, output: names of the graph's only input and output.
        shapes: of each tensor where it is known; 0 for an axis that is not.
    """

    def __init__(self, content: bytes) -> None:
        """Read a file.

        Raises:
            ExportError: not ONNX, several inputs or outputs, already quantised, or weights that are not finite.
        """
        onnx, _ = packages()
        self._onnx = onnx
        try:
            original = onnx.load_from_string(content)
        except Exception as e:
            raise ExportError(f"the network must be an ONNX file; it cannot be read: {_one_line(e)}") from e
        oldest = next((int(o.version) for o in original.opset_import if o.domain in STANDARD), 0)
        if oldest < OLDEST_OPSET:
            raise ExportError(
                f"int8 needs ONNX operator set {OLDEST_OPSET} or newer; this network has {oldest}. "
                "Convert it with onnx.version_converter, or export it again"
            )
        simplified = onnx.load_from_string(_simplified(content))
        # The optimiser may write operators of its own, which other runtimes do not have.
        domains = {node.domain for node in original.graph.node} | set(STANDARD)
        self.model = simplified if all(n.domain in domains for n in simplified.graph.node) else original
        graph = self.model.graph
        self.constants: dict[str, NDArray[Any]] = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
        self.nodes: list[Any] = []
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
            else:
                self.nodes.append(node)
        inputs = [v.name for v in graph.input if v.name not in self.constants]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise ExportError(
                f"int8 needs a network with one input and one output; this one has {len(inputs)} and "
                f"{len(graph.output)}. Cut it at its embedding first"
            )
        self.input, self.output = inputs[0], graph.output[0].name
        self._check()
        self.shapes = self._find_shapes()
        self._rename()
        self._name_hard_swish()
        self._pool()
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        self.index()

    def _check(self) -> None:
        for node in self.nodes:
            if node.op_type in ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul"):
                raise ExportError(
                    f"int8 is made from a float32 network; this one is quantised already ({node.op_type} "
                    f"{node.name!r}). Give the float32 network"
                )
            for name in node.input:
                weights = self.constants.get(name)
                if weights is not None and weights.dtype.kind == "f" and np.isnan(weights).any():
                    raise ExportError(
                        f"weights must be numbers; {name!r} of {node.op_type} {node.name!r} holds NaN. "
                        "Train or download the network again"
                    )

    def _find_shapes(self) -> dict[str, tuple[int, ...]]:
        graph = self._onnx.shape_inference.infer_shapes(self.model).graph
        values = [*graph.value_info, *graph.input, *graph.output]
        types = {v.name: v.type.tensor_type for v in values}
        return {n: tuple(d.dim_value for d in t.shape.dim) for n, t in types.items() if t.HasField("shape")}

    def _rename(self) -> None:
        seen: set[str] = set()
        for node in self.nodes:
            name = node.name or node.output[0]
            while name in seen:
                name += "_"
            seen.add(name)
            node.name = name
            node.doc_string = ""
            del node.metadata_props[:]

    def index(self) -> None:
        """Look up again who makes and who reads each tensor, after `nodes` changed."""
        self.producer = {name: node for node in self.nodes for name in node.output if name}
        self.consumers: dict[str, list[Any]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                if name and name not in self.constants:
                    self.consumers.setdefault(name, []).append(node)

    def with_outputs(self, names: Sequence[str]) -> bytes:
        """The float network as a file whose outputs are these tensors."""
        onnx = self._onnx
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        model.graph.node.extend(self.nodes)
        used = {name for node in self.nodes for name in node.input}
        model.graph.initializer.extend(
            onnx.numpy_helper.from_array(value, name) for name, value in self.constants.items() if name in used
        )
        if list(names) != [self.output]:
            del model.graph.output[:]
            model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        return bytes(model.SerializeToString(deterministic=True))

    def _scalar(self, name: str) -> float | None:
        value = self.constants.get(name)
        return float(value.reshape(-1)[0]) if value is not None and value.size == 1 else None

    def clip_bounds(self, node: Any) -> tuple[float, float] | None:
        """What a Relu or a Clip with constant bounds limits its input to; None for other operators."""
        if node.op_type == "Relu":
            return 0.0, math.inf
        if node.op_type != "Clip":
            return None
        bounds = [-math.inf, math.inf]
        for attribute in node.attribute:  # before opset 11
            bounds[attribute.name == "max"] = attribute.f
        for i, name in enumerate(node.input[1:]):
            if name:
                value = self._scalar(name)
                if value is None:
                    return None
                bounds[i] = value
        return bounds[0], bounds[1]

    def attribute(self, node: Any, name: str, default: Any) -> Any:
        """An attribute's value, or the default where the node does not set it."""
        found = next((a for a in node.attribute if a.name == name), None)
        return default if found is None else self._onnx.helper.get_attribute_value(found)

    def _name_hard_swish(self) -> None:
        """Give x * clip(x + 3, 0, 6) / 6, as torch writes it, its name: HardSwish, which has an 8-bit form."""
        self.index()
        for add in list(self.nodes):
            x = [n for n in add.input if n not in self.constants]
            if add.op_type != "Add" or len(x) != 1 or not self._other(add, x[0], 3.0):
                continue
            clip = self.only_reader(add.output[0], "Clip")
            if clip is None or self.clip_bounds(clip) != (0.0, 6.0):
                continue
            first = self.only_reader(clip.output[0])
            last = self.only_reader(first.output[0]) if first is not None else None
            if first is None or last is None:
                continue
            product, division = (first, last) if first.op_type == "Mul" and x[0] in first.input else (last, first)
            divides = (division.op_type == "Div" and self._scalar(division.input[1]) == 6.0) or (
                division.op_type == "Mul" and any(_close(self._scalar(n), 1 / 6) for n in division.input)
            )
            if product.op_type == "Mul" and x[0] in product.input and divides and self.opset >= 14:
                swish = self._onnx.helper.make_node("HardSwish", [x[0]], [last.output[0]], name=last.name)
                self.nodes[self.nodes.index(last)] = swish
                self.nodes = [n for n in self.nodes if all(n is not gone for gone in (add, clip, first))]
                self.index()

    @property
    def opset(self) -> int:
        """Version of the standard operators."""
        return next(int(o.version) for o in self.model.opset_import if o.domain in STANDARD)

    def _other(self, node: Any, x: str, value: float) -> bool:
        return any(name != x and _close(self._scalar(name), value) for name in node.input)

    def only_reader(self, name: str, operator: str | None = None) -> Any:
        """The tensor's only reader, of this operator if one is given; None where there is none or several."""
        readers = self.consumers.get(name, [])
        if len(readers) != 1 or name == self.output or (operator and readers[0].op_type != operator):
            return None
        return readers[0]

    def _pool(self) -> None:
        """The mean over a map's height and width becomes GlobalAveragePool, which has an 8-bit form."""
        replaced: list[Any] = []
        for node in self.nodes:
            axes = self.attribute(node, "axes", None)
            if (
                node.op_type == "ReduceMean"
                and axes is None
                and len(node.input) > 1
                and node.input[1] in self.constants
            ):
                axes = self.constants[node.input[1]].tolist()
            keeps = self.attribute(node, "keepdims", 1)
            flat = node.op_type == "ReduceMean" and len(self.shapes.get(node.input[0], ())) == 4 and axes is not None
            if not flat or sorted(a % 4 for a in axes) != [2, 3]:
                replaced.append(node)
                continue
            make, out = self._onnx.helper.make_node, node.output[0]
            pooled = out if keeps else out + "_pooled"
            replaced.append(make("GlobalAveragePool", [node.input[0]], [pooled], name=node.name))
            if not keeps:
                replaced.append(make("Flatten", [pooled], [out], name=node.name + "_flatten", axis=1))
        self.nodes = replaced
        self.index()


def _close(a: float | None, b: float) -> bool:
    return a is not None and math.isclose(a, b, rel_tol=1e-5)
