"""Product video: clips edited by text and by a reference photo seen in attention.

How good the edits are is measured in `evaluation`.
"""
