"""What the Extensions Index checks before it lists an extension, and what its reviewers ask for, without a network."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cmake_files import commands, variables
from PIL import Image

NAME = "FewShotSeg"
#: Keys of a catalogue entry, version 1.0.1 of its schema, and their types.
SCHEMA = (
    "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/slicer-extension-catalog-entry-schema-v1.0.1.json#"
)
KEYS: dict[str, type] = {
    "$schema": str,
    "category": str,
    "scm_url": str,
    "scm_revision": str,
    "scm_type": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "enabled": bool,
    "tier": int,
}


#: Branches of the Extensions Index: Slicer's preview and its current stable version.
BRANCHES = ("main", "5.12")


@pytest.fixture(scope="module", params=BRANCHES)
def entry_file(request: pytest.FixtureRequest, repository: Path) -> Path:
    return repository / "Resources" / "ExtensionsIndex" / request.param / f"{NAME}.json"


@pytest.fixture(scope="module")
def entry(entry_file: Path) -> dict[str, Any]:
    return json.loads(entry_file.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def extension(repository: Path) -> dict[str, str]:
    """The extension's metadata as CMake sees it; each must be one value, since Slicer hands them on unquoted."""
    metadata = {}
    for name, values in variables(repository / "CMakeLists.txt").items():
        if name.startswith("EXTENSION_"):
            assert len(values) == 1, name
            assert ";" not in values[0], f"CMake would make a list of {name}"
            metadata[name.removeprefix("EXTENSION_")] = values[0]
    return metadata


@pytest.fixture(scope="module")
def readme(repository: Path) -> str:
    return (repository / "README.md").read_text(encoding="utf-8")


def file_of(url: str, entry: dict[str, Any], repository: Path) -> Path:
    """The file of the repository that a raw link leads to."""
    owner_and_name = urlsplit(entry["scm_url"]).path
    prefix = f"https://raw.githubusercontent.com{owner_and_name}/{entry['scm_revision']}/"
    assert url.startswith(prefix), f"{url} is no raw link into {entry['scm_url']}"
    return repository / url.removeprefix(prefix)


def test_the_catalogue_entry_is_plain_json_with_unix_line_ends(entry_file: Path) -> None:
    content = entry_file.read_bytes()
    assert b"\r" not in content
    assert content.endswith(b"}\n")
    json.loads(content)


def test_the_catalogue_entry_meets_its_schema(entry: dict[str, Any]) -> None:
    assert entry["$schema"] == SCHEMA
    assert {"$schema", "category", "scm_url"} <= entry.keys() <= KEYS.keys()
    for key, value in entry.items():
        assert isinstance(value, KEYS[key]), key
    assert all(isinstance(name, str) for name in entry["build_dependencies"])
    assert 1 <= entry["tier"] <= 5


def test_the_catalogue_knows_the_category(entry: dict[str, Any]) -> None:
    assert entry["category"] == "Segmentation"


def test_the_repository_is_named_slicer_and_the_extension_is_not(entry: dict[str, Any]) -> None:
    address = urlsplit(entry["scm_url"])
    assert (address.scheme, address.netloc) == ("https", "github.com")
    assert address.path.removesuffix(".git").split("/")[2] == f"Slicer{NAME}"
    assert not NAME.lower().startswith("slicer")


def test_the_entry_and_cmake_say_the_same(
    entry: dict[str, Any], entry_file: Path, extension: dict[str, str], repository: Path
) -> None:
    (project,) = [arguments for command, arguments in commands(repository / "CMakeLists.txt") if command == "project"]
    assert project[0] == entry_file.stem == NAME
    assert extension["DEPENDS"].split() == entry["build_dependencies"] == ["PyTorch"]
    assert extension["HOMEPAGE"] == entry["scm_url"]


def test_no_metadata_is_missing_or_left_over_from_a_template(extension: dict[str, str]) -> None:
    for name in ("HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS"):
        assert extension[name].strip(), name
    assert not re.search(r"TemplateKey|John Doe|example\.com", " ".join(extension.values()))


def test_the_description_tells_in_a_few_sentences_what_the_extension_is_for(extension: dict[str, str]) -> None:
    assert 1 <= len(re.findall(r"\.(?:\s|$)", extension["DESCRIPTION"])) <= 4
    assert 80 <= len(extension["DESCRIPTION"]) <= 500
    assert "segmentation" in extension["DESCRIPTION"]


@pytest.mark.parametrize("name", ["ICONURL", "SCREENSHOTURLS"])
def test_urls_are_written_so_that_the_indexs_pattern_finds_them(
    repository: Path, extension: dict[str, str], name: str
) -> None:
    # The index reads the file with patterns: one line, in quotes, no variables.
    text = (repository / "CMakeLists.txt").read_text(encoding="utf-8")
    (found,) = re.findall(rf'^set\(EXTENSION_{name} "([^"$\n]+)"\)$', text, re.MULTILINE)
    assert found == extension[name]


def test_the_icon_is_a_png_of_128_by_128_with_a_transparent_background(
    repository: Path, entry: dict[str, Any], extension: dict[str, str]
) -> None:
    icon = file_of(extension["ICONURL"], entry, repository)
    # The same file is the module's icon, which Slicer finds by the module's name.
    assert icon == repository / NAME / "Resources" / "Icons" / f"{NAME}.png"
    with Image.open(icon) as image:
        assert (image.format, image.size, image.mode) == ("PNG", (128, 128), "RGBA")
        assert image.getchannel("A").getextrema() == (0, 255)


def test_the_icon_is_what_its_script_draws(repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(repository / "Resources" / "draw_icon.py"), str(tmp_path / "icon.png")]
    subprocess.run(command, check=True, timeout=120)
    with (
        Image.open(tmp_path / "icon.png") as drawn,
        Image.open(repository / NAME / "Resources" / "Icons" / f"{NAME}.png") as kept,
    ):
        # Versions of pillow differ by a rounding; a different drawing differs by much more.
        differences = [abs(a - b) for a, b in zip(drawn.tobytes(), kept.tobytes(), strict=True)]
    assert sum(differences) / len(differences) < 1


def test_every_screenshot_is_a_picture_of_the_repository(
    repository: Path, entry: dict[str, Any], extension: dict[str, str]
) -> None:
    urls = extension["SCREENSHOTURLS"].split()
    assert urls
    for url in urls:
        with Image.open(file_of(url, entry, repository)) as image:
            assert image.format in ("PNG", "JPEG")
            assert min(image.size) >= 300, f"{url} is too small to show anything"


def test_the_licence_is_where_reviewers_look_and_is_packaged(
    repository: Path, extension: dict[str, str], readme: str
) -> None:
    text = (repository / "LICENSE.txt").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Apache-2.0" in readme
    assert extension["LICENSE_FILE"] == "${CMAKE_CURRENT_SOURCE_DIR}/LICENSE.txt"
    assert extension["README_FILE"] == "${CMAKE_CURRENT_SOURCE_DIR}/README.md"


@pytest.mark.parametrize(
    ("page", "heading"),
    [
        ("README.md", "What it does"),
        ("README.md", "Installation"),
        ("README.md", "Tutorial"),
        ("README.md", "Help"),
        ("README.md", "Citing"),
        ("README.md", "Licences"),
        ("Resources/Docs/panel.md", "The panel"),
        ("Resources/Docs/python.md", "From Slicer's Python console"),
        ("Resources/Docs/installation.md", "Without a network"),
        ("Resources/Docs/troubleshooting.md", "Troubleshooting"),
    ],
)
def test_the_pages_have_what_reviewers_ask_for(repository: Path, page: str, heading: str) -> None:
    text = (repository / page).read_text(encoding="utf-8")
    assert re.search(rf"^#+ {re.escape(heading)}$", text, re.MULTILINE), f"{page} has no section {heading!r}"


def test_the_readme_leads_to_every_page_of_the_documentation(repository: Path, readme: str) -> None:
    index = (repository / "Resources" / "Docs" / "README.md").read_text(encoding="utf-8")
    for page in sorted((repository / "Resources" / "Docs").glob("*.md")):
        assert page.name == "README.md" or f"]({page.name})" in index, page.name
        assert page.name in ("README.md", "training.md") or f"](Resources/Docs/{page.name})" in readme, page.name


def test_the_readme_is_read_in_two_minutes_but_for_its_tutorial(readme: str) -> None:
    before, _, rest = readme.partition("## Tutorial")
    assert len((before + rest.partition("\n## ")[2]).split()) <= 600


def test_the_readme_shows_the_module_and_names_the_paper_the_weights_licence_and_the_sample(readme: str) -> None:
    assert f"# {NAME}" in readme.splitlines()[0]
    assert "](Resources/Screenshots/panel_result.png)" in readme
    assert "https://doi.org/10.1016/j.artmed.2025.103183" in readme
    assert "](FewShotSegLib/weights/README.md)" in readme
    assert "Sample Data" in readme
