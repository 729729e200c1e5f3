"""Libraries from strangers: whatever is in them, they are opened or refused with a reason, and nothing else happens."""

from __future__ import annotations

import json
import os
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from library_files import a_library, an_image, change_description, pack, replace_file

from FewShotSegLib import ReadError, WriteError
from FewShotSegLib.library import Library, limits, opening, saving, stores
from FewShotSegLib.library.nrrd import NrrdError, decode, encode

IMAGE, MASK = "scan-1/image.nrrd", "scan-1/mask-k-2.nrrd"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A library in a folder."""
    a_library().save(tmp_path / "lib")
    return tmp_path / "lib"


def read_all(path: Path) -> None:
    """Opens a library and reads every scan."""
    assert Library.open(path).fingerprint


def member(name: str, mode: int = 0o644, packing: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("placeholder")
    info.filename = info.orig_filename = name
    info.external_attr, info.compress_type = mode << 16, packing
    return info


# Archives


@pytest.mark.parametrize(
    ("name", "mode", "message"),
    [
        ("../escaped.txt", 0o644, "leads out of it"),
        ("scan-1/../../escaped.txt", 0o644, "leads out of it"),
        ("/etc/escaped.txt", 0o644, "leads out of it"),
        ("C:/escaped.txt", 0o644, "leads out of it"),
        ("c:escaped.txt", 0o644, "leads out of it"),
        ("scan-1\\..\\escaped.txt", 0o644, "leads out of it"),
        ("scan-1//image.nrrd", 0o644, "leads out of it"),
        ("./library.json", 0o644, "leads out of it"),
        ("library.json", 0o644, "twice"),
        ("Scan-1/IMAGE.nrrd", 0o644, "twice"),
        ("scan-1/link", stat.S_IFLNK | 0o777, "holds the link"),
    ],
)
def test_archives_with_names_that_no_library_has_are_refused(
    folder: Path, tmp_path: Path, name: str, mode: int, message: str
) -> None:
    archive = pack(folder, tmp_path / "lib.zip")
    with zipfile.ZipFile(archive, "a") as members, warnings.catch_warnings(action="ignore"):
        members.writestr(member(name, mode), b"evil")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ReadError, match=message):
        Library.open(archive)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_name_with_a_zero_is_refused_although_zip_libraries_end_it_there(folder: Path, tmp_path: Path) -> None:
    archive = pack(folder, tmp_path / "lib.zip")
    with zipfile.ZipFile(archive, "a") as members:
        members.writestr(member("abc.txt"), b"evil")
    archive.write_bytes(archive.read_bytes().replace(b"abc.txt", b"ab\0.txt"))
    with pytest.raises(ReadError, match=r"can't be read|leads out of it"):
        Library.open(archive)


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_packed_in_rare_ways_are_refused(folder: Path, tmp_path: Path, packing: int) -> None:
    with pytest.raises(ReadError, match="packed in an unknown way"):
        Library.open(pack(folder, tmp_path / "lib.zip", packing=packing))


def test_encrypted_archives_are_refused(folder: Path, tmp_path: Path) -> None:
    archive = pack(folder, tmp_path / "lib.zip")
    content = bytearray(archive.read_bytes())
    content[content.rindex(b"PK\1\2") + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(ReadError, match="is encrypted"):
        Library.open(archive)


def test_a_bomb_is_refused_before_it_is_unpacked(folder: Path, tmp_path: Path) -> None:
    archive = pack(folder, tmp_path / "lib.zip")
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as members:
        members.writestr("zeros", bytes(limits.FREE_BYTES + 1))
    with pytest.raises(ReadError, match="which no scan does"):
        Library.open(archive)


def test_many_small_bombs_are_refused_too(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FREE_BYTES", 2**20)
    archive = pack(folder, tmp_path / "lib.zip")
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as members:
        for number in range(20):
            members.writestr(f"zeros {number}", bytes(2**20))
    with pytest.raises(ReadError, match="no more than scans unpack to"):
        Library.open(archive)


def test_archives_that_promise_too_much_are_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pack(folder, tmp_path / "lib.zip")
    monkeypatch.setattr(stores, "MOST_BYTES", 1000)
    with pytest.raises(ReadError, match="expected at most 1000"):
        Library.open(archive)
    monkeypatch.setattr(stores, "MOST_FILES", 3)
    with pytest.raises(ReadError, match="expected at most 3"):
        Library.open(archive)


def test_a_member_that_says_a_smaller_size_than_it_has_is_damage(folder: Path, tmp_path: Path) -> None:
    archive = pack(folder, tmp_path / "lib.zip")
    content = bytearray(archive.read_bytes())
    at = content.rindex(b"scan-1/image.nrrd") - 46
    (size,) = struct.unpack_from("<I", content, at + 24)
    struct.pack_into("<I", content, at + 24, size - 10)
    archive.write_bytes(content)
    with pytest.raises(ReadError, match="damaged"):
        read_all(archive)


def test_what_systems_put_into_archives_and_an_outer_folder_do_no_harm(folder: Path, tmp_path: Path) -> None:
    archive = pack(folder, tmp_path / "lib.zip", prefix="my livers/")
    with zipfile.ZipFile(archive, "a") as members:
        members.writestr("__MACOSX/library.json", b"\0\5\x16\7")
        members.writestr("my livers/.DS_Store", b"x")
    library = Library.open(archive)
    library.save(archive)
    assert Library.open(archive).fingerprint == a_library().fingerprint


# Folders


@pytest.mark.parametrize("name", ["library.json", IMAGE, MASK, "scan-1"])
def test_links_in_a_folder_are_not_followed(folder: Path, tmp_path: Path, name: str) -> None:
    os.rename(folder / name, tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ReadError, match="is a link"):
        Library.open(folder)


def test_a_link_that_takes_the_place_of_a_file_later_is_not_followed_either(folder: Path, tmp_path: Path) -> None:
    library = Library.open(folder)
    os.rename(folder / IMAGE, tmp_path / "elsewhere")
    (folder / IMAGE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ReadError, match="is a link"):
        library.examples()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_pipe_does_not_hold_the_program_up(folder: Path) -> None:
    (folder / IMAGE).unlink()
    os.mkfifo(folder / IMAGE)
    with pytest.raises(ReadError, match="is no file"):
        Library.open(folder)


# Voxels


def header(**changes: str | None) -> bytes:
    """The header of the image as it should be, with fields changed, left out or added."""
    fields: dict[str, str | None] = {
        "type": "int16", "dimension": "3", "sizes": "7 6 5", "endian": "little", "encoding": "raw"
    }  # fmt: skip
    fields |= {name.replace("_", " "): text for name, text in changes.items()}
    lines = [f"{name}: {text}" for name, text in fields.items() if text is not None]
    return ("NRRD0004\n" + "\n".join(lines) + "\n\n").encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header(data_file="/etc/passwd") + bytes(420), "voxels anywhere else are not read"),
        (header(datafile="LIST") + b"/etc/passwd\n" + bytes(420), "voxels anywhere else are not read"),
        (header(byte_skip="-1") + bytes(420), "voxels anywhere else are not read"),
        (header(line_skip="5") + bytes(420), "voxels anywhere else are not read"),
        (header(sizes="70000 70000 70000"), r"shape \(70000, 70000, 70000\), expected \(5, 6, 7\)"),
        (header(sizes="7 6 -5") + bytes(420), "three whole numbers"),
        (header(sizes="7 6 5 2", dimension="4") + bytes(840), "three whole numbers"),
        (header(type="block") + bytes(420), "expected 'int16'"),
        (header(type="double") + bytes(1680), "expected 'int16'"),
        (header(encoding="bzip2") + bytes(420), "expected raw or gzip"),
        (header(endian="big") + bytes(420), "little endian"),
        (header(sizes=None) + bytes(420), "lacks the field 'sizes'"),
        (header(Sizes="7 6 5") + bytes(420), "each field once"),
        (header() + bytes(419), "419 bytes of voxels, expected 420"),
        (header() + bytes(421), "421 bytes of voxels, expected 420"),
        (header(encoding="gzip") + bytes(420), "can't be unpacked"),
        (header(encoding="gzip") + zlib.compress(bytes(421), wbits=31), "more than the 420 bytes"),
        (header(encoding="gzip") + zlib.compress(bytes(419), wbits=31), "unpacks to 419 bytes"),
        (header(encoding="gzip") + zlib.compress(bytes(420), wbits=31) + b"x", "something left over"),
        (header(encoding="gzip") + zlib.compress(bytes(420), wbits=31)[:-9], "ends too early"),
        (b"NRRD0004\n" + b"# " + b"x" * 5000 + b"\n" + header()[9:] + bytes(420), "header of its own"),
        (b"\x80\x04cos\nsystem\n(S'true'\ntR.", "no NRRD file"),
    ],
)
def test_images_that_are_not_what_the_description_says_are_refused(folder: Path, content: bytes, message: str) -> None:
    replace_file(folder, IMAGE, content)
    with pytest.raises(ReadError, match=message):
        read_all(folder)


def test_an_image_that_claims_to_unpack_to_gigabytes_is_refused_before_room_is_made_for_it(folder: Path) -> None:
    change_description(folder, lambda d: d["entries"][0]["image"].update(shape=[1024, 1024, 1024], type="float64"))
    replace_file(folder, IMAGE, header(sizes="1024 1024 1024", type="double", encoding="gzip") + bytes(1000))
    with pytest.raises(ReadError, match="which no scan does"):
        read_all(folder)


def test_background_that_compresses_like_a_bomb_is_kept_uncompressed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FREE_BYTES", 1000)
    zeros = an_image().with_array(np.zeros(an_image().shape)).cropped((0, 0, 0), (5, 6, 7))
    many = an_image(shape=(60, 60, 60)).with_array(np.zeros((60, 60, 60)))
    for volume in (zeros, many, an_image()):
        content = encode(volume)
        np.testing.assert_array_equal(decode(content, volume.shape, volume.array.dtype.name), volume.array)
    assert b"encoding: raw" in encode(many)
    assert b"encoding: gzip" in encode(an_image())


@settings(max_examples=200)
@given(st.data())
def test_a_damaged_image_is_refused_or_read_in_its_shape(data: st.DataObject) -> None:
    content = bytearray(encode(an_image()))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))]
    with suppress(NrrdError):
        assert decode(bytes(content), (5, 6, 7), "int16").shape == (5, 6, 7)


def test_masks_must_hold_the_structures_of_their_scan_in_the_shape_of_their_slice(folder: Path) -> None:
    strange = an_image(shape=(1, 6, 7), kind="uint8")
    for values, message in ((3, "holds the label 3"), (40000, "holds the value 40000")):
        replace_file(folder, MASK, encode(strange.with_array(np.full(strange.shape, values, np.uint16))))
        with pytest.raises(ReadError, match=message):
            Library.open(folder)
    replace_file(folder, MASK, encode(an_image(shape=(1, 7, 6)).with_array(np.ones((1, 7, 6), np.uint16))))
    with pytest.raises(ReadError, match=r"shape \(1, 7, 6\), expected \(1, 6, 7\)"):
        Library.open(folder)


# Damage


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", [IMAGE, MASK])
@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_damage_is_named(folder: Path, tmp_path: Path, packed: bool, name: str, damage: str) -> None:
    content = (folder / name).read_bytes()
    if damage == "missing":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content[:-3] if damage == "cut" else content[:-3] + b"abc")
    with pytest.raises(ReadError, match=rf"{name}.*{damage}|{name} .*damaged"):
        read_all(pack(folder, tmp_path / "lib.zip") if packed else folder)


def test_a_missing_or_damaged_picture_is_no_reason_to_refuse_a_library(folder: Path) -> None:
    (folder / "scan-1" / "picture.png").unlink()
    (folder / "scan-2" / "picture.png").write_bytes(b"<script>")
    library = Library.open(folder)
    library.save(folder)
    for name in ("scan-1", "scan-2"):
        assert (folder / name / "picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("content", [b"", b"PK\5\6", b"not a library", bytes(1000)])
def test_what_is_no_library_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lib.zip").write_bytes(content)
    for path in (tmp_path, tmp_path / "lib.zip", tmp_path / "none", tmp_path / "a\0b", tmp_path / ("x" * 300)):
        with pytest.raises(ReadError, match=r"library|can't be read"):
            Library.open(path)
    with pytest.raises(ReadError, match="is empty"):
        Library.open("")


# The description


def test_a_newer_schema_is_told_with_what_to_do_and_not_replaced(folder: Path, tmp_path: Path) -> None:
    change_description(folder, lambda description: description.update(schema=7, entries="in a new way"))
    message = "made by a newer FewShotSeg, schema 7; this one reads up to 1: update"
    with pytest.raises(ReadError, match=message):
        Library.open(folder)
    with pytest.raises(ReadError, match=message):
        Library.open(pack(folder, tmp_path / "lib.zip"))
    with pytest.raises(WriteError, match=message):
        a_library().save(folder)


CHANGES: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda d: d.update(format="something"), "expected the format"),
    (lambda d: d.update(schema=True), "has the schema True"),
    (lambda d: d.update(schema=0), "has the schema 0"),
    (lambda d: d.pop("entries"), "no field 'entries'"),
    (lambda d: d.update(files=[]), "expected fields by name"),
    (lambda d: d["files"].pop(IMAGE), "doesn't list scan-1/image.nrrd"),
    (lambda d: d["files"][IMAGE].update(bytes=1), "expected 1"),
    (lambda d: d["files"][IMAGE].update(sha256="../x"), "64 hexadecimal digits"),
    (lambda d: d["entries"][0].update(id="../../escaped"), "something like 'scan-1'"),
    (lambda d: d["entries"][0].update(id="scan-1\n"), "something like 'scan-1'"),
    (lambda d: d["entries"][1].update(id="scan-1"), "two entries of one id"),
    (lambda d: d["entries"][0].update(title=5), "expected a text"),
    (lambda d: d["entries"][0].update(origin="o" * 10001), "at most 10000 characters"),
    (lambda d: d["entries"][0].update(structures=[9]), "the value of a segment"),
    (lambda d: d["entries"][0].update(slices=[]), "one or more"),
    (lambda d: d["entries"][0]["slices"].append(d["entries"][0]["slices"][0]), "repetitions"),
    (lambda d: d["entries"][0]["slices"][0].update(axis="z"), "k, j or i"),
    (lambda d: d["entries"][0]["slices"][0].update(index=5), "from 0 to 4"),
    (lambda d: d["entries"][0]["slices"][0].update(index=1.0), "from 0 to 4"),
    (lambda d: d["entries"][0]["slices"][0].update(complete="some"), "null, 'all'"),
    (lambda d: d["entries"][0]["slices"][0].update(complete=[9]), "the value of a segment"),
    (lambda d: d["entries"][0]["slices"][0].update(complete={"1": 1}), "null, 'all'"),
    (lambda d: d["entries"][0]["slices"][0].update(background=0), "the value of a segment"),
    (lambda d: d["entries"][0]["image"].update(shape=[2000, 2000, 2000]), "at most 1073741824 voxels"),
    (lambda d: d["entries"][0]["image"].update(shape=[5, 6]), "three whole numbers"),
    (lambda d: d["entries"][0]["image"].update(shape=[5, 6, 10**400]), "three whole numbers"),
    (lambda d: d["entries"][0]["image"].update(type="object"), "one of int8"),
    (lambda d: d["entries"][0]["image"].update(spacing=[1, 1, 0]), "three positive numbers"),
    (lambda d: d["entries"][0]["image"].update(spacing=[1, 1, 10**400]), "3 numbers"),
    (lambda d: d["entries"][0]["image"].update(direction=[0] * 9), "independent unit vectors"),
    (lambda d: d["entries"][0]["image"].update(origin=["a", 0, 0]), "3 numbers"),
    (lambda d: d["segments"][0].update(value=0), "from 1 to 32768"),
    (lambda d: d["segments"][0].update(value=2), "two segments of one value"),
    (lambda d: d["segments"][0].update(name="spleen"), "two segments of one name"),
    (lambda d: d["segments"][0].update(name="  "), "expected a text"),
    (lambda d: d["segments"][0].update(color=[0, 0, 2]), "0..1"),
    (lambda d: d["segments"].pop(), "the value of a segment"),
    (lambda d: d["segments"].append("liver"), "expected fields by name"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_a_description_that_makes_no_sense_is_refused_with_what_is_wrong(
    folder: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    change_description(folder, change)
    with pytest.raises(ReadError, match=message):
        Library.open(folder)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000, "[]", "{", "\xff", '{"format": NaN}', '{"a": 1, "a": 2}', "9" * 10_000,
        '{"format": "FewShotSeg example library", "schema": Infinity}', '{"format": 1e999}',
    ],
)  # fmt: skip
def test_text_that_is_no_description_is_refused(folder: Path, text: str) -> None:
    (folder / "library.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ReadError, match=r"library\.json of .* (is damaged|is none)"):
        Library.open(folder)


def test_a_description_that_is_too_long_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "MOST_JSON_BYTES", 100)
    with pytest.raises(ReadError, match="longer than 100 bytes"):
        Library.open(folder)


def test_masks_together_may_not_fill_the_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("FewShotSegLib.library.description.MOST_PAINTED_PIXELS", 50)
    with pytest.raises(ReadError, match="expected at most 50"):
        Library.open(folder)
    monkeypatch.setattr(saving, "MOST_PAINTED_PIXELS", 50)
    with pytest.raises(WriteError, match="and 50; split"):
        a_library().save(folder)


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["all", "k", "scan-1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150)
@given(st.data())
def test_any_value_anywhere_in_a_description_is_taken_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    base = tmp_path_factory.getbasetemp() / "fuzzed"
    if not base.exists():
        a_library().save(base)
        (base / "kept").write_bytes((base / "library.json").read_bytes())
    description = json.loads((base / "kept").read_text(encoding="utf-8"))
    places: list[tuple[Any, Any]] = []

    def walk(part: Any) -> None:
        for key in list(part) if isinstance(part, dict) else range(len(part)):
            places.append((part, key))
            if isinstance(part[key], dict | list):
                walk(part[key])

    walk(description)
    part, key = data.draw(st.sampled_from(places))
    part[key] = data.draw(junk)
    (base / "library.json").write_text(json.dumps(description), encoding="utf-8")
    with suppress(ReadError):
        library = Library.open(base)
        library.save(base.with_name("fuzzed.zip"))
        assert Library.open(base.with_name("fuzzed.zip")).fingerprint == library.fingerprint
