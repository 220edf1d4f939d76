"""Everything about .tflite files: build, cut, quantise."""
