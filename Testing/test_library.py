"""The example library: what goes in comes out, from memory, a folder or an archive."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from library_files import OBLIQUE, a_library, a_slice, an_image, change_description, content_of, pack
from two_balls import NAMES, painted, two_balls

from FewShotSegLib import Example, ExampleError, ReadError, Segmenter, Volume, WriteError
from FewShotSegLib.library import Library

PLACES = ("lib", "lib.zip")
VALUES = (1, 7, 300, 32768)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(str.strip)


@st.composite
def painted_scans(draw: st.DrawFn) -> list[Example]:
    """One or two scans of any type and place, with one to four slices along any axes."""
    examples = []
    for seed in range(draw(st.integers(1, 2))):
        kind = draw(st.sampled_from(("int16", "uint8", "float32", "float64", "uint16", "int64")))
        shape = draw(st.tuples(*[st.integers(1, 5)] * 3))
        array = np.random.default_rng(seed).normal(100, 50, shape).astype(kind)
        spacing = draw(st.tuples(*[st.floats(0.01, 10)] * 3))
        direction = draw(
            st.sampled_from((OBLIQUE, (0.0, 1, 0, -1, 0, 0, 0, 0, 1), (1, 0, 0, 0, 1, 0.2588, 0, 0, 0.9659)))
        )
        image = Volume.from_array(array, spacing, draw(st.tuples(*[st.floats(-1e4, 1e4)] * 3)), direction, name="x")
        named = dict(zip(VALUES, draw(st.lists(names, min_size=4, max_size=4, unique=True)), strict=True))
        colors = draw(st.dictionaries(st.sampled_from(VALUES), st.tuples(*[st.floats(0, 1)] * 3)))
        places = st.sampled_from([(axis, index) for axis in range(3) for index in range(shape[axis])])
        for axis, index in draw(st.lists(places, min_size=1, max_size=4, unique=True)):
            plane = array.take(index, axis).shape
            mask = np.reshape(
                draw(
                    st.lists(st.sampled_from((0, *VALUES)), min_size=int(np.prod(plane)), max_size=int(np.prod(plane)))
                ),
                plane,
            )
            complete: Any = draw(
                st.none() | st.just("all") | st.sets(st.sampled_from(VALUES))
                | st.dictionaries(st.sampled_from(VALUES), st.booleans(), min_size=1)
            )  # fmt: skip
            background = draw(st.none() | st.sampled_from(VALUES))
            examples.append(Example(image, axis, index, mask, named, colors, complete, background))
    return examples


@settings(max_examples=60)
@given(painted_scans())
def test_whatever_is_painted_comes_back_from_memory_folder_and_archive(examples: list[Example]) -> None:
    library = Library()
    library.add(examples)
    with TemporaryDirectory() as folder:
        there = [library]
        for place in PLACES:
            library.save(Path(folder) / place)
            there.append(Library.open(Path(folder) / place))
        for one in there:
            assert content_of(one) == content_of(library)
            assert one.fingerprint == library.fingerprint
            found = one.examples()
            assert len({id(example.image) for example in found}) == len(one.entries)
            for mine, given_ in zip(found, examples, strict=True):
                assert (mine.axis, mine.index) == (given_.axis, given_.index)
                np.testing.assert_array_equal(mine.image.array, given_.image.array)
                assert mine.image.array.dtype == given_.image.array.dtype
                assert mine.image.array.flags.writeable
                for field in ("spacing", "origin", "direction"):
                    assert getattr(mine.image, field) == getattr(given_.image, field)
                assert names_painted(mine) == names_painted(given_)
                assert named_knowledge(mine) == named_knowledge(given_)


def names_painted(example: Example) -> list[list[str]]:
    """The mask with names for values."""
    return [[example.names.get(value, "") for value in row] for row in example.mask.tolist()]


def named_knowledge(example: Example) -> tuple[object, str | None]:
    """What is known of a slice, with names for values; "all" as a mapping of all structures."""
    complete: object = example.complete
    if complete == "all":
        complete = {value: True for value in example.names if value != example.background}
    if isinstance(complete, dict):
        complete = {example.names[value]: whole for value, whole in complete.items()}
    elif isinstance(complete, frozenset):
        complete = {example.names[value] for value in complete}
    return complete, None if example.background is None else example.names[example.background]


def test_one_name_is_one_structure_whatever_its_value_and_values_that_collide_change() -> None:
    library = Library()
    library.add([a_slice(an_image(1), 2, {1: "liver", 2: "spleen"}, complete={1: True, 2: False})])
    library.add([a_slice(an_image(2), 2, {1: "spleen", 2: "liver", 5: "kidney"}, background=5)])
    library.add([a_slice(an_image(3), 2, {1: "pancreas"}, complete=[1])])
    assert {segment.name: segment.value for segment in library.segments} == {
        "liver": 1, "spleen": 2, "pancreas": 3, "kidney": 5
    }  # fmt: skip
    first, second, third = library.examples()
    assert (first.mask[1, 1], first.mask[2, 1], first.complete) == (1, 2, {1: True, 2: False})
    assert (second.mask[1, 1], second.mask[2, 1], second.mask[3, 1], second.background) == (2, 1, 5, 5)
    assert (third.mask[1, 1], third.complete, third.names) == (3, {3}, {3: "pancreas"})


def test_labels_and_background_without_a_name_get_one() -> None:
    library = Library()
    library.add([a_slice(an_image(), 2, {4: "", 9: ""}, background=9, complete=[4, 6])])
    assert [segment.name for segment in library.segments] == ["label 4", "label 6", "background"]
    assert library.examples()[0].background == 9


def test_slices_of_one_scan_share_an_entry_even_if_the_file_was_read_twice() -> None:
    library = Library()
    assert library.add([a_slice(an_image(1), 2, {1: "liver"}), a_slice(an_image(2), 2, {1: "liver"})]) == [
        "scan-1", "scan-2"
    ]  # fmt: skip
    assert library.add([a_slice(an_image(1), 4, {1: "liver"}), a_slice(an_image(1), 2, {1: "liver"})]) == ["scan-1"]
    assert [len(entry.slices) for entry in library.entries] == [2, 1]
    before = library.fingerprint
    with pytest.raises(ExampleError, match=r"Slice 2 along k of scan 1 is in the library already"):
        library.add([a_slice(an_image(3), 1, {1: "liver"}), a_slice(an_image(1), 2, {1: "liver", 2: "spleen"})])
    assert library.fingerprint == before
    assert len(library.entries) == 2


def test_all_complete_is_not_said_of_structures_that_came_with_other_patients() -> None:
    library = Library()
    library.add([a_slice(an_image(1), 2, {1: "liver"}, complete="all")])
    assert library.examples()[0].complete == "all"
    library.add([a_slice(an_image(2), 2, {2: "spleen"}, complete="all")])
    assert [example.complete for example in library.examples()] == [{1: True}, {2: True}]
    library.remove("scan-2")
    assert library.examples()[0].complete == "all"


def test_merging_keeps_the_values_of_the_first_and_does_not_change_the_second(tmp_path: Path) -> None:
    other = Library()
    other.add(
        [a_slice(an_image(3), 2, {1: "spleen", 3: "liver"}), a_slice(an_image(1), 0, {1: "spleen"})],
        terminology={3: "Segmentation category~liver"}, title="patient with a fracture",
    )  # fmt: skip
    before = other.fingerprint
    library = a_library()
    assert library.merge(other) == ["scan-3", "scan-1"]
    assert other.fingerprint == before
    assert [(s.value, s.name, s.terminology) for s in library.segments] == [
        (1, "liver", "Segmentation category~liver"), (2, "spleen", "")
    ]  # fmt: skip
    assert [entry.title for entry in library.entries] == ["scan 1", "scan 2", "patient with a fracture"]
    library.save(tmp_path / "lib.zip")
    merged = library.fingerprint
    assert library.merge(other) == ["scan-3", "scan-1"], "what is there already isn't added again"
    assert library.fingerprint == merged == Library.open(tmp_path / "lib.zip").fingerprint


def test_a_merge_of_opened_libraries_reads_from_both_until_it_is_saved(tmp_path: Path) -> None:
    a_library().save(tmp_path / "one")
    other = Library()
    other.add([a_slice(an_image(5), 1, {4: "kidney"})])
    other.save(tmp_path / "two.zip")
    library = Library.open(tmp_path / "one")
    library.merge(Library.open(tmp_path / "two.zip"))
    library.save(tmp_path / "one")
    (tmp_path / "two.zip").unlink()
    assert content_of(library) == content_of(Library.open(tmp_path / "one"))
    assert len(library.entries) == 3


def test_renaming_changes_a_name_or_joins_two_structures_that_no_scan_has_both_of() -> None:
    library = Library()
    library.add([a_slice(an_image(1), 2, {1: "liver"}, complete="all"), a_slice(an_image(1), 0, {2: "cyst"})])
    library.add([a_slice(an_image(2), 2, {3: "Liver", 4: "rib"}, complete={3: True}, background=4)])
    library.rename("rib", "not this")
    library.rename("Liver", "liver")
    assert [segment.name for segment in library.segments] == ["liver", "cyst", "not this"]
    last = library.examples()[-1]
    assert (last.mask[1, 1], last.complete, last.names) == (1, {1: True}, {1: "liver", 4: "not this"})
    for old, new, message in (
        ("liver", "cyst", "scan 1 has both"), ("bone", "x", "expected one of: 'liver'"), ("liver", " ", "1 to 10000"),
    ):  # fmt: skip
        with pytest.raises(ExampleError, match=message):
            library.rename(old, new)


def test_removing_a_scan_takes_the_structures_along_that_no_other_has() -> None:
    library = a_library()
    library.add([a_slice(an_image(4), 1, {5: "kidney"})])
    library.remove("scan-3")
    assert [segment.name for segment in library.segments] == ["liver", "spleen"]
    library.remove("scan-1")
    assert library.add([a_slice(an_image(4), 1, {5: "kidney"})]) == ["scan-3"]
    with pytest.raises(ExampleError, match="expected one of: scan-2, scan-3"):
        library.remove("scan-1")


@pytest.mark.parametrize("place", PLACES)
def test_no_identifier_is_written(tmp_path: Path, place: str) -> None:
    library = a_library()
    library.save(tmp_path / place)
    if place == "lib.zip":
        subprocess.run([sys.executable, "-m", "zipfile", "-e", "lib.zip", "lib"], cwd=tmp_path, check=True)
    for file in (tmp_path / "lib").rglob("*"):
        content = file.read_bytes() if file.is_file() else file.name.encode()
        assert b"DOE" not in content
        assert str(tmp_path).encode() not in content
    assert [example.image.name for example in Library.open(tmp_path / place).examples()] == ["scan 1"] * 2 + ["scan 2"]


def test_other_programs_read_scan_and_masks_at_their_places(tmp_path: Path) -> None:
    image = an_image()
    library = Library()
    library.add([a_slice(image, 4, {1: "liver"}, axis=1)])
    library.save(tmp_path / "lib")
    read = Volume.read(tmp_path / "lib" / "scan-1" / "image.nrrd")
    assert read.shows_the_same(image)
    mask = Volume.read(tmp_path / "lib" / "scan-1" / "mask-j-4.nrrd").on_grid_of(image, "mask", "image")
    np.testing.assert_array_equal(mask.array[:, 4], library.examples()[0].mask)
    assert (tmp_path / "lib" / "scan-1" / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_fingerprints_tell_content_and_not_titles_colours_files_or_how_they_are_packed(tmp_path: Path) -> None:
    library = a_library()
    first = library.fingerprint
    library.save(tmp_path / "lib")
    pack(tmp_path / "lib", tmp_path / "packed.zip", prefix="my library/")
    assert Library.open(tmp_path / "packed.zip").fingerprint == first

    def beautify(description: dict[str, Any]) -> None:
        description["entries"][0]["title"] = "other"
        description["segments"][0]["color"] = [0, 0, 1]

    change_description(tmp_path / "lib", beautify)
    assert Library.open(tmp_path / "lib").fingerprint == first
    different = set()
    for change in (
        lambda d: d["entries"][0]["image"].update(origin=[0, 0, 0]),
        lambda d: d["entries"][0]["slices"][0].update(complete=None),
        lambda d: d["entries"][0]["slices"][0].update(background=2),
        lambda d: d["segments"][0].update(name="Leber"),
        lambda d: d["entries"].pop(),
    ):
        Library.open(tmp_path / "packed.zip").save(tmp_path / "lib")
        change_description(tmp_path / "lib", change)
        different.add(Library.open(tmp_path / "lib").fingerprint)
    assert len(different | {first}) == 6


def test_what_other_versions_of_the_schema_write_besides_is_kept(tmp_path: Path) -> None:
    a_library().save(tmp_path / "lib")

    def extend(description: dict[str, Any]) -> None:
        description["made by"] = "somebody"
        description["segments"][0]["synonyms"] = ["hepar"]
        description["entries"][1]["contrast"] = {"phase": 2}
        description["entries"][0]["slices"][0]["painter"] = None

    change_description(tmp_path / "lib", extend)
    Library.open(tmp_path / "lib").save(tmp_path / "copy.zip")
    library = Library.open(tmp_path / "copy.zip")
    library.save(tmp_path / "again")
    text = (tmp_path / "again" / "library.json").read_text(encoding="utf-8")
    assert all(word in text for word in ('"made by"', '"synonyms"', '"contrast"', '"painter"'))


def test_scans_are_read_when_they_are_needed_and_forgotten_when_nobody_does(tmp_path: Path) -> None:
    a_library().save(tmp_path / "lib")
    library = Library.open(tmp_path / "lib")
    examples = library.examples()
    assert library.examples()[0].image is examples[0].image
    os.replace(tmp_path / "lib" / "scan-1" / "image.nrrd", tmp_path / "moved")
    assert library.examples()[0].image is examples[0].image
    del examples
    with pytest.raises(ReadError, match=r"scan-1/image.nrrd is missing"):
        library.examples()


def test_a_library_segments_as_the_slices_in_it_do(tmp_path: Path) -> None:
    image, labels = two_balls((8, 24, 26), (2, 2, 4), seed=1)
    examples = [painted(image, labels, z, complete="all") for z in (3, 5)]
    library = Library()
    library.add(examples)
    library.save(tmp_path / "lib.zip")
    query, _ = two_balls((8, 26, 24), (2, 2, 4))
    segmenter = Segmenter(device="cpu")
    direct = segmenter.segment(query, examples)
    found = segmenter.segment(query, Library.open(tmp_path / "lib.zip").examples())
    np.testing.assert_array_equal(found.labelmap.array, direct.labelmap.array)
    assert found.labelmap.names == direct.labelmap.names == NAMES
    assert direct.labelmap.array.any()


# Saving


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are killed in the middle by forking")
@pytest.mark.parametrize("place", PLACES)
def test_killed_at_any_moment_of_saving_the_old_one_or_the_new_one_is_whole(tmp_path: Path, place: str) -> None:
    old, new = a_library(), a_library()
    new.add([a_slice(an_image(3), 1, {9: "kidney"})])
    prints = {old.fingerprint: "old", new.fingerprint: "new"}
    path = tmp_path / place
    old.save(path)
    found = []
    for moment in range(1, 1000):
        child = os.fork()
        if not child:
            _die_at(moment)
            try:
                library = Library.open(path)
                library.merge(new)
                library.save(path)
                os._exit(0)
            except BaseException:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status)
        assert killed or os.WEXITSTATUS(status) == 0
        found.append(prints[Library.open(path).fingerprint])
        if not killed:
            break
        if found[-1] == "new":
            a_library().save(path)
    assert len(found) > (3 if place == "lib.zip" else 20)
    assert "old" in found
    assert found[-1] == "new"


def _die_at(moment: int) -> None:
    """Kills this process before the so-manyth thing that it does to the disk."""
    left = [moment]

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wxa+")
        if writes or event in ("os.rename", "os.mkdir", "os.link", "os.remove", "os.rmdir", "shutil.rmtree"):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), 9)

    sys.addaudithook(count)


def test_only_a_library_is_replaced(tmp_path: Path) -> None:
    library = a_library()
    (tmp_path / "file").write_text("precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("precious")
    (tmp_path / "file.zip").write_text("precious")
    (tmp_path / "empty").mkdir()
    library.save(tmp_path / "empty")
    library.save(tmp_path / "lib")
    (tmp_path / "link").symlink_to(tmp_path / "lib")
    (tmp_path / "lib" / "scan-1" / "notes.txt").write_text("precious")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    for place, message in (
        ("file", "no library"), ("folder", "no library"), ("file.zip", "no library"), ("link", "is a link"),
        ("lib", "'scan-1/notes.txt' in it is no part"), ("no/lib", "no folder"),
        ("a\0b", "can't be written"), ("", "empty"),
    ):  # fmt: skip
        with pytest.raises(WriteError, match=message):
            library.save(str(tmp_path / place) if place else "")
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_what_another_program_changed_meanwhile_is_not_lost(tmp_path: Path) -> None:
    a_library().save(tmp_path / "lib.zip")
    mine, theirs = Library.open(tmp_path / "lib.zip"), Library.open(tmp_path / "lib.zip")
    theirs.rename("liver", "hepar")
    theirs.save(tmp_path / "lib.zip")
    with pytest.raises(WriteError, match="changed by another program"):
        mine.save(tmp_path / "lib.zip")
    assert [segment.name for segment in Library.open(tmp_path / "lib.zip").segments] == ["hepar", "spleen"]
    theirs.rename("hepar", "liver")
    theirs.save(tmp_path / "lib.zip")


def test_what_can_not_be_added_is_told_and_nothing_is() -> None:
    library = a_library()
    before = library.fingerprint
    mask = np.ones((6, 7))
    mask[0] = 2
    for examples, origin, message in (
        ([], "", "no examples"),
        ([Example(an_image(7), 0, 1, mask, {1: "vein", 2: "vein"})], "", "both called 'vein'"),
        ([Example(an_image(7), 0, 1, mask, {1: "v" * 10001})], "", "10001 characters"),
        ([Example(an_image(7), 0, 1, mask)], "o" * 10001, "10001 characters"),
    ):
        with pytest.raises(ExampleError, match=message):
            library.add(examples, origin)
        assert library.fingerprint == before


def test_a_slice_that_is_painted_otherwise_is_replaced_where_that_is_wanted() -> None:
    library, image = Library(), an_image(1)
    library.add([a_slice(image, 2, {1: "liver"}), a_slice(image, 3, {1: "liver"})], title="a scan")
    before = library.fingerprint
    mended = a_slice(image, 2, {4: "spleen", 1: "liver"}, complete="all")
    with pytest.raises(ExampleError, match="painted otherwise"):
        library.add([mended])
    assert library.fingerprint == before
    assert library.add([mended], replace_slices=True) == ["scan-1"]
    [entry] = library.entries
    assert (entry.title, [(s.index, s.complete) for s in entry.slices]) == ("a scan", [(2, "all"), (3, None)])
    first, second = library.examples()
    np.testing.assert_array_equal(first.mask, mended.mask)
    np.testing.assert_array_equal(second.mask, a_slice(image, 3, {1: "liver"}).mask)
    assert library.fingerprint != before
