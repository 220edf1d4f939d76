"""A board of one's own: what `generate` leaves open is filled in as docs/CORTEX_M.md says, built, and taught."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.firmware import program
from edge_imprint_firmware import Device, boards, build
from edge_imprint_firmware.generate import generate
from edge_imprint_firmware.options import chosen

pytestmark = pytest.mark.skipif(bool(program.missing_tools()), reason=f"no boards here: {program.missing_tools()}")

UART = "EIMP_REGISTER(0x40004000u + {}u)"
# The serial line of mps2-an386, as somebody would write it from its manual.
FILLED_IN = (
    f"{UART.format(16)} = 217u; {UART.format(8)} = 11u; eimp_interrupt_enable(0u);",
    f"{UART.format(12)} = 2u;\n"
    f"while (({UART.format(4)} & 2u) != 0 && !eimp_ring_full()) eimp_ring_put((uint8_t){UART.format(0)});",
    "",
    f"while (({UART.format(4)} & 1u) != 0) {{ }}\n{UART.format(0)} = data[i];",
)


def test_a_port_filled_in_makes_a_board(tmp_path: Path) -> None:
    board = boards.custom("cortex-m4", "0x0:512KB", "0x20000000:128KB", 25_000_000)
    generate(tmp_path / "fw", board, chosen(board))
    with pytest.raises(build.BuildError, match="1: start clocks and pins"):
        build.make(tmp_path / "fw", program.COMPILER)
    port = tmp_path / "fw" / "boards" / "port_custom.c"
    text, places = re.subn(r"(^#error.*\n)+", "OPEN\n", port.read_text(), flags=re.MULTILINE)
    assert places == len(FILLED_IN)
    for answer in FILLED_IN:
        text = text.replace("OPEN", answer, 1)
    port.write_text(text)
    build.make(tmp_path / "fw", program.COMPILER)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.getsockname()[1]
    command = [
        program.EMULATOR,
        "-M",
        "mps2-an386",
        "-kernel",
        str(tmp_path / "fw" / "firmware.elf"),
        "-display",
        "none",
    ]
    command += ["-monitor", "none", "-serial", f"tcp:127.0.0.1:{number},server=on,wait=off"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as board_process:
        time.sleep(1)
        try:
            with Device.open(f"socket://127.0.0.1:{number}") as device:
                device.partial_fit(np.eye(64, dtype=np.int16)[:2], ["mug", "cup"])
                assert device.predict(np.eye(64, dtype=np.int16)[1:2]).tolist() == ["cup"]
                device.persist()
                device.clear()
                device.restore()
                assert device.classes_.tolist() == ["mug", "cup"]
        finally:
            board_process.kill()
