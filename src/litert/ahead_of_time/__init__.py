"""Compiling models for NPUs ahead of time, with the vendors' compilers."""
