"""How much memory an object holds on to."""

from __future__ import annotations

import gc
from types import FunctionType, ModuleType

import numpy as np
import torch


def kept_bytes(kept: object) -> int:
    """Bytes of all tensors and arrays that can be reached from an object; of views, what they are views of."""
    sizes: dict[int, int] = {}
    seen: set[int] = set()
    ahead = [kept]
    while ahead:
        here = ahead.pop()
        if id(here) in seen or isinstance(here, type | FunctionType | ModuleType):
            continue
        seen.add(id(here))
        if isinstance(here, torch.Tensor):
            storage = here.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
        elif isinstance(here, np.ndarray) and here.base is None:
            sizes[id(here)] = here.nbytes
        elif isinstance(here, np.ndarray):
            ahead.append(here.base)
        else:
            ahead += gc.get_referents(here)
    return sum(sizes.values())
