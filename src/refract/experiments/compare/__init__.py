"""Two experiments or revisions side by side: settings, mean metrics, paired item tables.

Reads git and DVC's cache; runs no stage.
"""
