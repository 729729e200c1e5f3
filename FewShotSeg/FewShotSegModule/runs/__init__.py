"""Runs of the engine in a process of its own."""
