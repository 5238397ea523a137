"""Passes over datasets: which samples come out, in which order, for whom, and where a pass is."""
