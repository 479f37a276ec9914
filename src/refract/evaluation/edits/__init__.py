"""Edited clips against source, product photo and region, beside cheats and other samplers."""
