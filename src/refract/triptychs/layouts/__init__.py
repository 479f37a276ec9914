"""Importers, one a module, of the data sets that `prepare_triptychs` knows; see `registry`."""
