"""Sizes of the network and the switches that turn single modules off for ablation."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class NetworkConfig:
    """Configuration of :class:`~FewShotSegLib.network.model.FewShotNetwork`.

    The `use_*` switches keep every tensor's shape: a module that is off hands on zeros, so one set of weights can be
    evaluated with any of them off.

    Attributes:
        mid_channels: channels of the mid-level map (stride 8).
        high_channels: channels of the high-level map (stride 8).
        separation_channels: channels of the low-level map that is split into foreground and background (stride 4).
        low_channels: channels of the boundary maps at strides 4 and 2.
        head_channels: of the segment head at strides 8, 4 and 2.
        stack_channels: of what is kept of each slice for the context of its neighbours (stride 8).
        cells: a support slice is cut into `cells` x `cells` cells; each cell gives local prototypes.
        use_mean_prototypes: mean prototypes on mid-level features (paper: IPL).
        use_peak_prototypes: peak prototypes on high-level features (paper: deep encoding-decoding module, IPL).
        use_interaction: support and query prototypes interact (paper: IPL).
        use_self_learning: query-guided self-learning prototypes (paper: SL).
        use_separation: foreground and background separated at feature level by the query's own features (paper: SL).
        use_low_level: low-level maps complete the boundary (paper: SL).
        use_shape: the shape interpolated between painted slices (this project).
        use_geodesic: geodesic distances from the painted slices (this project).
        use_stack: context of neighbouring slices (this project).
        use_position: position in the body, from examples of other volumes (this project).
    """

    mid_channels: int = 64
    high_channels: int = 96
    separation_channels: int = 16
    low_channels: tuple[int, int] = (24, 8)
    head_channels: tuple[int, int, int] = (48, 32, 16)
    stack_channels: int = 16
    cells: int = 4
    use_mean_prototypes: bool = True
    use_peak_prototypes: bool = True
    use_interaction: bool = True
    use_self_learning: bool = True
    use_separation: bool = True
    use_low_level: bool = True
    use_shape: bool = True
    use_geodesic: bool = True
    use_stack: bool = True
    use_position: bool = True

    def to_dict(self) -> dict:
        return asdict(self)
