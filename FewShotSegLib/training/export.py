"""Turns a checkpoint's averaged weights into a weights file."""

from __future__ import annotations

from pathlib import Path

import torch

from ..network.config import NetworkConfig
from ..weights import save_network
from .trainer import CHECKPOINT


def export(run: Path, output: Path) -> dict[str, str]:
    """Writes the averaged weights of a run; returns what the file's header says."""
    state = torch.load(run / CHECKPOINT, weights_only=True, map_location="cpu")
    about = {"episodes": str(state["episodes"]), "steps": str(state["step"]), "seconds": f"{state['seconds']:.0f}"}
    save_network(state["average"], NetworkConfig(), output, about)
    return about
