"""Turns a checkpoint's averaged weights into a weights file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from ..network.config import NetworkConfig
from ..weights import save_network
from .trainer import CHECKPOINT


def export(run: Path, output: Path, config: NetworkConfig, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Writes the averaged weights of a run.

    Args:
        run: folder with a checkpoint.
        output: weights file to write, ending in .safetensors.
        config: of the trained network.
        more: further strings for the file's header.

    Returns:
        what the file's header says about the training: episodes, steps, seconds.
    """
    state = torch.load(run / CHECKPOINT, weights_only=True, map_location="cpu")
    about = {"episodes": str(state["episodes"]), "steps": str(state["step"]), "seconds": f"{state['seconds']:.0f}"}
    save_network(state["average"], config, output, about | dict(more or {}))
    return about
