"""Training of encoders: one file per recipe, one loop for all. Importing this package imports no engine.

What is learned from is the ``train`` split of a data set; choices (a soup's parts, a weight between two models) are
made on ``tune``, which are other queries (see ``learned``); gains are reported on ``test``. A trained model is a
sentence-transformers folder, so that its path can be named wherever an encoder's name can (``run --encoder FOLDER``).
"""
