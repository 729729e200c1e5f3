"""One prototype and a learned threshold: ADNet (Hansen et al., Medical Image Analysis 78, 2022, section 3).

PANet's masked average pooling (Wang et al., ICCV 2019, section 3.3) gives one foreground prototype. The background, too
varied for a prototype, is whatever is less similar to it than a threshold that is learned.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from FewShotSegLib.evaluation.baselines.base import Baseline, BaselineSupport, Neck, alignment_loss
from FewShotSegLib.network.encoding_decoding import Features
from FewShotSegLib.network.prototypes import cosine_maps, mean_pool

SCALE = 20.0
STEEPNESS = 0.5
FIRST_THRESHOLD = -10.0


class ADNet(Baseline):
    """Anomaly score S = -20 cos(feature, prototype); inside where S is under the threshold T."""

    def __init__(self) -> None:
        super().__init__()
        self.neck = Neck()
        self.threshold = nn.Parameter(torch.tensor(FIRST_THRESHOLD))

    def compare(self, features: Features, support: BaselineSupport) -> Tensor:
        """Logits (Q, L, h, w): the foreground probability is 1 - sigmoid(0.5 (S - T))."""
        painted = self.neck(support.features).transpose(0, 1).flatten(1)
        masks = support.masks[:, 1:].to(painted.dtype).transpose(0, 1).flatten(1)
        score = -SCALE * cosine_maps(self.neck(features), mean_pool(painted, masks))
        return STEEPNESS * (self.threshold - score)

    def auxiliary(
        self, features: Features, support: BaselineSupport, logits: Tensor, fractions: Tensor
    ) -> dict[str, Tensor]:
        """Alignment, and the threshold's own loss T / 20, which keeps the foreground compact."""
        return {
            "alignment": alignment_loss(self, features, support, logits),
            "threshold": self.threshold / SCALE,
        }
