"""Find a few string members of a JSON object without parsing the rest and without allocating.

Made for a stream of messages that carry one long base64 string each: `json.loads` would build a tree for each of
them. The walk itself is a kernel (kernels_py.json_walk); here is what it is told and what it found.

What it does not resolve (a backslash escape in a name or in a wanted string) it reports as UNUSUAL: the caller parses
such a message with `json`. It is not a validator: of a skipped value only the extent is found.
"""

from array import array

from kernels import json_walk

try:
    from micropython import const
except ImportError:

    def const(value):
        return value


FOUND = const(-1)  # one JSON object; look at at() and n()
UNUSUAL = const(-2)  # perhaps legal, but only `json` can tell
MALFORMED = const(-3)  # not one JSON object from `start` to `end`


class JSONScan:
    """top: names of wanted members of the top object; group: the one member whose object is entered too;
    nested: names wanted inside it. All are bytes of at most 255 characters, none of which JSON escapes.

    Members are numbered from 1, top first, then nested. After scan() returned FOUND, `state[2 * i]` and
    `state[2 * i + 1]` are the span of member i between its quotes; the former is -1 when the member is absent or not
    a string. Of a repeated member the last one counts, as in `json`.

    names, state: what json_walk() takes, for who walks in steps.
    """

    def __init__(self, top, group, nested):
        entries = [(1, group)] + [(1, name) for name in top] + [(2, name) for name in nested]
        self.names = b"".join([bytes([level, len(name)]) + name for level, name in entries]) + b"\0"
        self.state = array("i", [0] * (2 * len(entries)))

    def scan(self, buf, start, end):
        """buf: bytearray; bytes start..end-1 are the message. Returns FOUND, UNUSUAL or MALFORMED."""
        self.state[0] = self.state[1] = 0
        return json_walk(buf, start, end, self.names, self.state)
