"""What a mean hides: why a data set is hard, where a system fails, and how far a figure can be believed.

Pure functions of arrays and texts, one idea a file. The command ``retrieval-bench diagnose`` gives each its data.
"""
