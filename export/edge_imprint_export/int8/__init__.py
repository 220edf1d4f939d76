"""Choosing how a network becomes int8: calibration method, layers left in float, by measurement."""
