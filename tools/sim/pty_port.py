"""The speaker's serial port on a pseudo terminal; runs in the child, on either interpreter.

The parent (runner.py) has made the pair and hands down the number of its open end. While nobody has opened the other
one, what is written is lost, as on a USB port without a host, and nothing is ever to be read.
"""

import os
import select
import sys

_IS_MICROPYTHON = sys.implementation.name == "micropython"
_CHUNK_BYTES = 256
_HOST_WAIT_MS = 200  # a host that takes nothing for so long loses what comes


class PtyPort:
    """The contract of firmware/serial/port.py. is_ctrl_c_taken: the application looks after Ctrl-C now."""

    def __init__(self, fd):
        self._file = open(fd, "r+b") if _IS_MICROPYTHON else _Raw(fd)
        self._poll = select.poll()
        self._poll.register(self._file if _IS_MICROPYTHON else fd, select.POLLIN)
        self._buf = bytearray(_CHUNK_BYTES)
        self._at = 0
        self._n = 0
        self.is_ctrl_c_taken = False

    def take_ctrl_c(self):
        self.is_ctrl_c_taken = True

    def give_back_ctrl_c(self):
        self.is_ctrl_c_taken = False

    def read(self):
        if self._at == self._n:
            self._at = self._n = 0
            if self._flags(select.POLLIN, 0) & select.POLLIN:
                try:
                    self._n = self._file.readinto(self._buf) or 0
                except OSError:
                    pass  # the host has gone
            if not self._n:
                return -1
        self._at += 1
        return self._buf[self._at - 1]

    def write(self, data):
        view = memoryview(data)
        while len(view):
            flags = self._flags(select.POLLOUT, _HOST_WAIT_MS)
            if flags & select.POLLHUP or not flags & select.POLLOUT:
                return
            try:
                view = view[self._file.write(view) or 0 :]
            except OSError:
                return

    def _flags(self, wanted, ms):
        self._poll.modify(self._file if _IS_MICROPYTHON else self._file.fd, wanted)
        for _, flags in self._poll.poll(ms):
            return flags
        return 0


class _Raw:
    """An open file's number as MicroPython's file object."""

    def __init__(self, fd):
        self.fd = fd

    def readinto(self, buf):
        try:
            return os.readv(self.fd, [buf])
        except BlockingIOError:
            return None

    def write(self, view):
        try:
            return os.write(self.fd, view)
        except BlockingIOError:
            return None
