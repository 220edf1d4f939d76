"""Every exception that edge-imprint raises on purpose, and its warnings. Imports nothing.

Each message states the rule, the value received and the way out. The operation that raised left its object and
its files as they were.
"""

from __future__ import annotations


class EdgeImprintError(Exception):
    """Base of all errors of this package: `except EdgeImprintError` catches every one of them."""


class ShapeError(EdgeImprintError, ValueError):
    """An array has the wrong rank, width or length."""


class ValueRangeError(EdgeImprintError, ValueError):
    """A number is NaN, infinite or outside its range, or an embedding has zero length."""


class LabelError(EdgeImprintError, ValueError):
    """A label is empty, too long, of the wrong type or not UTF-8."""


class UnknownLabelError(EdgeImprintError, LookupError):
    """A label names no class that was taught."""


class NotTaughtError(EdgeImprintError):
    """The head has too few classes or shots for what was asked."""


class CapacityError(EdgeImprintError):
    """The budget has no room for what was asked."""


class BudgetError(EdgeImprintError, ValueError):
    """A budget cannot be read or is too small for one class."""


class StorageError(EdgeImprintError):
    """A file cannot be read or written: missing, no permission, disk full."""


class StateFileError(EdgeImprintError):
    """Base of what can be wrong with a snapshot."""


class SnapshotCorruptError(StateFileError):
    """A snapshot is truncated, damaged or not a snapshot at all."""


class SnapshotVersionError(StateFileError):
    """A snapshot was written in a newer format than this version reads."""


class BackboneMismatchError(StateFileError):
    """A snapshot's proxies were made with another backbone."""


class ImageError(EdgeImprintError, ValueError):
    """A picture cannot be used: not an image, damaged, empty, huge or animated."""


class BundleError(EdgeImprintError):
    """A backbone bundle or file is incomplete, inconsistent or fails its hash."""


class MissingRuntimeError(EdgeImprintError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


class UsageError(EdgeImprintError):
    """A command was given arguments that do not fit together."""


class ExportError(EdgeImprintError):
    """A backbone cannot be exported: its network, a format, or what was asked of both."""


class ParityError(ExportError):
    """An exported file's embeddings differ too much from those of the source."""


class DownloadError(EdgeImprintError):
    """A public backbone cannot be fetched: no connection, a stalled or shortened answer, the wrong bytes."""


class ProfileError(EdgeImprintError):
    """A profile cannot be made, read or compared: too short a run, another version, another kind."""


class ProviderWarning(UserWarning):
    """An execution provider that was asked for did not start, and one that was asked for after it runs instead."""
