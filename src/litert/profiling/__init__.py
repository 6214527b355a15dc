"""Profiles: where the time of runs goes, operator by operator."""
