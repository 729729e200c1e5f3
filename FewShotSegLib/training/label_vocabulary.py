"""One number per structure name, so that a liver is the same label in every data set."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

VOCABULARY_FILE = "vocabulary.json"
_SIDES = {"lt": "left", "rt": "right", "l": "left", "r": "right"}
_SYNONYMS = {"oesophagus": "esophagus"}
_SAME = {"small_intestine": "small_bowel"}


def common_name(name: str) -> str:
    """Return the spelling shared by all data sets: lower-case words joined by "_", a side as the last word.

    Example:
        >>> common_name("Parotid-Lt"), common_name("right parotid"), common_name("vertebrae_T12")
        ('parotid_left', 'parotid_right', 'vertebrae_t12')
    """
    words = [_SYNONYMS.get(word, _SIDES.get(word, word)) for word in re.split(r"[\s_-]+", name.strip().lower())]
    if words[0] in ("left", "right") and len(words) > 1:
        words = words[1:] + words[:1]
    joined = "_".join(words)
    return _SAME.get(joined, joined)


def structure_family(name: str) -> str:
    """Return the name without side and number, so that both kidneys or all ribs count as the same tissue."""
    words = [word for word in common_name(name).split("_") if word not in ("left", "right", "upper", "middle", "lower")]
    words = [word for word in words if not re.fullmatch(r"[ctls]?\d+", word)]
    return "_".join(words) or name


def extend_vocabulary(cache_dir: Path, names: Iterable[str]) -> dict[str, int]:
    """Return name -> value for all names, and remember it in the cache; known names never change their value."""
    path = cache_dir / VOCABULARY_FILE
    vocabulary: dict[str, int] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name in sorted({common_name(name) for name in names}):
        vocabulary.setdefault(name, len(vocabulary) + 1)
    path.write_text(json.dumps(vocabulary, indent=1) + "\n", encoding="utf-8")
    return vocabulary
