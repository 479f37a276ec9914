"""Errors, files, CSV, YAML and names: what any Python program needs.

Knows nothing of models, data sets or DVC, imports no torch, and no result depends on it.
"""
