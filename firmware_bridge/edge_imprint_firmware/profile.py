"""What teaching and asking cost on a device: counts from its own counter, round trips from here, bytes, stack."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import EdgeImprintError, UsageError
from edge_imprint_firmware.device import Device
from edge_imprint_firmware.errors import DeviceRestartedError, LinkError
from edge_imprint_firmware.link import LinkCounts
from edge_imprint_firmware.protocol import Capability, Operation
from edge_imprint_firmware.reports import DeviceInfo, DeviceResources, counter_unit, read_operation
from edge_imprint_firmware.snapshots import open_snapshot

__all__ = ["LEAST_REPEATS", "STAGES", "DeviceProfile", "DeviceStage", "profile_device"]

LEAST_REPEATS = 20
STAGES = ("round trip", "predict", "scores", "learn", "predict after learn", "undo", "save", "load", "forget")
_CLASSES, _SHOTS = 10, 5  # made up where the head knows nothing
_ENDS = (LinkError, DeviceRestartedError)


@dataclass
class DeviceStage:
    """One operation, run again and again.

    Attributes:
        counts: the operation alone, each run, by the device's own counter in its unit. "round trip" has none.
        round_trips_ns: each run by the host's clock: what is sent, the operation, the answer.
        missing: why there is nothing, or less than was asked for; empty when nothing is missing.
    """

    counts: list[int] = field(default_factory=list)
    round_trips_ns: list[int] = field(default_factory=list)
    missing: str = ""


@dataclass
class DeviceProfile:
    """What `profile_device` found.

    Attributes:
        found: the device and its head, as they were before.
        counter_unit: of every stage's counts; None where the device has no counter. Instructions are those of an
            emulator, and say nothing of time.
        measured: the device and its head while they were measured.
        resources: bytes of the program, and what measuring takes; None where the device cannot say.
        stack_bytes: the most that was used of the stack since the device's start; None where it cannot say.
        stages: every one of `STAGES`.
        host: requests, retries and damaged frames of the line while measuring.
        unchanged: whether the head is again what it was, byte for byte; None where nobody can say.
        broken: what ended the profile early; empty when nothing did.
    """

    found: DeviceInfo
    counter_unit: str | None
    measured: DeviceInfo
    resources: DeviceResources | None = None
    stack_bytes: int | None = None
    stages: dict[str, DeviceStage] = field(default_factory=dict)
    host: LinkCounts = field(default_factory=LinkCounts)
    unchanged: bool | None = None
    broken: str = ""


def profile_device(
    device: Device,
    *,
    repeats: int = 100,
    warmups: int = 5,
    saves: int = 0,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> DeviceProfile:
    """Measure each operation of a device, and leave its head as it was, byte for byte.

    Every shot that is learnt is taken back. A head that knows nothing is taught made-up classes, and cleared at the
    end. One thing is lost: a shot that was learnt before can no longer be undone. A line that breaks ends the profile;
    what was measured until then stays, and every stage that was not reached says why.

    Args:
        device: taught or not.
        repeats: runs of each operation, at least 20.
        warmups: runs before those, not counted.
        saves: how often to save into the device's flash and to load from it, at least 20; 0 leaves the flash alone.
            Each save erases flash once, and what was stored is replaced by what the head held before.
        seed: of the made-up embeddings.
        progress: called with the name of each stage before it runs.

    Returns:
        What was found, complete or not.

    Raises:
        UsageError: too few repeats or saves, or a negative number of warm-ups; nothing was sent.
        EdgeImprintError: the device does not answer even the first question.

    Example:
        >>> with Device.emulate() as device:  # doctest: +SKIP
        ...     profile = profile_device(device)
        >>> profile.stages["predict"].counts[0], profile.counter_unit  # doctest: +SKIP
        (4712, 'instructions')
    """
    if repeats < LEAST_REPEATS or (saves and saves < LEAST_REPEATS):
        few = f"{repeats} repeats" if repeats < LEAST_REPEATS else f"{saves} saves"
        raise UsageError(f"percentiles need at least {LEAST_REPEATS} runs; got {few}. Give {LEAST_REPEATS} or more")
    if warmups < 0:
        raise UsageError(f"warmups must be 0 or more; got {warmups}")
    return _Profiler(device, repeats, warmups, saves, seed, progress or (lambda stage: None)).run()


class _Profiler:
    """One profile of one device."""

    def __init__(
        self, device: Device, repeats: int, warmups: int, saves: int, seed: int, progress: Callable[[str], None]
    ) -> None:
        self._device, self._link = device, device._link
        self._repeats, self._warmups, self._saves = repeats, warmups, saves
        self._random = np.random.default_rng(seed)
        self._progress = progress
        self._counted = replace(self._link.counts)
        found = device.info()
        self._profile = DeviceProfile(found, counter_unit(self._link), found)
        self._empty = found.classes == 0
        self._stored = False  # made-up classes are in flash

    def run(self) -> DeviceProfile:
        profile = self._profile
        try:
            before = open_snapshot(self._link)
            try:
                profile.resources = self._device.resources()
                self._all_stages()
            finally:  # also after Ctrl-C
                self._tidy()
            profile.stack_bytes = self._device.stats().stack_bytes
            profile.unchanged = open_snapshot(self._link) == before
        except _ENDS as error:
            profile.broken = _cause(error)
        for name in STAGES:
            profile.stages.setdefault(name, DeviceStage(missing=profile.broken))
        profile.stages = {name: profile.stages[name] for name in STAGES}
        now, then = self._link.counts, self._counted
        profile.host = LinkCounts(now.requests - then.requests, now.retries - then.retries, now.damaged - then.damaged)
        return profile

    def _all_stages(self) -> None:
        device = self._device
        if self._empty:
            for number in range(min(_CLASSES, self._profile.found.max_classes)):
                device.partial_fit(self._rows(_SHOTS), f"made up {number}")
        self._labels = device.classes_.tolist()
        self._profile.measured = device.info()
        with self._stages("round trip") as (stage,):
            for keep in self._runs(self._repeats):
                self._run(stage, None, keep, device.info)
        for name, operation, ask in (
            ("predict", Operation.PREDICT, device.predict),
            ("scores", Operation.SCORES, device.decision_function),
        ):
            with self._stages(name) as (stage,):
                for keep in self._runs(self._repeats):
                    self._run(stage, operation, keep, partial(ask, self._rows(1)))
        self._learning()
        self._flash()
        self._forgetting()

    def _learning(self) -> None:
        device, journal = self._device, self._profile.found.undo
        with self._stages("learn", "predict after learn", "undo") as (learn, predict, undo):
            if not journal:
                undo.missing = "the head keeps no journal. Make firmware with more budget"
            if not journal and not self._empty:
                learn.missing = predict.missing = f"what is learnt could not be taken back: {undo.missing}"
                return
            for number, keep in enumerate(self._runs(self._repeats)):
                row, label = self._rows(1), self._labels[number % len(self._labels)]
                _ = device.classes_  # asked now, not while the clock runs
                self._run(learn, Operation.LEARN, keep, partial(device.partial_fit, row, label))
                # A head with a second moment has to solve it anew.
                self._run(predict, Operation.PREDICT, keep, partial(device.predict, row))
                if journal:
                    self._run(undo, Operation.UNDO, keep, device.undo)

    def _flash(self) -> None:
        device = self._device
        with self._stages("save", "load") as stages:
            if not self._link.device.capabilities & Capability.STORE:
                why = "the device has no store"
            elif not self._saves:
                why = "left out: a save erases flash and replaces what is stored. Ask for saves to measure it"
            else:
                why = ""
            for stage in stages:
                stage.missing = why
            if why:
                return
            save, load = stages
            self._stored = self._empty
            for keep in self._runs(self._saves, warmups=0):
                self._run(save, Operation.SAVE, keep, device.persist)
                self._run(load, Operation.LOAD, keep, device.restore)

    def _forgetting(self) -> None:
        device = self._device
        with self._stages("forget") as (stage,):
            if not self._empty:
                stage.missing = "left out: what is forgotten cannot be taken back. A head that knows nothing shows it"
                return
            for number, keep in enumerate(self._runs(self._repeats)):
                label = self._labels[number % len(self._labels)]
                self._run(stage, Operation.FORGET, keep, partial(device.forget, label))
                device.partial_fit(self._rows(_SHOTS), label)

    def _tidy(self) -> None:
        """Take back what is still there of a stage that ended early, or of made-up classes."""
        with contextlib.suppress(EdgeImprintError):
            now, found = self._device.info(), self._profile.found
            if self._empty and now.classes:
                self._device.clear()
            elif now.shots > found.shots:
                self._device.undo()
            if self._stored:
                self._device.persist()

    @contextlib.contextmanager
    def _stages(self, *names: str) -> Iterator[list[DeviceStage]]:
        """New stages. They say what the device refuses, and the next one runs; a broken line ends the profile."""
        for name in names:
            self._progress(name)
        stages = [self._profile.stages.setdefault(name, DeviceStage()) for name in names]
        try:
            yield stages
        except EdgeImprintError as error:
            for stage in stages:
                stage.missing = stage.missing or _cause(error)
            if isinstance(error, _ENDS):
                raise

    def _runs(self, repeats: int, warmups: int | None = None) -> Iterator[bool]:
        """False for each warm-up, then True for each run that counts."""
        warm = self._warmups if warmups is None else warmups
        for number in range(warm + repeats):
            yield number >= warm

    def _run(self, stage: DeviceStage, operation: Operation | None, keep: bool, act: Callable[[], object]) -> None:
        """Act, and note what the host's clock and the device's counter say of it, unless it is a warm-up."""
        if not keep:
            act()
            return
        counted = operation if self._profile.counter_unit else None
        before = 0 if counted is None else read_operation(self._link, counted).calls
        begun = time.perf_counter_ns()
        act()
        stage.round_trips_ns.append(time.perf_counter_ns() - begun)
        if counted is not None:
            now = read_operation(self._link, counted)
            if now.calls - before == 1:
                stage.counts.append(now.last)
            else:
                stage.missing = f"a run took {now.calls - before} commands, of which the device counts only the last"

    def _rows(self, count: int) -> NDArray[np.float32]:
        return self._random.normal(size=(count, self._device.dim)).astype(np.float32)


def _cause(error: Exception) -> str:
    """What an error says without what its callers have added to it."""
    while isinstance(error.__cause__, EdgeImprintError):
        error = error.__cause__
    return str(error)
