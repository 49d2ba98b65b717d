"""The mathematics of the CUR family: scores of all documents from the scores of a few."""
