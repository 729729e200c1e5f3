"""Which of two results is the surer one."""

from __future__ import annotations

from FewShotSegModule.runs.run_result import RunResult


def isSurer(result: RunResult, shown: RunResult) -> bool:
    """Whether a result is surer where it differs from the one that is shown, by the mean confidence there.

    :param result: Of the same volume and examples as the one that is shown.
    """
    if result.labels.shape != shown.labels.shape or result.structures != shown.structures:
        return True
    changed = result.labels != shown.labels
    return bool(changed.any()) and float(result.confidence[changed].mean()) > float(shown.confidence[changed].mean())
