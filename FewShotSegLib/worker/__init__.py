"""The engine in a process of its own, for applications that must not wait, run out of memory or crash with it.

`python -m FewShotSegLib.worker FOLDER` reads requests from standard input and writes answers to standard output, one
JSON object a line. Arrays travel as .npy files in the folder, which belongs to this conversation alone and is removed
when it ends. It ends when standard input does, hence also when the application dies.

Requests:

* `{"do": "segment", "run": 1, "device": "auto", "refine": true, "quality": "best", "volumes": [VOLUME, ...],
  "examples": [EXAMPLE, ...]}`; the first volume is the query. VOLUME is `{"array": FILE, "spacing": [..3],
  "origin": [..3], "direction": [..9], "name": TEXT}`, in LPS as `FewShotSegLib.Volume`; EXAMPLE is `{"volume": NUMBER,
  "axis": 0, "index": 12, "mask": FILE, "names": {"1": TEXT}}`. `refine` may be a strength between 0 and 1, `quality` is
  one of `FewShotSegLib.quality`. Files are named relative to the folder, and are removed once read.
* `{"do": "cancel", "run": 1}`: the run ends at its next step, mostly within a fraction of a second.

Answers:

* `{"is": "ready"}` once, after the start.
* `{"is": "progress", "run": 1, "stage": TEXT, "done": 3, "total": 40, "part": 0.25}`, at most about ten times a second,
  and for each new stage. The stages are those of `FewShotSegLib.stages`; `part` is the part of the whole run that is
  done, null while the network is loaded.
* `{"is": "finished", "run": 1, "labels": FILE, "confidence": FILE, "device": TEXT}`.
* `{"is": "failed", "run": 1, "kind": KIND, "message": TEXT}`; KIND is "input" (the engine refused what it was given),
  "memory", "disk" (no room for results), "packages" (one is missing or broken) or "crash" (anything else; the
  traceback goes to standard error).
* `{"is": "cancelled", "run": 1}`.

All answers' files have the run's number and a dash before their name. Every run that was asked for gets one of the last
three answers. Runs are done one after the other. The network, and what is known of the latest query, stay between runs.
"""
