"""Text that other programs wrote in other encodings."""

from __future__ import annotations


def readable(text: str) -> str:
    """The text as it was meant, where Python took it over from bytes that are no UTF-8.

    Args:
        text: Any text; may hold lone surrogates, which stand for such bytes and which no file can store.

    Returns:
        Text that can be stored as UTF-8. What isn't UTF-8 is taken as Latin-1, the usual encoding of older programs;
        other surrogates become a replacement character, pairs of them the character they stand for.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        pass
    else:
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    except UnicodeEncodeError:  # surrogates that don't stand for bytes, as from UTF-16
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
