"""The weight of the repository and the links of its pages. The Extensions Index refuses clones over 100 MB."""

from __future__ import annotations

import csv
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

LARGEST_PACK = 80 * 10**6
PICTURES_OF_THE_README, LARGEST_PICTURE = 4, 150_000


def git(repository: Path, *arguments: str, stdin: str = "") -> bytes:
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, check=True, capture_output=True, input=stdin.encode(), timeout=120).stdout


@pytest.fixture(scope="module")
def clone(repository: Path) -> Path:
    if not (repository / ".git").exists():
        pytest.skip("there is no git history here")
    return repository


@pytest.fixture(scope="module")
def tracked(clone: Path) -> list[str]:
    """Files of the last commit and the index that are still there."""
    names = git(clone, "ls-files", "-z").decode().rstrip("\0").split("\0")
    return [name for name in names if (clone / name).is_file()]


def pages(repository: Path) -> Iterator[Path]:
    """All pages that people read, those of the environment and of other clones left out."""
    yield from repository.glob("*.md")
    for folder in (".github", "FewShotSegLib", "Resources", "Testing"):
        yield from (repository / folder).rglob("*.md")


def anchors(page: Path) -> set[str]:
    """What links can lead to within a page: its headings, as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_no_file_is_larger_than_the_commit_hook_allows(clone: Path, tracked: list[str]) -> None:
    rules = (clone / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    found = re.search(r"id: check-added-large-files\n +args: \[--maxkb=(\d+).*\n +exclude: (\S+)", rules)
    assert found is not None
    limit, excepted = int(found[1]) * 1024, re.compile(found[2])
    assert limit <= 300 * 1024
    large = [name for name in tracked if (clone / name).stat().st_size > limit]
    assert [name for name in large if not excepted.match(name)] == []
    assert len(large) == excepted.pattern.count("|") + 1, "an exception that nothing needs any more"


def test_what_a_fresh_clone_downloads_stays_small(clone: Path) -> None:
    # What the branch reaches, packed; what lies in this copy's own object store may be several times that.
    assert len(git(clone, "pack-objects", "--revs", "--stdout", "-q", stdin="HEAD\n")) < LARGEST_PACK


def test_pictures_that_a_command_draws_are_not_kept(tracked: list[str]) -> None:
    assert [name for name in tracked if name.startswith("Testing/") and name.endswith((".png", ".jpg", ".svg"))] == []


def test_the_readme_shows_few_and_small_pictures(repository: Path) -> None:
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (repository / "README.md").read_text(encoding="utf-8"))
    assert 1 <= len(pictures) <= PICTURES_OF_THE_README
    for name in pictures:
        assert (repository / name).stat().st_size <= LARGEST_PICTURE, name


def test_every_local_link_leads_to_a_page_and_to_a_heading_of_it(repository: Path) -> None:
    for page in pages(repository):
        text = re.sub(r"<!--.*?-->|```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if "://" in target or target.startswith("mailto:"):
                continue
            path, _, anchor = target.partition("#")
            place = (page.parent / path).resolve() if path else page
            assert place.exists(), f"{page.relative_to(repository)} links to {target}"
            if anchor:
                assert anchor in anchors(place), f"{page.relative_to(repository)} links to {target}"


def test_trials_are_a_table_that_tells_of_each_whether_it_was_kept_and_where_it_is(repository: Path) -> None:
    with (repository / "Testing" / "benchmark" / "trials.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) > 100
    for row in rows:
        assert row.keys() == {"area", "trial", "kept", "figures", "where"}
        assert row["area"], row
        assert row["trial"], row
        assert row["figures"], row
        assert row["kept"] in ("yes", "no", "measured", "replaced", "until the redesign"), row
        places = row["where"].split(", ") if row["kept"] == "yes" and "/" in row["where"] else []
        for place in places:
            assert list((repository / "FewShotSegLib").rglob(place)), row
