"""The field's own protocol: research weights trained in-domain, on unlabelled images of the set they are tested on.

Most published one-shot figures were made so: superpixels of a data set's training cases give the episodes, and the
cases of the fold that was held out are segmented (self-supervision by superpixels: Ouyang et al., ECCV 2020). Setting
S1 trains on all slices, so that the organs that are tested later may lie in them, unlabelled. Setting S2 leaves out
every slice that holds any of them.

``python -m FewShotSegLib.evaluation.in_domain`` trains such weights. They are research weights, for this comparison
only: they are no part of the repository, and the bundled ones see no image of these sets.
"""
