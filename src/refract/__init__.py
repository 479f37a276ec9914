"""Refract: condition injection into the attention of flow transformers."""
