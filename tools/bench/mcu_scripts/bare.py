"""Makes a MicroPython without files, sockets, clock and scheduler import the firmware's modules. Runs first, once.

    put(name, data)    one piece of a file; files live in the heap and leave it as they are imported
"""

import io
import json
import sys

import micropython
import vfs

_FILE = 0x8000
_FOLDER = 0x4000
_files = {}


def put(name, data):
    _files.setdefault(name, []).append(data)


class _File(io.IOBase):
    def __init__(self, pieces):
        self._pieces = pieces
        self._at = 0  # in the first piece

    def readinto(self, buf):
        """Fill buf: the importer takes a short count for the end of the file."""
        done = 0
        while done < len(buf) and self._pieces:
            piece = self._pieces[0]
            n = min(len(buf) - done, len(piece) - self._at)
            buf[done : done + n] = piece[self._at : self._at + n]
            done += n
            self._at += n
            if self._at == len(piece):
                self._pieces.pop(0)
                self._at = 0
        return done

    def ioctl(self, request, arg):
        return 0


class _Files:
    def mount(self, readonly, mkfs):
        pass

    def umount(self):
        pass

    def stat(self, path):
        path = path.lstrip("/")
        if path in _files:
            return (_FILE, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        for name in _files:
            if name.startswith(path + "/"):
                return (_FOLDER, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        raise OSError(2)

    def open(self, path, mode):
        return _File(_files.pop(path.lstrip("/")))


vfs.mount(_Files(), "/lib")
sys.path[:] = ["/lib"]


class _Module:
    def __init__(self, **members):
        for name in members:
            setattr(self, name, members[name])


class _Event:
    def __init__(self):
        self._is_set = False

    def set(self):
        self._is_set = True

    def clear(self):
        self._is_set = False

    def is_set(self):
        return self._is_set


class _Poll:
    def register(self, stream, flags):
        pass

    def poll(self, timeout_ms):
        return []


# The clock's functions are C on a device: native code here, so that they cost about as little.
@micropython.viper
def _add(a: int, b: int) -> int:
    return a + b


@micropython.viper
def _subtract(a: int, b: int) -> int:
    return a - b


class Clock:
    """Stands still unless it is moved."""

    ms = 0

    @staticmethod
    @micropython.native
    def ticks_ms():
        return Clock.ms


_CHANCE = bytes([i * 89 + 18 & 0xFF for i in range(64)])


def _chance(n):
    return _CHANCE[:n]


class _SHA1:
    """This build has none, and both sides of the handshake are ours here."""

    def __init__(self, data):
        pass

    def digest(self):
        return bytes(20)


sys.modules["asyncio"] = _Module(Event=_Event)
sys.modules["select"] = _Module(poll=_Poll, POLLIN=1, POLLOUT=4)
sys.modules["hashlib"] = _Module(sha1=_SHA1)
sys.modules["os"] = _Module(urandom=_chance)
sys.modules["firmware.compat"] = _Module(
    const=lambda value: value,
    ticks_ms=Clock.ticks_ms,
    ticks_add=_add,
    ticks_diff=_subtract,
    wait_event=lambda event: event,
    parse_json=json.loads,
)
Ports = _Module(ticks_ms=Clock.ticks_ms, random_bytes=_chance)
