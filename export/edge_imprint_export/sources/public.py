"""`public:NAME`: a backbone of the list, downloaded or from the cache, verified and cut at its embedding."""

from __future__ import annotations

from pathlib import Path

from edge_imprint.backbones import InputSpec
from edge_imprint_export.public.download import fetch
from edge_imprint_export.public.registry import find
from edge_imprint_export.public.transfer import Progress
from edge_imprint_export.sources.source import TfliteSource


def open_public(
    name: str,
    embedding: str | None = None,
    input_spec: InputSpec | None = None,
    *,
    from_file: Path | str | None = None,
    progress: Progress | None = None,
) -> TfliteSource:
    """Open a public backbone.

    Args:
        name: see `edge_imprint_export.public.registry.find`.
        embedding: tensor to cut at instead of the list's.
        input_spec: what happens to a picture, instead of the list's rule.
        from_file: its file, downloaded in another way.
        progress: of the download, called with (bytes done, bytes in all).

    Raises:
        UsageError: no such name.
        DownloadError: it cannot be fetched, or its bytes are not those of the list.
        StorageError: the cache cannot be written.
        ExportError: no such embedding.
    """
    from edge_imprint_export.sources.tflite_file import open_tflite

    entry = find(name)
    path = fetch(entry, from_file=from_file, progress=progress)
    source = open_tflite(path, embedding or entry.embedding, input_spec or entry.input)
    source.name = entry.name
    source.licence = entry.licence
    source.description = f"{entry.title}. {entry.description}"
    source.notes.insert(0, f"{entry.file_name} of {entry.url}, SHA-256 verified; licence: {entry.licence_url}.")
    return source
