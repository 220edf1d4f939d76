"""Energy while something runs: counters of a PC's processor (RAPL), or the INA3221 of a Jetson, sampled."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from edge_imprint.profiling.sysfs import folders, is_missing, not_available, number, text

SAMPLE_S = 0.05


class Meter:
    """Measures mean power between `start` and `stop`.

    Args:
        root: of the file system to look at.

    Example:
        >>> with Meter(Path("/nowhere")) as meter:
        ...     pass
        >>> meter.found["not_available"].startswith("no RAPL")
        True
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._rapl = [
            path for path in folders(root / "sys/class/powercap", "intel-rapl:*") if path.name.count(":") == 1
        ]
        self._rails = _rails(root)
        self._ended = threading.Event()
        self._sampler: threading.Thread | None = None
        self._samples: dict[str, list[float]] = {}
        self.found: dict[str, Any] = not_available("nothing was measured yet")

    def start(self) -> None:
        """Begin."""
        self._began = time.monotonic()
        self._before = [number(path / "energy_uj") for path in self._rapl]
        if self._rails and not self._rapl:
            self._ended.clear()
            self._samples = {name: [] for name in self._rails}
            self._sampler = threading.Thread(target=self._sample, daemon=True)
            self._sampler.start()

    def stop(self) -> dict[str, Any]:
        """End.

        Returns:
            `source`, `seconds`, `watts` (of each rail or package) and `joules`, or `{"not_available": why}`.
        """
        seconds = time.monotonic() - self._began
        self._ended.set()
        if self._sampler is not None:
            self._sampler.join()
            self._sampler = None
        if self._rapl:
            self.found = self._counted(seconds)
        elif self._rails:
            self.found = self._sampled(seconds)
        else:
            self.found = not_available(
                "no RAPL counters below /sys/class/powercap and no INA3221 below /sys/class/hwmon"
            )
        return self.found

    def __enter__(self) -> Meter:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _counted(self, seconds: float) -> dict[str, Any]:
        watts: dict[str, float] = {}
        joules = 0.0
        for path, before in zip(self._rapl, self._before, strict=True):
            after, wraps = number(path / "energy_uj"), number(path / "max_energy_range_uj")
            for value in (before, after):
                if isinstance(value, dict):
                    why = value["not_available"]
                    hint = "; only root may read it on most systems" if "ermission" in why else ""
                    return not_available(why + hint)
            used = float(after) - float(before)  # type: ignore[arg-type]
            if used < 0:  # the counter began again
                if isinstance(wraps, dict):
                    return not_available(f"the counter began again, and {wraps['not_available']}")
                used += wraps
            name = text(path / "name")
            watts[path.name if isinstance(name, dict) else name] = used * 1e-6 / max(seconds, 1e-9)
            joules += used * 1e-6
        return {"source": "RAPL", "seconds": seconds, "watts": watts, "joules": joules}

    def _sample(self) -> None:
        while True:
            for name, (volts, amperes) in self._rails.items():
                millivolts, milliamperes = number(volts), number(amperes)
                if isinstance(millivolts, float) and isinstance(milliamperes, float):
                    self._samples[name].append(millivolts * milliamperes * 1e-6)
            if self._ended.wait(SAMPLE_S):
                return

    def _sampled(self, seconds: float) -> dict[str, Any]:
        watts = {name: sum(taken) / len(taken) for name, taken in self._samples.items() if taken}
        if not watts:
            name, (volts, _) = next(iter(self._rails.items()))
            why = number(volts)
            return not_available(why["not_available"] if isinstance(why, dict) else f"rail {name} gave no sample")
        # VDD_IN of a Jetson is the sum of the others.
        total = next((watts[name] for name in watts if name.upper() == "VDD_IN"), sum(watts.values()))
        return {"source": "INA3221", "seconds": seconds, "watts": watts, "joules": total * seconds}


def _rails(root: Path) -> dict[str, tuple[Path, Path]]:
    """Files of millivolts and milliamperes of every rail of an INA3221."""
    found: dict[str, tuple[Path, Path]] = {}
    for folder in folders(root / "sys/class/hwmon", "hwmon*"):
        if text(folder / "name") != "ina3221":
            continue
        for channel in (1, 2, 3):
            volts, amperes = folder / f"in{channel}_input", folder / f"curr{channel}_input"
            if is_missing(text(volts)) and is_missing(text(amperes)):
                continue
            label = text(folder / f"in{channel}_label")
            found[f"{folder.name} channel {channel}" if isinstance(label, dict) else label] = (volts, amperes)
    return found
