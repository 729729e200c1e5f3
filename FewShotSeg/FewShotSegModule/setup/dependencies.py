"""The Python packages that the engine needs beyond Slicer's own: what is missing, and how to get it with consent.

Nothing here runs when the module is imported or its panel is set up: a user who never clicks is never asked.
"""

from __future__ import annotations

import logging

from slicer.i18n import tr as _

from FewShotSegModule.setup.requirement import Requirement


class DependencyError(RuntimeError):
    """A needed Python package could not be installed; the message says what the user can do about it."""


#: Installed by the PyTorch extension, which finds the build that fits the computer's graphics card and driver.
TORCH = Requirement("torch", "torch", ">=2.3,<3")
#: Installed from the Python Package Index. Lower bounds only, so that other extensions keep the versions they need.
#: Slicer brings a scipy along that does; it is named for builds of Slicer without it.
OTHERS = (
    Requirement("scipy", "scipy", ">=1.11"),
    Requirement("safetensors", "safetensors", ">=0.4"),
)
#: In the order in which they are installed.
REQUIREMENTS = (TORCH, *OTHERS)


def missing() -> list[str]:
    """What has to be installed, as pip would be told ("torch>=2.3,<3"); quick, since nothing is imported."""
    return [str(requirement) for requirement in REQUIREMENTS if not requirement.isSatisfied()]


def ensureWithConsent() -> bool:
    """Installs what is missing if the user agrees; to be called on a click, never on import or in `setup()`.

    What goes wrong is shown to the user, with a way out. Needs the main thread, as all dialogs do.

    :return: Whether everything is there now. False means: the user declined, or was told why it didn't work.
    """
    if not missing():
        return True
    import slicer

    # Slicer answers its dialogs itself while it is tested, so an automatic test would install without anyone's consent.
    if slicer.app.testingEnabled():
        logging.warning("FewShotSeg: nothing is installed in testing mode; missing: %s", ", ".join(missing()))
        return False
    try:
        return installMissing()
    except DependencyError as error:
        logging.exception("FewShotSeg: installing Python packages failed")
        slicer.util.errorDisplay(str(error), windowTitle=_("FewShotSeg: Python packages"))
        return False


def installMissing() -> bool:
    """Asks and installs, without showing what goes wrong.

    :return: Whether everything is there now; False means that the user declined.
    :raises DependencyError: Something went wrong.
    """
    if not (_installTorch() and _installOthers()):
        logging.info("FewShotSeg: installation declined; missing: %s", ", ".join(missing()))
        return False
    if missing():
        raise DependencyError(
            _("Installed, but not found afterwards: {packages}. Please restart Slicer and try again.").format(
                packages=", ".join(missing())
            )
        )
    return True


def _installTorch() -> bool:
    """Has the PyTorch extension ask and install; False if declined."""
    if TORCH.isSatisfied():
        return True
    try:
        import PyTorchUtils
    except ImportError as error:
        raise DependencyError(
            _(
                "FewShotSeg computes with PyTorch, which Slicer's PyTorch extension installs. Please install that"
                " extension (View / Extensions Manager, search for PyTorch), restart Slicer and try again."
            )
        ) from error
    found = TORCH.installedVersion()
    if found is not None and not TORCH.accepts(found):
        # Replacing a PyTorch that something may have loaded breaks it, so that is left to the user.
        raise DependencyError(
            _(
                "PyTorch {found} is installed, but FewShotSeg needs {needed}. Please open the module PyTorch Utils,"
                " uninstall PyTorch, restart Slicer and try again."
            ).format(found=found, needed=TORCH.specifier)
        )
    logic = PyTorchUtils.PyTorchUtilsLogic()
    try:
        present = logic.torchInstalled()
    except Exception as error:  # half an installation fails in many ways, and all have the same way out
        raise DependencyError(
            _(
                "PyTorch is installed but damaged ({error}). Please open the module PyTorch Utils, uninstall PyTorch,"
                " restart Slicer and try again."
            ).format(error=error)
        ) from error
    if present:
        return True
    try:
        torch = logic.installTorch(askConfirmation=True, torchVersionRequirement=TORCH.specifier)
    except Exception as error:
        raise DependencyError(_installationFailed("PyTorch", error)) from error
    return torch is not None


def _installOthers() -> bool:
    """Asks once for all other packages and installs them; False if declined."""
    wanted = [str(requirement) for requirement in OTHERS if not requirement.isSatisfied()]
    if not wanted:
        return True
    import slicer

    question = _(
        "FewShotSeg needs Python packages that Slicer does not bring along:\n\n{packages}\n\n"
        "They will be downloaded from the Python Package Index into Slicer's own Python. Install them now?"
    ).format(packages="\n".join(wanted))
    if not slicer.util.confirmOkCancelDisplay(question, windowTitle=_("FewShotSeg: Python packages")):
        return False
    try:
        _pipInstall(wanted)
    except Exception as error:
        raise DependencyError(_installationFailed(", ".join(wanted), error)) from error
    return True


def _pipInstall(requirements: list[str]) -> None:
    """Installs without a further question, with Slicer's progress window where there is one."""
    import slicer

    try:
        from slicer.packaging import pip_ensure
    except ImportError:  # before Slicer 5.12
        with slicer.util.WaitCursor():
            slicer.util.pip_install(requirements)
    else:
        pip_ensure(requirements, prompt_install=False, requester="FewShotSeg")


def _installationFailed(what: str, error: Exception) -> str:
    return _(
        "Installing {what} failed: {error}\n\nIs there a connection to the network? The Python console shows more. What"
        " to do without a network is described in FewShotSeg's documentation, under Installation."
    ).format(what=what, error=error)
