"""Judges a MicroPython image for the ESP32-S3 before anything is erased: the right chip, whole, MicroPython, which."""

import os
import re
import struct

from tools import ToolError
from tools.board import partitions

CHIP_ID = 9  # of the ESP32-S3, in the image's extended header
OLDEST = (1, 24)
_CHIPS = {0: "ESP32", 2: "ESP32-S2", 5: "ESP32-C3", 9: "ESP32-S3", 12: "ESP32-C2", 13: "ESP32-C6", 16: "ESP32-H2"}
_CHIPS.update({18: "ESP32-P4", 20: "ESP32-C61", 23: "ESP32-C5"})
_MAGIC = 0xE9
OCTAL, QUAD = "octal", "quad"
WHERE_TEXT = "MicroPython's download page for ESP32_GENERIC_S3 has it; take the .bin file"


class Image:
    """A judged image: data, name, version (tuple), machine (MicroPython's text), psram (OCTAL, QUAD or None: unknown),
    table (partitions)."""

    def __init__(self, data, name, version, machine, psram, table):
        self.data = data
        self.name = name
        self.version = version
        self.machine = machine
        self.psram = psram
        self.table = table

    def text(self):
        psram = {OCTAL: "for octal PSRAM", QUAD: "for quad PSRAM or none", None: "PSRAM kind not stated"}[self.psram]
        dotted = ".".join(map(str, self.version))
        return "%s: MicroPython %s, %s, %s, %d KB" % (self.name, dotted, self.machine, psram, len(self.data) // 1024)


def load(path):
    """The Image in a file. ToolError with cause and cure when it must not be written to an ESP32-S3."""
    name = os.path.basename(path)
    try:
        with open(path, "rb") as file:
            data = file.read(32 << 20)
    except OSError as error:
        raise ToolError("cannot read %s: %s" % (path, error.strerror)) from None
    return judge(data, name)


def judge(data, name):
    """The Image in `data`, the bytes of a flash from address 0 on."""
    if name.endswith(".uf2") or data[:4] == b"UF2\n":
        raise ToolError("%s is a UF2 file, for boards that show up as a disk; %s" % (name, WHERE_TEXT))
    if name.endswith(".app-bin") or (data[:1] == b"\xe9" and data[0x20:0x24] == b"\x32\x54\xcd\xab"):
        raise ToolError("%s is an update without the part that starts the chip; %s" % (name, WHERE_TEXT))
    _check_chip(data, name)
    _check_part(data, 0, "the boot loader", name)
    table = partitions.read(data)
    applications = [partition for partition in table if partition.kind == partitions.APP]
    if not applications:
        raise ToolError("%s holds no program, only a partition table; %s" % (name, WHERE_TEXT))
    first = min(applications, key=lambda partition: partition.offset)
    if len(data) <= first.offset:
        raise ToolError("%s ends before its program begins: it is cut short. Download it again" % name)
    _check_part(data, first.offset, "the program", name)
    program = data[first.offset : first.end]
    version, machine = _micropython(program, name)
    if version[:2] < OLDEST:
        text = "%s is MicroPython %d.%d; the speaker needs %d.%d or later; %s"
        raise ToolError(text % ((name,) + version[:2] + OLDEST + (WHERE_TEXT,)))
    return Image(data, name, version, machine, _psram(machine, name), table)


def _check_chip(data, name):
    if len(data) < 24 or data[0] != _MAGIC:
        what = "a web page" if data.lstrip()[:1] == b"<" else "no image of a chip's flash"
        raise ToolError("%s is %s; %s" % (name, what, WHERE_TEXT))
    chip = struct.unpack_from("<H", data, 12)[0]
    if chip != CHIP_ID:
        other = _CHIPS.get(chip, "chip %d" % chip)
        raise ToolError("%s is for the %s, not the ESP32-S3; %s" % (name, other, WHERE_TEXT))


def _check_part(data, offset, what, name):
    """Segments, checksum and SHA-256 of the program at offset, as esptool reads them."""
    from esptool.bin_image import LoadFirmwareImage

    try:
        image = LoadFirmwareImage("esp32s3", data[offset:])
        if image.chip_id != CHIP_ID:
            raise ToolError("%s of %s is for another chip; %s" % (what, name, WHERE_TEXT))
        is_whole = image.checksum == image.calculate_checksum()
        if image.append_digest:
            is_whole = is_whole and image.stored_digest == image.calc_digest
    except ToolError:
        raise
    except Exception:  # of any kind: esptool trusts the lengths and flags that it reads
        is_whole = False
    if not is_whole:
        raise ToolError("%s of %s is cut short or damaged: its check sums do not fit. Download it again" % (what, name))


def _micropython(program, name):
    found = re.search(rb"MicroPython v(\d+)\.(\d+)(?:\.(\d+))?[^\0;]{0,60} on \d{4}-\d\d-\d\d", program)
    if not found:
        raise ToolError("%s is an ESP32-S3 program, but not MicroPython; %s" % (name, WHERE_TEXT))
    machine = re.search(rb"[ -~]{3,80} with ESP32-?S3", program)
    text = machine.group().decode().lstrip("; ") if machine else "unknown board"
    return tuple(int(group or 0) for group in found.groups()), text


def _psram(machine, name):
    """Which PSRAM the image drives. MicroPython says so in the name of the board and of the file (SPIRAM_OCT)."""
    if "octal" in machine.lower() or "SPIRAM_OCT" in name.upper():
        return OCTAL
    if machine.startswith(("Generic ESP32S3 module", "Pipit speaker")):  # the latter: boards/micropython/
        return QUAD
    return None


def find(path, psram=None):
    """The Image to write: the file at `path`, or the newest in the folder that fits; psram: OCTAL, QUAD, None: any.

    ToolError when none fits, with what was wrong with each.
    """
    if not os.path.isdir(path):
        return load(path)
    images, refused = [], []
    for name in sorted(os.listdir(path)):
        if not name.endswith(".bin"):
            continue
        try:
            image = load(os.path.join(path, name))
        except ToolError as error:
            refused.append(str(error))
            continue
        if psram and image.psram and image.psram != psram:
            refused.append("%s is for another PSRAM: %s is needed" % (name, psram))
        else:
            images.append(image)
    if not images:
        why = "".join("\n  - " + text for text in refused) or " (no .bin file at all)"
        raise ToolError("no image in %s fits:%s\n%s" % (path, why, WHERE_TEXT))
    return max(images, key=lambda image: (image.version, image.psram == psram, image.name))
