"""What boards say of themselves, from file trees as theirs are, and what is said where a file is missing or odd."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from edge_imprint.profiling import machine, runtimes, thermal
from edge_imprint.profiling.power import SAMPLE_S, Meter
from edge_imprint.profiling.sysfs import is_missing, not_available

POLICY = "sys/devices/system/cpu/cpufreq/policy0"
ZONE = "sys/class/thermal/thermal_zone0"
PI_5 = {
    "proc/cpuinfo": "processor\t: 0\nBogoMIPS\t: 108.00\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\n"
    "Revision\t: c04170\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n",
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/meminfo": "MemTotal:        8245248 kB\nMemFree: 1 kB\n",
    "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian"\n',
    f"{POLICY}/scaling_governor": "ondemand\n",
    f"{POLICY}/scaling_cur_freq": "1500000\n",
    f"{POLICY}/scaling_min_freq": "1500000\n",
    f"{POLICY}/scaling_max_freq": "2400000\n",
    f"{ZONE}/type": "cpu-thermal\n",
    f"{ZONE}/temp": "51450\n",
}
ZERO_2_W = {
    "proc/cpuinfo": "processor\t: 0\nCPU part\t: 0xd03\n",
    "proc/device-tree/model": "Raspberry Pi Zero 2 W Rev 1.0\0",
    "proc/meminfo": "MemTotal:         436356 kB\n",
}
ORIN = {
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: ARMv8 Processor rev 1 (v8l)\nCPU part\t: 0xd42\n",
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.0\n",
    "var/lib/nvpmodel/status": "pmode:0002\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
    "sys/class/thermal/thermal_zone0/temp": "48218",
    "sys/class/thermal/thermal_zone1/type": "gpu-thermal",
    "sys/class/thermal/thermal_zone1/temp": "47906",
    "sys/class/thermal/cooling_device0/type": "pwm-fan",
    "sys/class/thermal/cooling_device0/cur_state": "1",
    "sys/class/thermal/cooling_device1/type": "cpufreq-cpu0",
    "sys/class/thermal/cooling_device1/cur_state": "3",
    "sys/class/hwmon/hwmon0/name": "tmp451",
    "sys/class/hwmon/hwmon1/name": "ina3221",
    "sys/class/hwmon/hwmon1/in1_label": "VDD_IN",
    "sys/class/hwmon/hwmon1/in1_input": "5000",
    "sys/class/hwmon/hwmon1/curr1_input": "1400",
    "sys/class/hwmon/hwmon1/in2_label": "VDD_CPU_GPU_CV",
    "sys/class/hwmon/hwmon1/in2_input": "5000",
    "sys/class/hwmon/hwmon1/curr2_input": "400",
}
RAPL = "sys/class/powercap/intel-rapl:0"
PC = {
    f"{RAPL}/name": "package-0",
    f"{RAPL}/energy_uj": "9999000",
    f"{RAPL}/max_energy_range_uj": "10000000",
    "sys/class/powercap/intel-rapl:0:0/name": "core",
    "sys/class/powercap/intel-rapl:0:0/energy_uj": "1",
}


def test_a_raspberry_pi_5(files):
    root = files(PI_5)
    found = machine.describe(root)
    assert (found["cpu"], found["board"]) == ("Cortex-A76", "Raspberry Pi 5 Model B Rev 1.0")
    assert (found["memory_bytes"], found["os"]) == (8245248 * 1024, "Debian GNU/Linux 12 (bookworm)")
    clock = {"policy": "policy0", "governor": "ondemand", "mhz": 1500, "mhz_least": 1500, "mhz_most": 2400}
    assert found["clocks"] == [clock]
    assert thermal.read(root)["zones"] == {"cpu-thermal": pytest.approx(51.45)}


def test_a_zero_2_w_without_cpufreq(files):
    found = machine.describe(files(ZERO_2_W))
    assert (found["cpu"], found["board"]) == ("Cortex-A53", "Raspberry Pi Zero 2 W Rev 1.0")
    assert "cpufreq" in found["clocks"]["not_available"]


def test_a_jetson(files):
    root = files(ORIN)
    assert machine.describe(root)["board"] == "NVIDIA Jetson Orin Nano Developer Kit"
    found = thermal.read(root)
    assert found["zones"] == {"cpu-thermal": pytest.approx(48.218), "gpu-thermal": pytest.approx(47.906)}
    assert found["jetson"]["power_mode"] == "pmode:0002"
    assert found["jetson"]["cooling"] == {"cpufreq-cpu0": 3}  # it is slowed down; a fan is no throttling


def test_nothing_at_all(files):
    root = files({})
    found = machine.describe(root)
    for key in ("cpu", "board", "clocks", "memory_bytes"):
        assert is_missing(found[key]), key
        assert len(found[key]["not_available"]) > 10
    assert is_missing(thermal.read(root)["zones"])
    with Meter(root) as meter:
        pass
    assert meter.found == not_available(
        "no RAPL counters below /sys/class/powercap and no INA3221 below /sys/class/hwmon"
    )


def test_odd_contents_cost_one_row(files):
    root = files({
        **PI_5, f"{POLICY}/scaling_cur_freq": "<unknown>\n", f"{ZONE}/temp": "", "proc/meminfo": "nothing",
        "sys/class/thermal/thermal_zone1/type": "cpu-thermal", "sys/class/thermal/thermal_zone1/temp": "40000",
    })  # fmt: skip
    found = machine.describe(root)
    assert "'<unknown>' is no number" in found["clocks"][0]["mhz"]["not_available"]
    assert found["clocks"][0]["mhz_most"] == 2400
    assert "MemTotal" in found["memory_bytes"]["not_available"]
    zones = thermal.read(root)["zones"]
    assert is_missing(zones["cpu-thermal"])
    assert zones["cpu-thermal thermal_zone1"] == pytest.approx(40)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file; run as another user")
def test_a_governor_that_may_not_be_read(files):
    root = files(PI_5)
    (root / POLICY / "scaling_governor").chmod(0)
    assert "ermission" in machine.describe(root)["clocks"][0]["governor"]["not_available"]


def test_a_governor_that_cannot_be_read(files):
    root = files(PI_5)
    (root / POLICY / "scaling_governor").unlink()
    (root / POLICY / "scaling_governor").mkdir()
    assert "directory" in machine.describe(root)["clocks"][0]["governor"]["not_available"]


def test_this_machine_is_plain_json():
    found = {"machine": machine.describe(), "thermal": thermal.read(), "runtimes": runtimes.versions()}
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["machine"]["cores"] == len(os.sched_getaffinity(0))
    assert found["machine"]["memory_bytes"] > 1 << 20
    assert found["runtimes"]["numpy"]


@pytest.fixture
def vcgencmd(tmp_path, monkeypatch):
    """A program of that name that says what it is told to."""

    def install(text: str, status: int = 0) -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        program = folder / "vcgencmd"
        program.write_text(f"#!/bin/sh\n[ \"$1\" = get_throttled ] || exit 9\nprintf '%s' '{text}'\nexit {status}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    return install


@pytest.mark.parametrize(
    ("said", "flags"),
    [
        ("throttled=0x0\n", []),
        (
            "throttled=0x50005\n",
            ["under-voltage now", "throttled now", "under-voltage since boot", "throttled since boot"],
        ),
        ("throttled=0x80000\n", ["soft temperature limit since boot"]),
    ],
)
def test_flags_of_a_raspberry_pi(files, vcgencmd, said, flags):
    vcgencmd(said)
    assert thermal.read(files({}))["throttled"] == flags


def test_vcgencmd_that_may_not_or_is_missing(files, vcgencmd, monkeypatch):
    vcgencmd("VCHI initialization failed\n", 1)
    assert "VCHI initialization failed" in thermal.read(files({}))["throttled"]["not_available"]
    monkeypatch.setenv("PATH", "/nowhere")
    assert "vcgencmd is not here" in thermal.read(files({}))["throttled"]["not_available"]


def test_energy_of_a_pc_and_a_counter_that_begins_again(files):
    root = files(PC)
    meter = Meter(root)
    meter.start()
    (root / RAPL / "energy_uj").write_text("500000")  # 1,000 to the end, and 500,000
    found = meter.stop()
    assert (found["source"], found["joules"]) == ("RAPL", pytest.approx(0.501))
    assert found["watts"] == {"package-0": pytest.approx(0.501 / found["seconds"])}


def test_energy_that_may_not_be_read(files):
    root = files(PC)
    (root / RAPL / "energy_uj").unlink()
    (root / RAPL / "energy_uj").mkdir()
    with Meter(root) as meter:
        pass
    assert str(root / RAPL) in meter.found["not_available"]


def test_power_of_a_jetson_is_sampled(files):
    root = files(ORIN)
    with Meter(root) as meter:
        time.sleep(SAMPLE_S * 3)
        (root / "sys/class/hwmon/hwmon1/curr1_input").write_text("2400")
        time.sleep(SAMPLE_S * 3)
    found = meter.found
    assert found["source"] == "INA3221"
    assert 7 < found["watts"]["VDD_IN"] < 12
    assert found["watts"]["VDD_CPU_GPU_CV"] == pytest.approx(2)
    assert found["joules"] == pytest.approx(found["watts"]["VDD_IN"] * found["seconds"])
    assert threading.active_count() < 20


def test_a_rail_that_gives_nothing(files):
    root = files({"sys/class/hwmon/hwmon0/name": "ina3221", "sys/class/hwmon/hwmon0/in1_input": "odd"})
    with Meter(Path(root)) as meter:
        pass
    assert "is no number" in meter.found["not_available"]
