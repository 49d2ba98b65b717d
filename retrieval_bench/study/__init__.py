"""The protocols of the field on its own data sets: screening of systematic reviews, code search, literature search."""
