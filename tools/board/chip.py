"""The ESP32-S3 in its loader, through esptool: what it is, writing its flash."""

import contextlib
import os

import serial
from esptool import cmds
from esptool.logger import TemplateLogger, log
from esptool.util import FatalError, flash_size_bytes

from tools import ToolError
from tools.board import esp_image, ports

FLASH_BAUD_HZ = 460800
LOADER_TEXT = """\
the chip at %s does not answer in its loader (%s).
  - Hold BOOT, press and let go RST, let go BOOT; then the same command again.
  - Close every program that uses the port, and use a data cable without a hub."""
# eFuse PSRAM_CAP with PSRAM_CAP_3 (esptool's targets/esp32s3.py): MB in the package. The eFuse does not tell the kind.
# The datasheet's table of variants does: R2 is quad; R8, R8V and R16V are octal. It has none with 4 MB: that is asked.
_PSRAM = {0: (0, None), 1: (8, esp_image.OCTAL), 2: (2, esp_image.QUAD), 3: (16, esp_image.OCTAL), 4: (4, None)}


class Chip:
    """name, flash_bytes (None: unknown), psram_mb (None: unknown), psram (OCTAL, QUAD, None: none in the package, or of
    a kind that cannot be told), esptool's loader."""

    def __init__(self, loader, name, flash_bytes, psram_mb, psram):
        self.loader = loader
        self.name = name
        self.flash_bytes = flash_bytes
        self.psram_mb = psram_mb
        self.psram = psram

    def text(self):
        flash = "%d MB of flash" % (self.flash_bytes >> 20) if self.flash_bytes else "flash of unknown size"
        return "%s, %s, %s" % (self.name, flash, self.psram_text())

    def psram_text(self):
        if self.psram_mb == 0:
            return "no PSRAM in its package"
        size = "%d MB of " % self.psram_mb if self.psram_mb else ""
        return "%s%s PSRAM" % (size, self.psram) if self.psram else "%sPSRAM of unknown kind" % size


class _Quiet(TemplateLogger):
    """esptool's messages: warnings are shown, progress goes to on_progress(done, total), the rest is ours to say."""

    def __init__(self):
        self.is_set = False  # esptool takes a logger once for the life of the program

    def use(self, say, on_progress):
        if not self.is_set:
            log.set_logger(self)
            self.is_set = True
        self._say = say
        self._on_progress = on_progress

    def print(self, *args, **kwargs):
        pass

    def note(self, message):
        pass

    def warning(self, message):
        self._say("esptool: " + str(message))

    def error(self, message):
        self._say("esptool: " + str(message))

    def stage(self, finish=False):
        pass

    def set_verbosity(self, verbosity):
        pass

    def progress_bar(self, cur_iter, total_iters, prefix="", suffix="", bar_length=30):
        self._on_progress(cur_iter, total_iters)


_QUIET = _Quiet()


@contextlib.contextmanager
def connect(port, attempts=5, baud_hz=FLASH_BAUD_HZ, say=print, on_progress=lambda done, total: None):
    """A Chip in its loader; it is reset into its program at the end. ToolError when none answers."""
    ports.open_serial(port, 0).close()  # busy and forbidden ports are told in our words
    _QUIET.use(say, on_progress)
    is_pty = port.startswith("/dev/pts/")  # has no lines to reset a chip with
    try:
        mode = "no-reset" if is_pty else "default-reset"
        loader = cmds.detect_chip(port, connect_mode=mode, connect_attempts=attempts)
    except (FatalError, OSError, serial.SerialException) as error:
        raise ToolError(LOADER_TEXT % (port, str(error).splitlines()[0])) from None
    except KeyboardInterrupt:
        say("stopped; nothing was touched")
        raise
    try:
        if loader.CHIP_NAME != "ESP32-S3":
            raise ToolError("the chip at %s is an %s; the speaker needs an ESP32-S3" % (port, loader.CHIP_NAME))
        try:
            psram_mb, psram = _PSRAM.get(loader.get_psram_cap(), (None, None))
            loader = loader.run_stub()
            if not is_pty and baud_hz != ports.BAUD_HZ:
                loader.change_baud(baud_hz)
            cmds.attach_flash(loader)
            size = cmds.detect_flash_size(loader)
            chip = Chip(loader, loader.CHIP_NAME, flash_size_bytes(size) if size else None, psram_mb, psram)
        except (FatalError, OSError, serial.SerialException) as error:
            raise ToolError(LOADER_TEXT % (port, str(error).splitlines()[0])) from None
        yield chip
    finally:
        # Also a chip that was refused or interrupted: in its loader a speaker is silent.
        with contextlib.suppress(FatalError, OSError, serial.SerialException):
            cmds.reset_chip(loader, "no-reset-stub" if is_pty else "hard-reset")
        with contextlib.suppress(OSError, serial.SerialException):
            loader._port.close()


def write(chip, parts, is_erased_first):
    """Write [(address, bytes)] and compare the chip's MD5 of each with ours, as esptool does. ToolError when it fails:
    the chip is then without a program until the next try."""
    try:
        cmds.write_flash(chip.loader, parts, erase_all=is_erased_first)
    except (FatalError, OSError, serial.SerialException) as error:
        text = "writing failed (%s). The chip's loader cannot be damaged: run the same command again"
        raise ToolError(text % str(error).splitlines()[0]) from None


def parse_size(text):
    """Bytes of "16MB" or "4M". ToolError for anything else."""
    try:
        megabytes = int(text.upper().rstrip("B").rstrip("M"))
    except ValueError:
        megabytes = 0
    if megabytes not in (2, 4, 8, 16, 32):
        raise ToolError("%s is no size of flash; 4MB, 8MB, 16MB or 32MB" % text)
    return megabytes << 20


def is_terminal(stream):
    return os.isatty(stream.fileno())
