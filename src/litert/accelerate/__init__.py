"""Accelerators and delegates: what a model runs on, and how that is told."""
