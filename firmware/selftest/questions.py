"""Ask the person at the other end of the serial line, from a program that the REPL runs."""

import select
import sys

from .. import compat, report

_PATIENCE_MS = 60_000


def ask(name, text):
    """True or False for a line that begins with y or n; None for any other, or for no line within a minute.

    The question goes out as a report of the kind "ask", which tools/board/selftest.py shows and answers.
    """
    report.say("ask", compat.ticks_ms(), name=name, text=text)
    poller = select.poll()
    poller.register(sys.stdin, select.POLLIN)
    if not poller.poll(_PATIENCE_MS):
        return None
    first = sys.stdin.readline().strip()[:1].lower()
    return {"y": True, "n": False}.get(first)
