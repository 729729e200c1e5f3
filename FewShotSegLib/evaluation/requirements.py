"""The packages that only evaluation needs: the extra `evaluation`, and `training` where networks are trained."""


class MissingPackageError(ImportError):
    """A package of the extra `evaluation`, or of another one, is not installed."""

    def __init__(self, package: str, purpose: str, extra: str = "evaluation") -> None:
        """Says what is missing, what for, and how to get it."""
        super().__init__(f"{purpose} needs the package {package}: pip install 'fewshotseg[{extra}]' or {package}.")
