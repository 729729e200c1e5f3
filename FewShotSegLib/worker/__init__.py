"""The engine in a process of its own, for applications that must not wait, run out of memory or crash with it.

How it is started and what is said is in `FewShotSegLib.worker.protocol`.
"""
