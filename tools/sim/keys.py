"""The keyboard as the speaker's buttons. Needs a running asyncio loop; POSIX only."""

import asyncio
import contextlib
import os
import sys

HELP = "space press / let go   t tap   + - volume   w Wi-Fi off / on   q quit"


@contextlib.contextmanager
def listen(keyboard, note):
    """Send keys (of a terminal) or lines (of anything else on stdin) to a runner.Keyboard until the block is left.

    note(text) is called with what a key has just done. The terminal is as it was after the block, however it is left.
    """
    fd = sys.stdin.fileno()
    is_terminal = os.isatty(fd)
    with _one_key_at_a_time(fd) if is_terminal else contextlib.nullcontext():
        reader = Keys(keyboard, note) if is_terminal else Lines(keyboard, note)
        loop = asyncio.get_running_loop()
        try:
            loop.add_reader(fd, _feed, loop, fd, reader)
        except PermissionError:
            # A plain file is always readable, and epoll will not watch it: it is read here, all at once.
            reader.feed(sys.stdin.buffer.read())
            reader.feed(b"")
        try:
            yield
        finally:
            loop.remove_reader(fd)


def _feed(loop, fd, reader):
    try:
        data = os.read(fd, 4096)
    except BlockingIOError:
        return
    if not data:
        loop.remove_reader(fd)
    reader.feed(data)


@contextlib.contextmanager
def _one_key_at_a_time(fd):
    import termios

    before = termios.tcgetattr(fd)
    raw = termios.tcgetattr(fd)
    raw[3] &= ~(termios.ICANON | termios.ECHO)  # Ctrl-C stays a signal, output stays as it is
    raw[6][termios.VMIN] = 1
    raw[6][termios.VTIME] = 0
    termios.tcsetattr(fd, termios.TCSADRAIN, raw)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


class Keys:
    """Single keys -> script lines."""

    def __init__(self, keyboard, note):
        self._keyboard = keyboard
        self._note = note
        self._is_down = False
        self._is_wifi_up = True

    def feed(self, data):
        if not data:
            self._keyboard.send("quit")
        for byte in data:
            self._key(chr(byte))

    def _key(self, key):
        if key == " ":
            self._is_down = not self._is_down
            self._send("press" if self._is_down else "release")
        elif key == "t" and not self._is_down:
            self._send("tap")
        elif key in "+=":
            self._send("volume up")
        elif key in "-_":
            self._send("volume down")
        elif key == "w":
            self._is_wifi_up = not self._is_wifi_up
            self._send("wifi up" if self._is_wifi_up else "wifi down")
        elif key in "q\x04":
            self._send("quit")
        elif key in "?h":
            self._note(HELP)

    def _send(self, line):
        self._keyboard.send(line)
        self._note(line)


class Lines:
    """Lines of a pipe or a file, passed on as they are; its end lets the speaker quit once it has done them."""

    def __init__(self, keyboard, note):
        self._keyboard = keyboard
        self._note = note
        self._rest = b""

    def feed(self, data):
        if not data:
            self._line(self._rest)
            self._note("end of the input: quit when it is done (at a terminal the keyboard is the button)")
            self._keyboard.send("quit")
            return
        parts = (self._rest + data).split(b"\n")
        self._rest = parts.pop()
        for part in parts:
            self._line(part)

    def _line(self, line):
        text = line.decode("utf-8", "replace").strip()
        if text.startswith("say "):
            # The speaker's current folder is another one.
            text = 'say "%s"' % os.path.abspath(text[4:].strip().strip('"'))
        if text:
            self._keyboard.send(text)
