"""Sweeps over settings as DVC experiments, with tables and plots.

The grids come from ablations.yaml; each point is a whole pipeline run of DVC's.
"""
