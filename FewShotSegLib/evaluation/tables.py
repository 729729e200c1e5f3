"""All tables of a set of results."""

from __future__ import annotations

from collections.abc import Sequence

from FewShotSegLib.evaluation import comparison, engine, report
from FewShotSegLib.evaluation.baselines import method as baselines
from FewShotSegLib.evaluation.corrections_report import corrections_section, is_correction
from FewShotSegLib.evaluation.results import Record

ABLATION = "What each part brings"
EQUAL_BUDGET = "Networks at an equal budget of training"


def all_tables(records: Sequence[Record], reference: str, title: str = "Benchmark") -> str:
    """Markdown of everything that is measured: means, differences between protocols and methods, and Dice per label.

    Args:
        records: Results of any methods and protocols.
        reference: Name of the method that the others are compared with.
        title: Heading.
    """
    once = [record for record in records if not is_correction(record)]
    variants = [record for record in once if record["method"] == engine.MODEL or engine.is_variant(record["method"])]
    networks = [record for record in once if record["method"] in baselines.METHOD_NAMES]
    rest = [record for record in once if not engine.is_variant(record["method"])]
    sections = [
        comparison.painting_section(rest),
        corrections_section(records),
        comparison.matrix_section(variants, engine.MODEL, ABLATION),
        comparison.matrix_section(networks, baselines.METHOD_NAMES[0], EQUAL_BUDGET),
        comparison.published_section(rest),
        comparison.difference_section(rest, reference),
    ]
    return report.to_markdown(once, title, [section for section in sections if section])
