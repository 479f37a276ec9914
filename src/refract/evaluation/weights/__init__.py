"""Weights that metrics are published with: where they lie, and how a file of them is read.

The networks that they fill lie with the measures.
"""
