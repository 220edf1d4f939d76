"""The host side of a microcontroller that runs the head."""
