"""Everything about .onnx files: build, cut, convert, quantise."""
