"""Imprinting a backbone onto a bundle: the export step, the only place with torch."""
