"""The packages that only evaluation needs: the extra `evaluation`."""


class MissingPackageError(ImportError):
    """A package of the extra `evaluation` is not installed."""

    def __init__(self, package: str, purpose: str) -> None:
        """Says what is missing, what for, and how to get it."""
        super().__init__(f"{purpose} needs the package {package}: pip install 'fewshotseg[evaluation]' or {package}.")
