"""Openly licensed backbones known by name, and their download."""
