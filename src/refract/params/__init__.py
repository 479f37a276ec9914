"""The sections of params.yaml, one a file, so that a stage depends on its own alone."""
