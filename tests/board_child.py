"""Runs on a real MicroPython, behind tests/repl_stand_in.py: the chip that executes what the board is asked to.

Arguments: flash file, blocks, number of the pipe with questions, of the pipe for answers, writes until the power goes,
machine text, flash bytes, PSRAM bytes, version. A question is a letter (C code, F file), a length, a text, or S and a
number, which the answer S repeats; an answer a letter (B begun, N no interrupts from now on, I interrupts again, S
synchronised, D done, E exited, R reset, X power gone), the number of the question, the writes so far, a length, the
text of the error.
"""

import io
import micropython as _micropython
import os
import struct
import sys

import vfs

BLOCK_BYTES = 4096
flash_file = open(sys.argv[1], "r+b")
questions = open("/dev/fd/" + sys.argv[3], "rb")
answers = open("/dev/fd/" + sys.argv[4], "wb")


class Reset(BaseException):
    pass


class Flash:
    """A block device in a file, as esp32.Partition is one; counts writes and loses the power in the middle of one.

    No `if` in these methods: MicroPython raises a Ctrl-C at jumps, and here that would throw LittleFS out of the middle
    of its work. The board's own block device is in C and has no such place.
    """

    def __init__(self, blocks, left):
        self.blocks = blocks
        self.left = left
        self.writes = 0

    def readblocks(self, number, buffer, offset=0):
        flash_file.seek(number * BLOCK_BYTES + offset)
        flash_file.readinto(buffer)

    def writeblocks(self, number, buffer, offset=0):
        flash_file.seek(number * BLOCK_BYTES + offset)
        self._count(buffer)
        flash_file.write(buffer)

    def ioctl(self, request, argument):
        return (self._nothing, self._size, self._block, self._erase)[max(0, request - 3)](argument)

    def _nothing(self, argument):
        return 0

    def _size(self, argument):
        return self.blocks

    def _block(self, argument):
        return BLOCK_BYTES

    def _erase(self, number):
        flash_file.seek(number * BLOCK_BYTES)
        self._count(_ERASED)
        flash_file.write(_ERASED)
        return 0

    def _count(self, buffer):
        (self._nothing, self._lose_power)[self.writes >= self.left](buffer)
        self.writes += 1

    def _lose_power(self, buffer):
        flash_file.write(memoryview(buffer)[: len(buffer) // 2])
        answer("X", "")
        while True:  # until the stand-in ends this process: nothing is written any more
            pass


_ERASED = b"\xff" * BLOCK_BYTES


def answer(word, error):
    error = error.encode()
    answers.write(word.encode() + struct.pack("<III", number, flash.writes, len(error)) + error)


class Machine:
    """The part of `machine` that tools ask for."""

    @staticmethod
    def reset():
        raise Reset

    @staticmethod
    def soft_reset():
        raise SystemExit

    @staticmethod
    def unique_id():
        return b"\x7c\xdf\xa1\x00\x00\x01"

    @staticmethod
    def freq():
        return 240000000


class Esp:
    @staticmethod
    def flash_size():
        return int(sys.argv[7])


class Esp32:
    HEAP_DATA = 4

    @staticmethod
    def idf_heap_info(kind):
        """(total, free, largest, smallest ever) of each region: two of the chip's RAM, and the PSRAM if there is any."""
        regions = [(277304, 90000, 65536, 80000), (22308, 20000, 19000, 20000)]
        psram = int(sys.argv[8])
        if psram:
            regions.append((psram - 40 * 1024, psram // 2, psram // 2, psram // 2))
        return regions


class Micropython:
    """`micropython`, but for Ctrl-C: on this port kbd_intr(-1) would let a Ctrl-C end the process."""

    @staticmethod
    def kbd_intr(byte):
        answer("N" if byte < 0 else "I", "")

    def __getattr__(self, name):
        return getattr(_micropython, name)


class Sys:
    """`sys` of the board: everything else is the real one's."""

    platform = "esp32"

    class implementation:
        name = "micropython"
        version = tuple(int(part) for part in sys.argv[9].split(".")) + ("",)
        _machine = sys.argv[6]
        _mpy = sys.implementation._mpy & 0xFF | 10 << 10  # 10: xtensawin

    def __getattr__(self, name):
        return getattr(_sys, name)


_sys = sys
flash = Flash(int(sys.argv[2]), int(sys.argv[5]))
vfs.umount("/")
try:
    vfs.mount(flash, "/")
except OSError:
    vfs.VfsLfs2.mkfs(flash)
    vfs.mount(flash, "/")
os.chdir("/")
_sys.path[:] = ["", ".frozen", "/lib"]
_sys.modules["machine"] = Machine()
_sys.modules["esp"] = Esp()
_sys.modules["esp32"] = Esp32()
_sys.modules["sys"] = Sys()
_sys.modules["micropython"] = Micropython()
shared = {"__name__": "__main__"}


def run(kind, text):
    if kind == b"F":
        try:
            with open(text) as file:
                code = file.read()
        except OSError:
            return
        exec(compile(code, text.lstrip("/"), "exec"), shared)
    else:
        exec(compile(text, "<stdin>", "exec"), shared)


def error_text(error):
    """As the board prints it: without the frames of this file."""
    buffer = io.StringIO()
    _sys.print_exception(error, buffer)
    lines = buffer.getvalue().split("\n")
    return "\n".join(line for line in lines if "board_child.py" not in line)


def ask():
    """The next question, None at the end. Its head is read in one piece: a Ctrl-C takes all of an S, or nothing."""
    head = questions.read(5)
    if not head:
        return None
    size = struct.unpack("<I", head[1:])[0]
    return head[:1], size if head[:1] == b"S" else questions.read(size).decode()


def execute(kind, text):
    try:
        answer("B", "")
        run(kind, text)
    except Reset:
        return "R", ""
    except SystemExit:
        return "E", ""
    except BaseException as raised:
        return "D", error_text(raised)
    return "D", ""


# A Ctrl-C that comes just as the code ends is raised here, at the wait for the next question or the sending of an
# answer. That is then sent again; the stand-in knows by the number that it has it already. And the stand-in asks S until
# it is answered before it asks the next question, which then no late Ctrl-C can eat.
number = 0
result = "D", ""


is_asked = False


def serve():
    global number, result, is_asked
    while True:  # within the caller's try: a Ctrl-C is raised at the jump back as well
        if result is None:
            question = ask()
            if question is None:
                return
            if question[0] == b"S":
                answers.write(b"S" + struct.pack("<III", question[1], flash.writes, 0))
                continue
            number += 1
            is_asked = True
            result = execute(*question)
            is_asked = False
        answer(*result)
        result = None


while True:
    try:
        serve()
        break
    except KeyboardInterrupt:
        if is_asked and result is None:  # it struck while the error of the code was being put into words
            result = "D", "KeyboardInterrupt: \n"
        is_asked = False
