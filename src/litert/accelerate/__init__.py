"""Accelerators, delegates and profiles: what a model runs on, and how that is told."""
