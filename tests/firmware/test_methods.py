"""A device without a second moment refuses a snapshot that has one, before it holds cosines against its thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from device_in_process import connect

from edge_imprint import ImprintHead
from edge_imprint.errors import UsageError
from edge_imprint_firmware.snapshots import blob_of


@pytest.fixture
def ridge_file(tmp_path):
    x = np.random.default_rng(0).normal(size=(12, 8))
    head = ImprintHead(8, "8KB", method="ridge").partial_fit(x, [0, 1, 2] * 4)
    head.save(tmp_path / "ridge.eimp")
    return tmp_path / "ridge.eimp"


def test_a_device_keeps_what_it_has(ridge_file):
    device, _ = connect(dim=8)
    device.partial_fit(np.eye(8, dtype=np.float32)[:2], ["a", "b"])
    before = blob_of(device.to_head())
    with pytest.raises(UsageError, match=r'method "proxies"; this one has "ridge".*make firmware with --method ridge'):
        device.load(ridge_file)
    assert blob_of(device.to_head()) == before
