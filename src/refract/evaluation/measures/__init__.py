"""Measures as functions of arrays, their intervals, and the files that metrics are written to.

No folder of a stage is known here, and no measure knows for which half it is taken.
"""
