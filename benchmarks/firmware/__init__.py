"""Programs without an operating system on emulated boards: build one, run it, count a function's instructions."""
