"""The sections of params.yaml and the cases, typed and checked, one file a section.

A stage depends on its own sections alone. Nothing is loaded or computed here: what may be chosen is
listed here, what a choice does is written where it is done.
"""
