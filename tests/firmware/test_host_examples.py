"""The examples in the docstrings of the host are true."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["commands", "device", "errors", "frames", "protocol_generator"])
def test_examples(name):
    module = importlib.import_module(f"edge_imprint_firmware.{name}")
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0
