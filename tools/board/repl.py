"""A board's raw REPL, through mpremote's transport: run code, read and write files.

    with Repl(port) as board:
        board.exec("import os; print(os.listdir('/'))")

Entering ends a running application as a person's Ctrl-C does and waits for the prompt. Nothing here restarts it:
`board.reset()` does, or the person.
"""

import ast
import base64
import contextlib
import io
import re
import struct
import time

import serial
from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport

from tools import ToolError, printable
from tools.board import ports

READ_TIMEOUT_S = 5  # for one byte of the transport's own dialogue
EXEC_TIMEOUT_S = 10  # for the next byte of what code prints
BUSY_TIMEOUT_S = 1  # a program that has just let go of the port
INTERRUPT_TIMEOUT_S = 12  # an application that closes Wi-Fi and sound in order needs a few seconds
_PROMPT = b">>> "
_CHUNK_BYTES = 1536  # what is written per exec: 2 KB of base64, small beside any board's heap

SILENT_TEXT = """\
%s is open, but nothing answers.
  - Press RST on the board and try again within a few seconds.
  - No MicroPython on it yet? `python -m tools doctor` asks the chip itself, `python -m tools flash` writes it.
  - A board with two USB sockets: MicroPython answers on both, an unplugged or half plugged cable on neither."""
CHATTER_TEXT = """\
%s sends, but shows no MicroPython prompt; the last it sent: %s
  - Press RST, wait a second, try again: boot.py leaves two seconds before the application begins.
  - An endless series of such lines is a chip that cannot start what is in its flash: `python -m tools flash`."""


class BoardError(ToolError):
    """Code that ran on the board raised; `traceback` is the board's own text, `number` the errno of an OSError."""

    def __init__(self, text, traceback=""):
        super().__init__(text)
        self.traceback = traceback
        found = re.search(r"OSError: (?:\[Errno (\d+)\]|(\d+)|.*errno (\d+))", traceback)
        self.number = int(next(group for group in found.groups() if group)) if found else None


class BoardLost(ToolError):
    """The board stopped answering or the cable went; what it was doing is in the text."""


class Repl:
    """Context manager; see the module. fresh: begin with a soft reset, so that the heap is empty and boot.py has run.

    transport is mpremote's, for its own functions, which are called within guard().
    """

    def __init__(self, port, fresh=False):
        self.port = port
        self._fresh = fresh
        self.transport = None

    def __enter__(self):
        self._open()
        try:
            self._interrupt()
            with self.guard("entering the REPL"), contextlib.redirect_stdout(io.StringIO()):
                # mpremote prints what it received before it raises; the error that we raise says it better.
                self.transport.enter_raw_repl(soft_reset=self._fresh)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_):
        if self.transport:
            try:
                self.transport.exit_raw_repl()
            except (OSError, serial.SerialException):
                pass  # the cable has gone: whoever is in the with-block knows already
        self._close()

    def _open(self):
        give_up_s = time.monotonic() + BUSY_TIMEOUT_S
        while True:
            try:
                self.transport = SerialTransport(self.port, timeout=READ_TIMEOUT_S)
                break
            except (TransportError, OSError, ValueError) as error:
                # mpremote hides the reason: ask pyserial again, whose error tells busy from forbidden.
                try:
                    ports.open_serial(self.port, 0).close()
                except ports.PortBusy:
                    if time.monotonic() > give_up_s:
                        raise
                if time.monotonic() > give_up_s:
                    text = "cannot open %s: %s; unplug the board, plug it in again"
                    raise ToolError(text % (self.port, error)) from None
            time.sleep(0.1)
        self.transport.serial.write_timeout = 10

    def _close(self):
        transport, self.transport = self.transport, None
        if transport:
            with contextlib.suppress(OSError, serial.SerialException):
                transport.close()

    def _interrupt(self):
        """Ctrl-C until the prompt is there. Ctrl-B is sent with the second one only: it brings a raw REPL that another
        program left open back to the prompt, but a running application would take it for input."""
        port = self.transport.serial
        port.timeout = 0.1
        seen = b""
        try:
            deadline_s = time.monotonic() + INTERRUPT_TIMEOUT_S
            ask_s = 0
            keys = b"\r\x03"
            while time.monotonic() < deadline_s:
                if time.monotonic() >= ask_s:
                    port.write(keys)
                    keys = b"\r\x03\x02"
                    ask_s = time.monotonic() + 1.5
                got = port.read(max(1, port.in_waiting))
                seen = (seen + got)[-4096:]
                if not got and seen.endswith(_PROMPT):  # quiet for 0.1 s behind a prompt
                    return
            raise ToolError(self._unanswered_text(seen))
        except (OSError, serial.SerialException) as error:
            text = "lost %s while waiting for its prompt (%s); check the cable"
            raise BoardLost(text % (self.port, ports.why_lost(error))) from None
        finally:
            with contextlib.suppress(OSError, serial.SerialException):
                port.timeout = READ_TIMEOUT_S

    def _unanswered_text(self, seen):
        if not seen.strip(b"\x00\xff\r\n "):
            return SILENT_TEXT % self.port
        return CHATTER_TEXT % (self.port, printable(seen[-80:].decode("utf-8", "replace")).strip())

    @contextlib.contextmanager
    def guard(self, doing):
        """The transport's errors become ToolErrors that say what was being done."""
        if not self.transport:
            raise BoardLost("the connection to %s is closed" % self.port)
        try:
            yield
        except TransportExecError as error:
            raise _board_error(error.error_output, doing) from None
        except (TransportError, struct.error, serial.SerialException, OSError, UnicodeError) as error:
            text = "lost the board at %s while %s (%s); check the cable, press RST, try again"
            raise BoardLost(text % (self.port, doing, ports.why_lost(error))) from None

    # -- running code

    def exec(self, code, timeout_s=None, doing="running code", on_output=None):
        """What `code` printed, as text. timeout_s: longest silence (default: 10); on_output(bytes) is told each byte.

        Raises BoardError when the code raised, BoardLost when the board no longer answers.
        """
        with self.guard(doing):
            out, error = self.transport.exec_raw(code, timeout=timeout_s or EXEC_TIMEOUT_S, data_consumer=on_output)
            if error:
                raise TransportExecError(out, error.decode("utf-8", "replace"))
        return out.decode("utf-8", "replace").replace("\r\n", "\n")

    def stop(self, on_output=None):
        """Ctrl-C to the code that exec() followed when a KeyboardInterrupt took us away; the rest of what it says."""
        with self.guard("ending it"):
            self.transport.serial.write(b"\x03")
            self.transport.follow(EXEC_TIMEOUT_S, on_output)

    def type(self, data):
        """Send bytes to the standard input of the code that exec() runs, from its on_output."""
        with self.guard("answering"):
            self.transport.serial.write(data)

    def eval(self, expression, timeout_s=None):
        """Value of an expression whose repr is a literal."""
        text = self.exec("print(repr(%s))" % expression, timeout_s)
        with self.understanding(text):
            return ast.literal_eval(text.strip())

    @contextlib.contextmanager
    def understanding(self, text):
        """Around the reading of what the board printed: the chip's own log may have come in between."""
        try:
            yield
        except (ValueError, SyntaxError, LookupError, TypeError, RecursionError):
            words = "the board at %s sent something else than was asked for (%s); try again"
            raise BoardLost(words % (self.port, printable(text[:80]))) from None

    def start(self, code):
        """Begin to run `code` and return at once; this object is of no use afterwards. What it prints can be read from
        the port by whoever opens it next."""
        with self.guard("starting"):
            self.transport.exec_raw_no_follow(code)
        self._close()

    def reset(self, is_followed=False):
        """Reset the chip, so that boot.py and main.py run; this object is of no use afterwards. A native USB port
        vanishes for a second or two. is_followed: returns the open pyserial port, so that no line of the start is lost.
        """
        code = "import machine\nmachine.reset()\n"
        if not is_followed:
            return self.start(code)
        with self.guard("resetting"):
            self.transport.exec_raw_no_follow(code)
        transport, self.transport = self.transport, None
        return transport.serial

    # -- files; paths are absolute, with slashes

    def exists(self, path):
        return self.size(path) is not None

    def size(self, path):
        """Size of a file in bytes, -1 for a folder, None when there is no such thing."""
        code = (
            "import os\ntry:\n s=os.stat(%r)\n print(-1 if s[0]&0x4000 else s[6])\n"
            "except OSError as e:\n print('no',e.errno)"
        )
        text = self.exec(code % path, doing="looking for " + path)
        with self.understanding(text):
            words = text.split()
            if words[0] != "no":
                return int(words[0])
            number = int(words[1])
        if number in (2, 20):  # no such file; a part of the way to it is no folder
            return None
        raise BoardError("%s on the board cannot be looked at: error %d" % (path, number))

    def listdir(self, path="/"):
        """Names in a folder, sorted."""
        code = "import os\nfor n in os.ilistdir(%r):\n print(repr(n[0]))" % path
        text = self.exec(code, doing="listing " + path)
        with self.understanding(text):
            return sorted(ast.literal_eval(line) for line in text.split("\n") if line)

    def mkdir(self, path):
        """Make a folder and those above it; one that is there is fine."""
        code = (
            "import os\np=''\nfor n in %r.strip('/').split('/'):\n p+='/'+n\n try:\n  os.mkdir(p)\n"
            " except OSError as e:\n  if e.errno!=17:\n   raise"
        )
        self.exec(code % path, doing="making the folder " + path)

    def remove(self, path):
        """Remove a file or a folder with all that is in it; nothing there is fine."""
        code = (
            "import os\ndef _rm(p):\n try:\n  s=os.stat(p)\n except OSError:\n  return\n if s[0]&0x4000:\n"
            "  for n in list(os.ilistdir(p)):\n   _rm(p+'/'+n[0])\n  os.rmdir(p)\n else:\n  os.remove(p)\n_rm(%r)"
        )
        self.exec(code % path, timeout_s=60, doing="removing " + path)

    def read_file(self, path):
        """The bytes of a file. BoardError with number 2 when there is none."""
        code = (
            "from binascii import b2a_base64 as _b\nwith open(%r,'rb') as f:\n while True:\n  d=f.read(768)\n"
            "  if not d:\n   break\n  print(_b(d).decode(),end='')"
        )
        text = self.exec(code % path, doing="reading " + path)
        with self.understanding(text):
            return b"".join(base64.b64decode(line, validate=True) for line in text.split())

    def write_file(self, path, data, on_bytes=None):
        """Write a file so that it is the old one or the new one at every moment; on_bytes(count) after each piece.

        The folder must be there. BoardError with number 28 when the disk is full, and the old file is untouched.
        """
        new = path + ".new"
        doing = "writing " + path
        try:
            self.exec("from binascii import a2b_base64 as _b\n_f=open(%r,'wb')" % new, doing=doing)
            for start in range(0, len(data), _CHUNK_BYTES):
                piece = data[start : start + _CHUNK_BYTES]
                self.exec("_f.write(_b(%r))" % base64.b64encode(piece), doing=doing)
                if on_bytes:
                    on_bytes(len(piece))
            self.exec("_f.close()\n" + _RENAME % (new, path, path, new, path), doing=doing)
        except BoardError:
            with contextlib.suppress(ToolError):
                self.exec("_f.close()\nimport os\nos.remove(%r)" % new)
            raise

    def sha256(self, path):
        """Hash of a file, in hex, computed on the board."""
        code = (
            "import hashlib\nfrom binascii import hexlify\nh=hashlib.sha256()\nb=memoryview(bytearray(2048))\n"
            "with open(%r,'rb') as f:\n while True:\n  n=f.readinto(b)\n  if not n:\n   break\n  h.update(b[:n])\n"
            "print(hexlify(h.digest()).decode())"
        )
        return self.exec(code % path, timeout_s=30, doing="checking " + path).strip()

    def free_bytes(self):
        """(free, total) bytes of the file system."""
        text = self.exec("import os\ns=os.statvfs('/')\nprint(s[0]*s[3],s[1]*s[2])")
        with self.understanding(text):
            free, total = text.split()
            return int(free), int(total)


# LittleFS replaces the target of a rename in one step. FAT, which some builds use, refuses (17), and has no such step.
_RENAME = """import os
try:
 os.rename(%r,%r)
except OSError as e:
 if e.errno!=17:
  raise
 os.remove(%r)
 os.rename(%r,%r)
"""


def _board_error(traceback, doing):
    traceback = printable(traceback.replace("\r\n", "\n"), keep="\n")
    last = traceback.strip().splitlines()[-1] if traceback.strip() else "no reason given"
    error = BoardError("the board failed at %s: %s" % (doing, last), traceback)
    if error.number == 28:
        text = "the board's disk is full (%s); `python -m tools doctor` shows what is on it"
        return BoardError(text % doing, traceback)
    if error.number == 2:
        return BoardError("no such file on the board (%s)" % doing, traceback)
    return error
