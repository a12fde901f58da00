"""Find a few string members of a JSON object without parsing the rest and without allocating.

Made for a stream of messages that carry one long base64 string each: `json.loads` would build a tree for each of
them. `scan` walks the members of the top object and of one nested object, records where the wanted strings lie and
skips everything else. Strings are skipped with `bytearray.find`, which runs in C on both interpreters.

What it does not resolve (a backslash escape in a key or in a wanted string) it reports as UNUSUAL: the caller parses
such a message with `json`. It is not a validator: of a skipped value only the extent is found.
"""

try:
    from micropython import const
except ImportError:

    def const(value):
        return value


FOUND = const(0)  # one JSON object; look at `at` and `n`
UNUSUAL = const(1)  # perhaps legal, but only `json` can tell
MALFORMED = const(2)  # not one JSON object from `start` to `end`

_QUOTE = const(0x22)
_BACKSLASH = const(0x5C)
_COMMA = const(0x2C)
_COLON = const(0x3A)
_OPEN = const(0x7B)
_CLOSE = const(0x7D)
_OPEN_LIST = const(0x5B)
_CLOSE_LIST = const(0x5D)
_SPACE = const(0x20)  # the white space of JSON is 0x20, 0x0A, 0x0D, 0x09; other bytes up to 0x20 are not legal anyway


class JSONScan:
    """top: names of wanted members of the top object; group: the one member whose object is entered too;
    nested: names wanted inside it. All are bytes without characters that JSON escapes.

    After scan() returned FOUND, `at[i]` and `n[i]` are the span of wanted member i (top first, then nested) between
    its quotes; at[i] is -1 when it is absent or not a string. Of a repeated member the last one counts, as in `json`.
    """

    def __init__(self, top, group, nested):
        self._names = tuple(top) + tuple(nested)
        self._top_count = len(top)
        self._group = group
        self.at = [-1] * len(self._names)
        self.n = [0] * len(self._names)
        self._verdict = FOUND

    def scan(self, buf, start, end):
        """buf: bytearray; bytes start..end-1 are the message. Returns FOUND, UNUSUAL or MALFORMED."""
        at = self.at
        for i in range(len(at)):
            at[i] = -1
        self._verdict = FOUND
        start = _skip_space(buf, start, end)
        if start >= end or buf[start] != _OPEN:
            return MALFORMED
        after = self._object(buf, start + 1, end, True)
        if after < 0 or _skip_space(buf, after, end) != end:
            return MALFORMED
        return self._verdict

    def _object(self, buf, pos, end, is_top):
        """Walk the members from `pos`, just behind the brace; returns the index behind the closing one, or -1."""
        pos = _skip_space(buf, pos, end)
        if pos < end and buf[pos] == _CLOSE:
            return pos + 1
        while True:
            pos = self._member(buf, pos, end, is_top)
            if pos < 0:
                return -1
            pos = _skip_space(buf, pos, end)
            if pos >= end:
                return -1
            separator = buf[pos]
            pos = _skip_space(buf, pos + 1, end)
            if separator == _CLOSE:
                return pos
            if separator != _COMMA:
                return -1

    def _member(self, buf, pos, end, is_top):
        """One `"key": value`; returns the index behind it, or -1."""
        if pos >= end or buf[pos] != _QUOTE:
            return -1
        key = pos + 1
        key_end = _string_end(buf, key, end)
        if key_end < 0:
            return -1
        pos = _skip_space(buf, key_end + 1, end)
        if pos >= end or buf[pos] != _COLON:
            return -1
        pos = _skip_space(buf, pos + 1, end)
        if pos >= end:
            return -1
        wanted = self._wanted(buf, key, key_end, is_top)
        first = buf[pos]
        if first == _QUOTE:
            value_end = _string_end(buf, pos + 1, end)
            if value_end < 0:
                return -1
            if wanted >= 0:
                self._note(wanted, buf, pos + 1, value_end)
            return value_end + 1
        if wanted >= 0:
            self.at[wanted] = -1
        if first == _OPEN and is_top and _equals(buf, key, key_end, self._group):
            for i in range(self._top_count, len(self.at)):
                self.at[i] = -1
            return self._object(buf, pos + 1, end, False)
        return _skip_value(buf, pos, end)

    def _wanted(self, buf, key, key_end, is_top):
        """Index of the wanted member with this name, or -1."""
        names = self._names
        if is_top:
            i = 0
            stop = self._top_count
        else:
            i = self._top_count
            stop = len(names)
        n = key_end - key
        while i < stop:
            name = names[i]
            if len(name) == n and buf.find(name, key, key_end) == key:
                return i
            i += 1
        if buf.find(b"\\", key, key_end) >= 0:
            self._verdict = UNUSUAL
        return -1

    def _note(self, i, buf, start, end):
        self.at[i] = start
        self.n[i] = end - start
        if buf.find(b"\\", start, end) >= 0:
            self._verdict = UNUSUAL


def _equals(buf, start, end, name):
    return end - start == len(name) and buf.find(name, start, end) == start


def _skip_space(buf, pos, end):
    while pos < end and buf[pos] <= _SPACE:
        pos += 1
    return pos


def _string_end(buf, pos, end):
    """Index of the quote that ends the string whose first character is at `pos`, or -1."""
    start = pos
    while True:
        quote = buf.find(b'"', pos, end)
        if quote < 0:
            return -1
        if quote == start or buf[quote - 1] != _BACKSLASH:
            return quote
        back = quote
        while back > start and buf[back - 1] == _BACKSLASH:
            back -= 1
        if (quote - back) & 1 == 0:
            return quote
        pos = quote + 1


def _skip_value(buf, pos, end):
    """Index behind the value that starts at `pos` (not a string), or -1."""
    depth = 0
    start = pos
    while pos < end:
        byte = buf[pos]
        if byte == _QUOTE:
            if depth == 0:
                return -1
            pos = _string_end(buf, pos + 1, end)
            if pos < 0:
                return -1
        elif byte == _OPEN or byte == _OPEN_LIST:
            depth += 1
        elif byte == _CLOSE or byte == _CLOSE_LIST:
            if depth == 0:
                return pos if pos > start else -1
            depth -= 1
            if depth == 0:
                return pos + 1
        elif depth == 0 and (byte == _COMMA or byte <= _SPACE):
            return pos if pos > start else -1
        pos += 1
    return -1
