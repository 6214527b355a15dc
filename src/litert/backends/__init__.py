"""The two ways to run a model: ``native`` and ``reference``, behind one protocol."""
