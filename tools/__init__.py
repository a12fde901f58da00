"""The host side of the speaker: `python -m tools VERB`. Nothing here ever reaches a device."""

import os

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class ToolError(Exception):
    """Something the person at the keyboard can cure; the text names the cause and the cure, no stack trace is shown."""


def printable(text, keep=""):
    """Text from elsewhere with its control characters as escapes: as they are they could drive a terminal."""
    return "".join(
        letter if letter.isprintable() or letter in keep else letter.encode("unicode_escape").decode()
        for letter in text
    )
