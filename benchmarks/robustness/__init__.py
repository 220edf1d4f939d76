"""Faults, injected for real: what was done, what was injected, what survived, what was lost."""
