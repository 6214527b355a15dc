"""The kinds of test models, one module a concern; each module lists its own in ``MODELS``."""
