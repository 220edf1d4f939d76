"""Every way to shorten a file, and to flip one bit of it."""

from __future__ import annotations

from collections.abc import Iterator


def truncations(blob: bytes) -> Iterator[bytes]:
    """Its beginnings, the empty one first and the whole left out."""
    return (blob[:size] for size in range(len(blob)))


def flipped_bits(blob: bytes) -> Iterator[bytes]:
    """The same bytes with one bit the other way, for each bit."""
    for place in range(len(blob)):
        for bit in range(8):
            damaged = bytearray(blob)
            damaged[place] ^= 1 << bit
            yield bytes(damaged)
