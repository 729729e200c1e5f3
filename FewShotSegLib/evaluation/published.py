"""Published figures of the field's own one-shot protocol (EP1), to stand beside measured ones.

Mean Dice in percent over liver, kidneys and spleen (MR: CHAOS; CT: Synapse/BTCV) or myocardium, left and right
ventricle (CMR: MS-CMRSeg bSSFP), as their papers print them. Every one of these methods was trained on images of the
very data set it was tested on. S1: the tested organs may lie unlabelled in training slices. S2: such slices were left
out. Re-runs of one method differ by up to 5 points.
"""

from __future__ import annotations

from dataclasses import dataclass

SET_COLUMNS = {"CHAOS_T2": "MR", "SABS_CT": "CT", "CMR_bSSFP": "CMR"}
"""Our data sets and the columns that report the same organs of the same public set."""


@dataclass(frozen=True)
class Published:
    """One method's figures, None where its paper has none.

    Attributes:
        method: Its name and year.
        setting: "S1", "S2" or "supervised".
        mr: Mean Dice in percent on abdominal MR.
        ct: On abdominal CT.
        cmr: On cardiac MR.
    """

    method: str
    setting: str
    mr: float | None = None
    ct: float | None = None
    cmr: float | None = None

    def of_set(self, dataset: str) -> float | None:
        """The figure of one of our data sets."""
        return {"MR": self.mr, "CT": self.ct, "CMR": self.cmr}[SET_COLUMNS[dataset]]


EP1 = (
    Published("ALPNet (2020)", "S1", 78.8, 73.4, 76.9),
    Published("Q-Net", "S1", 81.0, 75.5, 78.2),
    Published("RPT (2023)", "S1", 82.4, 77.8, 79.2),
    Published("GMRD (2024)", "S1", 82.9, 78.5, 79.1),
    Published("PGRNet (2025)", "S1", 83.5, 77.2, 78.5),
    Published("PONet (2025)", "S1", 86.0, 81.1, 80.0),
    Published("FoB + SAM ViT-H (2026)", "S1", 84.5, 86.2),
    Published("RE-SAM2 (tuned for each task)", "S1", cmr=82.2),
    Published("ALPNet (2020)", "S2", 73.0, 63.0),
    Published("ALPNet + boundary prior (2022)", "S2", 76.8, 67.6),
    Published("Q-Net", "S2", 68.6, 64.2),
    Published("RPT (2023)", "S2", 79.0, 71.7),
    Published("GMRD (2024)", "S2", 79.7, 77.3),
    Published("DINOv2-ALPNet + component filter", "S2", 78.4, 73.2),
    Published("PONet (2025)", "S2", 81.0, 75.1),
    Published("FoB + SAM ViT-H (2026)", "S2", 80.5, 84.8),
    Published("RE-SAM2 (tuned for each task)", "S2", 85.3, 86.1),
    Published("nnU-Net 2D", "supervised", 90.3, 87.5),
)
