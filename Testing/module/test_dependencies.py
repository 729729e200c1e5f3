"""What is missing is found without importing it, asked for once, and never installed unasked."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ALL = ["torch>=2.3,<3", "scipy>=1.11", "safetensors>=0.4"]


@dataclass
class FakeSlicer:
    """Slicer's answers, and what was asked of it and installed, in order."""

    consents: bool = True
    testing: bool = False
    pip_error: Exception | None = None
    torch_installed: Exception | bool = False
    torch_error: Exception | None = None
    installed: dict[str, str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def confirm(self, text: str, windowTitle: str | None = None) -> bool:
        self.events.append(f"asked for {' '.join(line for line in text.splitlines() if '>=' in line)}")
        return self.consents

    def pip(self, requirements: list[str], **_options: object) -> None:
        if self.pip_error:
            raise self.pip_error
        self.events.append(f"pip {' '.join(requirements)}")
        self.installed.update({requirement.split(">=")[0]: "99" for requirement in requirements})

    def torchInstalled(self) -> bool:
        if isinstance(self.torch_installed, Exception):
            raise self.torch_installed
        return self.torch_installed

    def installTorch(self, askConfirmation: bool, torchVersionRequirement: str) -> object | None:
        assert askConfirmation, "the user has to be asked"
        self.events.append(f"asked for torch{torchVersionRequirement}")
        if self.torch_error:
            raise self.torch_error
        if self.consents:
            self.installed["torch"] = "2.9.1+cu126"
        return SimpleNamespace() if self.consents else None


@pytest.fixture
def a_slicer(monkeypatch: pytest.MonkeyPatch) -> FakeSlicer:
    """Slicer 5.10 with the PyTorch extension and none of the packages."""
    fake = FakeSlicer()

    class WaitCursor:
        def __enter__(self) -> None:
            fake.events.append("wait cursor")

        def __exit__(self, *_args: object) -> None:
            pass

    slicer = ModuleType("slicer")
    slicer.app = SimpleNamespace(testingEnabled=lambda: fake.testing)  # type: ignore[attr-defined]
    slicer.util = SimpleNamespace(  # type: ignore[attr-defined]
        confirmOkCancelDisplay=fake.confirm,
        errorDisplay=lambda text, windowTitle=None: fake.errors.append(text),
        pip_install=fake.pip,
        WaitCursor=WaitCursor,
    )
    i18n = ModuleType("slicer.i18n")
    i18n.tr = lambda text: text  # type: ignore[attr-defined]
    torch_utils = ModuleType("PyTorchUtils")
    torch_utils.PyTorchUtilsLogic = lambda: fake  # type: ignore[attr-defined]
    modules = {"slicer": slicer, "slicer.i18n": i18n, "slicer.packaging": None, "PyTorchUtils": torch_utils}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)

    def version(distribution: str) -> str:
        if distribution not in fake.installed:
            raise importlib.metadata.PackageNotFoundError(distribution)
        return fake.installed[distribution]

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace(name=name))
    return fake


@pytest.fixture
def dependencies(a_slicer: FakeSlicer) -> Any:
    return importlib.import_module("FewShotSegModule.setup.dependencies")


def test_the_versions_are_those_of_the_engine(dependencies: Any, repository: Path) -> None:
    declared = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    slicers_own = ("numpy", "SimpleITK")
    wanted = sorted(requirement for requirement in declared if requirement.split(">=")[0] not in slicers_own)
    assert sorted(map(str, dependencies.REQUIREMENTS)) == wanted


def test_only_torch_has_an_upper_bound(dependencies: Any) -> None:
    assert all("<" not in requirement.specifier for requirement in dependencies.OTHERS)


def test_everything_is_missing_at_first_and_nothing_later(dependencies: Any, a_slicer: FakeSlicer) -> None:
    assert dependencies.missing() == ALL
    a_slicer.installed.update({"torch": "2.3.0", "scipy": "1.17.1", "safetensors": "0.4"})
    assert dependencies.missing() == []


@pytest.mark.parametrize(
    ("version", "suits"),
    [
        ("2.2.9", False),
        ("2.3", True),
        ("2.3.0+cpu", True),
        ("2.10.1", True),
        ("2.12.0a0+git1f3e", True),
        ("3", False),
        ("3.0.0", False),
        ("3.0.0a0", False),
        ("built by hand", False),
    ],
)
def test_versions_are_compared_as_numbers(dependencies: Any, version: str, suits: bool) -> None:
    assert dependencies.TORCH.accepts(version) == suits


def test_files_without_an_installation_and_the_other_way_round_count_as_missing(
    dependencies: Any, a_slicer: FakeSlicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_slicer.installed.update({"torch": "2.9", "safetensors": "0.5"})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else SimpleNamespace())
    assert dependencies.missing() == ALL[:2]


def test_looking_for_what_is_missing_imports_none_of_it(repository: Path) -> None:
    script = (
        "import sys, types; i18n = types.ModuleType('slicer.i18n'); i18n.tr = str\n"
        "sys.modules['slicer'] = types.ModuleType('slicer'); sys.modules['slicer.i18n'] = i18n\n"
        "from FewShotSegModule.setup import dependencies; assert dependencies.missing() == [], dependencies.missing()\n"
        "loaded = {'torch', 'scipy', 'safetensors', 'PyTorchUtils'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", script], cwd=repository / "FewShotSeg", check=True, timeout=120)


def test_with_everything_there_nobody_is_asked(dependencies: Any, a_slicer: FakeSlicer) -> None:
    a_slicer.installed.update({"torch": "2.9", "scipy": "1.17", "safetensors": "0.5"})
    assert dependencies.ensureWithConsent()
    assert a_slicer.events == []


def test_torch_comes_from_its_extension_and_the_others_from_one_question(
    dependencies: Any, a_slicer: FakeSlicer
) -> None:
    assert dependencies.ensureWithConsent()
    assert a_slicer.events == [
        "asked for torch>=2.3,<3",
        "asked for scipy>=1.11 safetensors>=0.4",
        "wait cursor",
        "pip scipy>=1.11 safetensors>=0.4",
    ]
    assert dependencies.missing() == []
    assert not a_slicer.errors


def test_slicer_5_12_installs_with_its_progress_window_and_asks_no_second_time(
    dependencies: Any, a_slicer: FakeSlicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaging = ModuleType("slicer.packaging")
    options: dict[str, object] = {}

    def pip_ensure(requirements: list[str], **given: object) -> None:
        options.update(given)
        a_slicer.pip(requirements)

    packaging.pip_ensure = pip_ensure  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
    assert dependencies.ensureWithConsent()
    assert options == {"prompt_install": False, "requester": "FewShotSeg"}
    assert "wait cursor" not in a_slicer.events


@pytest.mark.parametrize("installed", [{}, {"torch": "2.9"}])
def test_declining_installs_nothing_and_is_no_error(
    dependencies: Any, a_slicer: FakeSlicer, installed: dict[str, str]
) -> None:
    a_slicer.consents = False
    a_slicer.installed.update(installed)
    assert not dependencies.ensureWithConsent()
    assert len(a_slicer.events) == 1
    assert a_slicer.installed == installed
    assert not a_slicer.errors


def test_nothing_is_installed_while_slicer_is_tested(dependencies: Any, a_slicer: FakeSlicer) -> None:
    a_slicer.testing = True
    assert not dependencies.ensureWithConsent()
    assert a_slicer.events == []


def test_without_the_pytorch_extension_the_user_is_told_where_to_get_it(
    dependencies: Any, a_slicer: FakeSlicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    assert not dependencies.ensureWithConsent()
    (message,) = a_slicer.errors
    assert "PyTorch extension" in message
    assert "Extensions Manager" in message
    assert a_slicer.events == []


def test_an_unsuitable_torch_is_not_replaced_but_explained(dependencies: Any, a_slicer: FakeSlicer) -> None:
    a_slicer.installed["torch"] = "2.0.1"
    assert not dependencies.ensureWithConsent()
    (message,) = a_slicer.errors
    assert "2.0.1" in message
    assert ">=2.3,<3" in message
    assert "uninstall" in message
    assert a_slicer.events == []


@pytest.mark.parametrize("error", [TypeError("'NoneType' object is not iterable"), OSError("a DLL is missing")])
def test_a_damaged_torch_is_explained(dependencies: Any, a_slicer: FakeSlicer, error: Exception) -> None:
    a_slicer.torch_installed = error
    assert not dependencies.ensureWithConsent()
    (message,) = a_slicer.errors
    assert "damaged" in message
    assert str(error) in message
    assert "PyTorch Utils" in message


@pytest.mark.parametrize("which", ["torch_error", "pip_error"])
def test_a_failed_installation_is_shown_with_a_way_out(dependencies: Any, a_slicer: FakeSlicer, which: str) -> None:
    setattr(a_slicer, which, subprocess.CalledProcessError(1, "pip install"))
    assert not dependencies.ensureWithConsent()
    (message,) = a_slicer.errors
    assert "returned non-zero exit status 1" in message
    assert "without a network" in message


def test_what_cannot_be_found_after_installing_asks_for_a_restart(
    dependencies: Any, a_slicer: FakeSlicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "scipy" else SimpleNamespace())
    assert not dependencies.ensureWithConsent()
    (message,) = a_slicer.errors
    assert "scipy" in message
    assert "restart" in message


def test_the_quiet_form_raises_what_the_loud_one_shows(dependencies: Any, a_slicer: FakeSlicer) -> None:
    a_slicer.pip_error = RuntimeError("no route to host")
    error = importlib.import_module("FewShotSegModule.setup.dependencies").DependencyError
    with pytest.raises(error, match="no route to host"):
        dependencies.installMissing()
    assert not a_slicer.errors
