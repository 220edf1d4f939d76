"""Running statistics that no head writes are refused by Python's reader and by C's: thresholds would overflow on them.

Those at the ends of their ranges are read, and thresholds from them are numbers (the C library stops at an overflow).
"""

from __future__ import annotations

import shutil
import struct

import numpy as np
import pytest

from benchmarks.identity.c_head import CError, CHead
from edge_imprint import ImprintHead, snapshot
from edge_imprint.errors import SnapshotCorruptError
from edge_imprint.head import codec

CORRUPT = -10
DIM, BUDGET = 8, 4096
SECTIONS = {"state": (128, 16), "classes": (32, 40)}  # where the statistic is; at most so many numbers in it
TWO = 1 << 24  # a mean of 2 in Q23
NOBODY_WRITES = {
    "a mean beyond 2": (2, TWO + 1, 0),
    "a mean beyond -2": (2, -TWO - 1, 0),
    "a variance of one number": (1, 0, 1),
    "a variance of none": (0, 0, 1),
}
AT_THE_ENDS = [(2, TWO, 0xFFFFFFFF), (2, -TWO, 0), (1, 5, 0), (0, 0, 0)]


def with_statistic(section: str, statistic: tuple[int, int, int]) -> bytes:
    """A head's snapshot in which one statistic is another, checksums right."""
    rng = np.random.default_rng(3)
    head = ImprintHead(DIM, BUDGET)
    head.partial_fit(rng.normal(size=(30, DIM)), [f"c{i % 3}" for i in range(30)])
    parts = dict(codec.sections(head, head.backbone))
    changed = bytearray(parts[section])
    struct.pack_into("<IiI", changed, SECTIONS[section][1], *statistic)
    return snapshot.encode({**parts, section: bytes(changed)})


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("name", ["too many numbers", *NOBODY_WRITES])
def test_statistics_that_no_head_writes_are_refused(section: str, name: str) -> None:
    statistic = NOBODY_WRITES.get(name, (SECTIONS[section][0] + 1, 0, 0))
    blob = with_statistic(section, statistic)
    with pytest.raises(SnapshotCorruptError, match=f"running statistic .* got count {statistic[0]}, "):
        codec.head_from(ImprintHead, snapshot.decode(blob))
    if shutil.which("cc") is None:
        pytest.skip("no C compiler for the C reader: apt-get install gcc")
    head = CHead(DIM, BUDGET)
    before = head.snapshot()
    with pytest.raises(CError) as refused:
        head.load(blob)
    assert refused.value.code == CORRUPT
    assert head.snapshot() == before


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler for the C reader: apt-get install gcc")
@pytest.mark.parametrize("section", SECTIONS)
def test_statistics_at_the_ends_of_their_ranges_are_read_and_used(section: str) -> None:
    rows = np.eye(DIM, dtype=np.int16) * 32767
    for statistic in [(SECTIONS[section][0], TWO, 0xFFFFFFFF), *AT_THE_ENDS]:
        blob = with_statistic(section, statistic)
        head, c_head = codec.head_from(ImprintHead, snapshot.decode(blob)), CHead(DIM, BUDGET)
        c_head.load(blob)
        assert [verdict for _, _, verdict in c_head.predict(rows)] == list(head.verdicts(rows))
