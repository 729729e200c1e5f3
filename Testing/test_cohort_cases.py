"""Which volumes are a cohort's cases, and what they are called."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from FewShotSegLib.cohort.cases import Case, find_cases
from FewShotSegLib.errors import ReadError


def files(folder: Path, *names: str) -> None:
    """Empty files: which are cases is told by names alone."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_the_volumes_of_a_folder_are_cases_and_other_files_are_not(tmp_path: Path) -> None:
    files(tmp_path, "b.nii.gz", "a.nrrd", "notes.txt", ".hidden.nii.gz")
    assert find_cases(str(tmp_path)) == [
        Case("a", str(tmp_path / "a.nrrd")),
        Case("b", str(tmp_path / "b.nii.gz")),
    ]


def test_a_folder_of_dicom_slices_is_one_case(tmp_path: Path) -> None:
    files(tmp_path, "empty/readme.txt", "patient 1/series/1.dcm", "patient 1/series/2")
    for name in ("1.dcm", "2"):
        (tmp_path / "patient 1" / "series" / name).write_bytes(bytes(128) + b"DICM")
    assert find_cases(str(tmp_path)) == [Case("patient_1", str(tmp_path / "patient 1"))]


def test_a_pattern_takes_what_fits_and_tells_files_of_one_name_apart_by_their_folders(tmp_path: Path) -> None:
    files(tmp_path, "anna/ct.nii.gz", "berta/ct.nii.gz", "carl/mr.nii.gz")
    found = find_cases(str(tmp_path / "*" / "*.nii.gz"))
    assert [case.name for case in found] == ["anna_ct", "berta_ct", "mr"]


def test_a_table_names_files_beside_it_and_cases(tmp_path: Path) -> None:
    files(tmp_path, "scans/x.nii", "scans/y.nii")
    table = tmp_path / "cases.csv"
    table.write_text("\ufeffcase;Query\nfirst;scans/x.nii\n;scans/y.nii\n", encoding="utf-8")
    assert find_cases(str(table)) == [
        Case("first", str(tmp_path / "scans" / "x.nii")),
        Case("y", str(tmp_path / "scans" / "y.nii")),
    ]


def test_a_table_of_one_column_will_do(tmp_path: Path) -> None:
    table = tmp_path / "cases.csv"
    table.write_text("path\n/data/a.nii\n/data/b.nii\n", encoding="utf-8")
    assert [case.name for case in find_cases(str(table))] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("case,scan\na,b.nii\n", "expected rows with a column query"),
        ("", "no row"),
        ("query,case\n,a\n", "Line 2 .* names no file"),
        ("query,case\na/x.nii,one\nb/x.nii,ONE\n", "Two cases would have one name"),
    ],
)
def test_a_table_that_tells_no_cases_is_refused(tmp_path: Path, text: str, said: str) -> None:
    table = tmp_path / "cases.csv"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(ReadError, match=said):
        find_cases(str(table))


def test_a_table_that_is_no_text_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "cases.csv"
    table.write_bytes(b"query\n\xff\xfe\xfa.nii\n")
    with pytest.raises(ReadError, match="expected a CSV in UTF-8"):
        find_cases(str(table))


@pytest.mark.parametrize("where", ["nothing", "nothing/*.nii.gz"])
def test_where_nothing_is_the_message_says_what_was_expected(tmp_path: Path, where: str) -> None:
    with pytest.raises(ReadError, match="expected"):
        find_cases(str(tmp_path / where))


def test_a_folder_without_volumes_is_refused(tmp_path: Path) -> None:
    files(tmp_path, "notes.txt")
    with pytest.raises(ReadError, match="no volume"):
        find_cases(str(tmp_path))


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=90), max_size=8))
def test_names_of_cases_are_fit_for_folders_and_unlike_each_other(tmp_path_factory: object, names: list[str]) -> None:
    """Whatever a table calls its cases, or it is refused."""
    folder = tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    table = folder / "names.csv"
    quoted = ('"' + name.replace('"', '""') + '"' for name in names)
    table.write_text("case,query\n" + "".join(f"{name},{n}/v{n}.nii\n" for n, name in enumerate(quoted)), "utf-8")
    try:
        cases = find_cases(str(table))
    except ReadError:
        return
    found = [case.name for case in cases]
    assert len({name.casefold() for name in found}) == len(found)
    for name in found:
        assert name == Path(name).name
        assert name.isascii()
        assert 0 < len(name) <= 200
        assert name.casefold() not in ("con", "nul", "..", ".")
