"""Rankers: one file each, found by the file's name (see ``registry``)."""
