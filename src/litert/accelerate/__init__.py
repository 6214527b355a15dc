"""Where a model runs, and how fast each part of it is."""
