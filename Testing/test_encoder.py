"""The encoder: taking over ImageNet weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from FewShotSegLib.network.encoder import InvertedResidual, LiteEncoder


def test_folded_batch_normalisation_equals_convolution_then_normalisation() -> None:
    torch.manual_seed(5)
    encoder = LiteEncoder().eval()
    references: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []
    state: dict[str, Tensor] = {}

    def add(conv: nn.Conv2d, conv_key: str, norm_key: str, inputs: int | None = None) -> None:
        plain = nn.Conv2d(
            inputs or conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            groups=conv.groups,
            bias=False,
        )
        norm = nn.BatchNorm2d(conv.out_channels, eps=1e-3)
        for parameter in (norm.weight, norm.bias, norm.running_mean):
            nn.init.normal_(parameter, 0.5, 0.2)  # type: ignore[arg-type]
        nn.init.uniform_(norm.running_var, 0.5, 2)  # type: ignore[arg-type]
        state.update({f"{conv_key}.{k}": v for k, v in plain.state_dict().items()})
        state.update({f"{norm_key}.{k}": v for k, v in norm.state_dict().items()})
        references.append((plain, norm.eval()))

    add(encoder.stem, "_conv_stem", "_bn0", inputs=3)
    blocks = [module for module in encoder.modules() if isinstance(module, InvertedResidual)]
    assert len(blocks) == 16
    for i, block in enumerate(blocks):
        if block.expand is not None:
            add(block.expand, f"_blocks.{i}._expand_conv", f"_blocks.{i}._bn0")
        add(block.depthwise, f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1")
        add(block.project, f"_blocks.{i}._project_conv", f"_blocks.{i}._bn2")
    encoder.load_imagenet(state)

    folded = [module for module in encoder.modules() if isinstance(module, nn.Conv2d)]
    with torch.inference_mode():
        for conv, (plain, norm) in zip(folded, references, strict=True):
            x = torch.randn(1, conv.in_channels, 9, 9)
            grey = x.expand(-1, 3, -1, -1) if conv is encoder.stem else x
            torch.testing.assert_close(conv(x), norm(plain(grey)), rtol=1e-3, atol=1e-4)
