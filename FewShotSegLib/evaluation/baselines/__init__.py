"""The field's baselines, written from their papers on this project's encoder, episodes and budget.

What differs between them, and from IPL+SL, is then the method. All of them run inside the engine (same frames, zoom,
merging and refinement), but none is given the evidence of painted slices, which is not theirs. Their weights are
research weights and are not part of the repository; ``python -m FewShotSegLib.evaluation.baselines`` trains them.
"""
