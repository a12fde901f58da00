"""A JSON reader for files that people write: strict, and every error says line, column and what to do.

`json` of MicroPython accepts a file that was cut off, a missing comma or a missing colon, and says "syntax error" to
the rest; CPython's accepts NaN. This one gives the same value and the same verdict on both. It refuses a name that
stands twice in one object, because one of the two would be lost without a word. Excerpts of the file are never
quoted: they may be a secret.
"""

DEPTH_MAX = 16
_NUMBER_BYTES_MAX = 24

_SPACE = b" \t\r\n"
_DIGITS = b"0123456789"
_WORDS = ((b"true", True), (b"false", False), (b"null", None))
_ESCAPES = {0x22: '"', 0x5C: "\\", 0x2F: "/", 0x62: "\b", 0x66: "\f", 0x6E: "\n", 0x72: "\r", 0x74: "\t"}
_QUOTE = 0x22
_BACKSLASH = 0x5C
_END = 0  # no JSON text holds this byte, so it can stand for the end


class JSONError(ValueError):
    """text: what is wrong and what to write; line, column: where, counted from 1, in characters."""

    def __init__(self, text, line, column):
        super().__init__("line %d, column %d: %s" % (line, column, text))
        self.text = text
        self.line = line
        self.column = column


def loads(data):
    """data: bytes, UTF-8, with or without a byte order mark. Returns the value; JSONError is the writer's fault."""
    reader = _Reader(data)
    reader.check_utf8()
    reader.skip_space()
    if reader.peek() == _END:
        reader.fail("the file is empty")
    value = reader.value(0)
    reader.skip_space()
    if not reader.is_at_end():
        reader.fail("the file should end here")
    return value


class _Reader:
    def __init__(self, data):
        self._data = data
        self._at = 3 if data[:3] == b"\xef\xbb\xbf" else 0

    # Where we are

    def peek(self):
        return self._data[self._at] if self._at < len(self._data) else _END

    def is_at_end(self):
        return self._at >= len(self._data)

    def skip_space(self):
        while self.peek() in _SPACE:
            self._at += 1

    def fail(self, text, at=None):
        before = self._data[: self._at if at is None else at]
        line_start = before.rfind(b"\n") + 1
        line = len(before.split(b"\n"))
        raise JSONError(text, line, len(_without_mark(before[line_start:]).decode()) + 1)

    def check_utf8(self):
        for i, line in enumerate(self._data.split(b"\n")):
            try:
                line.decode()
            except UnicodeError:
                raise JSONError("not UTF-8: save the file as UTF-8", i + 1, 1)

    # Values

    def value(self, depth):
        if depth > DEPTH_MAX:
            self.fail("nested deeper than %d levels" % DEPTH_MAX)
        first = self.peek()
        if first == 0x7B:
            return self._object(depth)
        if first == 0x5B:
            return self._list(depth)
        if first == _QUOTE:
            return self._string()
        if first == 0x2D or first in _DIGITS:
            return self._number()
        for word, value in _WORDS:
            if self._data[self._at : self._at + len(word)] == word:
                self._at += len(word)
                return value
        self._fail_value(first)

    def _fail_value(self, first):
        if first == _END:
            self.fail("the file ends in the middle: it was not written completely")
        if first == 0x27 or first == 0xE2:
            self.fail('text stands in straight double quotes: "text"')
        if first == 0x2F or first == 0x23:
            self.fail("JSON has no comments: remove this one")
        if first in b"TFN":
            self.fail("write true, false and null in lower case")
        if first in b"}]":
            self.fail("a value is missing, or the comma before this bracket is one too many")
        self.fail("expected a value: a number, true, false, or text in double quotes")

    def _object(self, depth):
        found = {}
        self._open()
        while self.peek() != 0x7D:
            self._expect_name()
            name_at = self._at
            name = self._string()
            if name in found:
                self.fail("this name stands in the object twice", name_at)
            self.skip_space()
            if self.peek() != 0x3A:
                self._fail_or_end("expected a colon between name and value")
            self._open()
            found[name] = self.value(depth + 1)
            self._next_or(0x7D, "expected a comma or } here")
        self._at += 1
        return found

    def _list(self, depth):
        found = []
        self._open()
        while self.peek() != 0x5D:
            found.append(self.value(depth + 1))
            self._next_or(0x5D, "expected a comma or ] here")
        self._at += 1
        return found

    def _open(self):
        """Step over one character and the space behind it."""
        self._at += 1
        self.skip_space()

    def _next_or(self, closing, text):
        """Step over a comma, behind which one more must follow; or stay at `closing`."""
        self.skip_space()
        found = self.peek()
        if found == closing:
            return
        if found != 0x2C:
            self._fail_or_end(text)
        comma_at = self._at
        self._open()
        if self.peek() == closing:
            self.fail("this comma is one too many", comma_at)

    def _expect_name(self):
        if self.peek() != _QUOTE:
            if self.peek() in b"/#":
                self._fail_value(self.peek())
            self._fail_or_end("expected a name in straight double quotes")

    def _fail_or_end(self, text):
        self.fail("the file ends in the middle: it was not written completely" if self.peek() == _END else text)

    # Strings and numbers

    def _string(self):
        start = self._at
        self._at += 1
        parts = None
        piece_at = self._at
        while True:
            found = self.peek()
            if found == _END or found == 0x0A:
                self.fail("this text has no closing quote", start)
            if found < 0x20:
                self.fail("a control character may not stand in a text: write \\t, \\n or \\u00XX")
            if found == _QUOTE:
                break
            if found == _BACKSLASH:
                parts = parts or []
                parts.append(self._data[piece_at : self._at].decode())
                parts.append(self._escape())
                piece_at = self._at
            else:
                self._at += 1
        piece = self._data[piece_at : self._at].decode()
        self._at += 1
        return piece if parts is None else "".join(parts) + piece

    def _escape(self):
        """The character that a backslash at the position stands for; steps behind it."""
        start = self._at
        self._at += 1
        kind = self.peek()
        if kind in _ESCAPES:
            self._at += 1
            return _ESCAPES[kind]
        if kind != 0x75:
            self.fail("no such escape: a backslash is written twice, \\\\", start)
        unit = self._hex4(start)
        if 0xD800 <= unit < 0xDC00 and self._data[self._at : self._at + 2] == b"\\u":
            self._at += 1
            low = self._hex4(start)
            if 0xDC00 <= low < 0xE000:
                return chr(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
        if 0xD800 <= unit < 0xE000:
            self.fail("half of a surrogate pair is no character", start)
        return chr(unit)

    def _hex4(self, start):
        """The number behind the `u` at the position; steps behind it."""
        digits = self._data[self._at + 1 : self._at + 5]
        number = 0
        for digit in digits:
            value = b"0123456789abcdefABCDEF".find(bytes((digit,)))
            if value < 0:
                self.fail("\\u takes four hexadecimal digits", start)
            number = number * 16 + (value if value < 16 else value - 6)
        if len(digits) < 4:
            self.fail("\\u takes four hexadecimal digits", start)
        self._at += 5
        return number

    def _number(self):
        start = self._at
        if self.peek() == 0x2D:
            self._at += 1
        first_at = self._at
        self._digits()
        if self._at - first_at > 1 and self._data[first_at] == 0x30:
            self.fail("a number does not begin with 0", start)
        is_whole = True
        if self.peek() == 0x2E:
            is_whole = False
            self._at += 1
            self._digits()
        if self.peek() == 0x65 or self.peek() == 0x45:
            is_whole = False
            self._at += 1
            if self.peek() == 0x2B or self.peek() == 0x2D:
                self._at += 1
            self._digits()
        if self._at - start > _NUMBER_BYTES_MAX:
            self.fail("a number of more than %d characters" % _NUMBER_BYTES_MAX, start)
        text = self._data[start : self._at].decode()
        if is_whole:
            return int(text)
        number = float(text)
        if number - number != 0:  # infinite: 1e999, or what single precision cannot hold
            self.fail("this number is too large", start)
        return number

    def _digits(self):
        start = self._at
        while self.peek() in _DIGITS:
            self._at += 1
        if self._at == start:
            self._fail_or_end("expected a digit")


def _without_mark(line):
    return line[3:] if line[:3] == b"\xef\xbb\xbf" else line
