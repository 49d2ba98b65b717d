"""Vectors in fewer bytes: one coding per file."""
