"""A drill: bad inputs and injected faults, each of which must end in a right result or a clear message.

`make drill` runs all of them and writes what was done, expected and got to `Testing/drill/results.md`; `make test` runs
the short ones. After each, nothing may be left behind: no part of a file, no changed file, no process.
"""
