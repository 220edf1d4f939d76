"""From a camera's frame to an answer, next to a script that has nothing but Pillow, numpy and the runtime."""
