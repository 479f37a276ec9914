"""Importers, one a module, of the data sets that `prepare_triptychs` knows; see `registry`.

An importer lists files and what is known of them. It opens no picture and drops none for its looks.
"""
