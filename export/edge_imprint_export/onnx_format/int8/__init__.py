"""Placing 8-bit integers in an ONNX graph: what may be quantised, activation ranges, weights, Q/DQ nodes."""
