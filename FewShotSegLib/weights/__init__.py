"""The bundled weights: where they lie, how they are checked, read and written. Nothing here uses pickle."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..errors import WeightsError
from ..network.config import NetworkConfig
from ..network.model import FewShotNetwork

BUNDLED = Path(__file__).parent / "ipl_sl.safetensors"
_FORMAT = "fewshotseg-1"


def checksum(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def checksum_file(path: Path) -> Path:
    """Where the checksum of a weights file stands: beside it, in the form of `sha256sum`."""
    return path.with_name(path.name + ".sha256")


def load_network(path: str | Path | None = None, **switches: bool) -> FewShotNetwork:
    """Builds the network and fills it with weights.

    Args:
        path: weights file; the bundled one if None.
        **switches: `use_*` fields of :class:`NetworkConfig` to change, for ablation.

    Returns:
        the network in evaluation mode, float32, on the CPU.

    Raises:
        WeightsError: the file is missing, truncated, altered, or of another format.
    """
    file = Path(path) if path is not None else BUNDLED
    if not file.is_file():
        raise WeightsError(f"No weights at {file}; reinstall FewShotSeg, or name a .safetensors file that exists.")
    _verify(file, required=path is None)
    try:
        with safe_open(str(file), framework="pt", device="cpu") as opened:
            metadata = opened.metadata() or {}
            state = {key: opened.get_tensor(key).float() for key in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{file} can't be read as weights ({error}); it is truncated or no safetensors file. Fetch it again."
        ) from error
    if metadata.get("format") != _FORMAT:
        raise WeightsError(
            f"{file} has the format {metadata.get('format')!r}, expected {_FORMAT!r}; use weights of this version."
        )
    fields = json.loads(metadata["config"])
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    config = NetworkConfig(**(fields | switches))
    network = FewShotNetwork(config)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"{file} doesn't fit the network: {error}") from error
    return network.eval().requires_grad_(False)


def _verify(file: Path, required: bool) -> None:
    beside = checksum_file(file)
    if not beside.is_file():
        if required:
            raise WeightsError(f"The checksum {beside.name} beside {file} is missing; reinstall FewShotSeg.")
        return
    expected = (beside.read_text(encoding="ascii", errors="replace").split() or ["nothing"])[0]
    found = checksum(file)
    if found != expected:
        raise WeightsError(
            f"{file} has the SHA-256 {found[:12]}..., expected {expected[:12]}...: truncated or altered. "
            "Fetch it again."
        )


def save_network(state: dict[str, torch.Tensor], config: NetworkConfig, path: Path, about: dict[str, str]) -> None:
    """Writes weights in half precision with their checksum, each under a temporary name first.

    Args:
        state: state dict of a :class:`FewShotNetwork`.
        config: its configuration.
        path: ends in .safetensors.
        about: strings kept in the header, such as the number of episodes.
    """
    metadata = {"format": _FORMAT, "config": json.dumps(config.to_dict()), **about}
    half = {key: value.half().contiguous() for key, value in state.items()}
    part = path.with_name(path.name + ".part")
    save_file(half, str(part), metadata=metadata)
    part.chmod(0o644)  # the writer makes it readable by its owner only; an installation serves everybody
    os.replace(part, path)
    part.write_text(f"{checksum(path)}  {path.name}\n", encoding="ascii")
    os.replace(part, checksum_file(path))
