"""Benchmarks of the engine: data sets, frozen episodes, measures, peers and the command that ties them together.

Evaluation imports the engine, never the other way round. Nothing here is needed to segment a volume.
"""
