"""Uncertainty over time."""
