"""Sweeps over settings as DVC experiments, and their tables and plots."""
