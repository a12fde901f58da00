"""The partition table inside a flash image of an ESP32: where the file system of MicroPython lies.

Format: ESP-IDF's "Partition Tables" page; 32 bytes an entry, little endian, at 0x8000 of the flash.
"""

import hashlib
import struct

from tools import ToolError

TABLE_OFFSET = 0x8000
TABLE_BYTES = 0xC00
_ENTRY_BYTES = 32
_MAGIC = b"\xaa\x50"
_MD5_MAGIC = b"\xeb\xeb"
APP, DATA = 0, 1


class Partition:
    def __init__(self, name, kind, subtype, offset, size):
        self.name = name
        self.kind = kind
        self.subtype = subtype
        self.offset = offset
        self.size = size

    @property
    def end(self):
        return self.offset + self.size

    def __repr__(self):
        return "Partition(%r, %d, %d, 0x%x, 0x%x)" % (self.name, self.kind, self.subtype, self.offset, self.size)


def read(image):
    """The partitions of a flash image that begins at address 0, in the table's order. ToolError when there is no whole
    table."""
    table = image[TABLE_OFFSET : TABLE_OFFSET + TABLE_BYTES]
    found = []
    for start in range(0, len(table), _ENTRY_BYTES):
        entry = table[start : start + _ENTRY_BYTES]
        if entry[:2] == _MD5_MAGIC:
            if hashlib.md5(table[:start]).digest() != entry[16:32]:
                raise ToolError("the partition table of the image is damaged: its checksum is wrong. Download it again")
            break
        if entry[:2] != _MAGIC or len(entry) < _ENTRY_BYTES:
            break
        kind, subtype, offset, size, name = struct.unpack("<2xBBII16s4x", entry)
        found.append(Partition(name.rstrip(b"\0").decode("ascii", "replace"), kind, subtype, offset, size))
    if not found:
        raise ToolError("the image holds no partition table at 0x%x: it is not a whole flash image" % TABLE_OFFSET)
    return found


def file_system(table, flash_bytes):
    """(offset, size) of MicroPython's file system on a chip with flash_bytes of flash, None: not known.

    Older images name a partition "vfs"; newer ones may name none and take, at the start, all flash behind the last
    partition (ports/esp32/main.c), so that its size depends on the chip.
    """
    for partition in table:
        if partition.name == "ffat":
            raise ToolError("this image keeps FAT on the disk; take the one for ESP32_GENERIC_S3, which keeps LittleFS")
        if partition.name == "vfs":
            if flash_bytes and partition.end > flash_bytes:
                text = "the image is for %d MB of flash, the chip has %d MB: take one for its size"
                raise ToolError(text % (partition.end >> 20, flash_bytes >> 20))
            return partition.offset, partition.size
    if not flash_bytes:
        text = "this MicroPython takes all flash behind it for its files, so the size must be known: --flash-size 16MB"
        raise ToolError(text + " (`python -m tools doctor` tells it)")
    offset = max(partition.end for partition in table)
    if offset >= flash_bytes:
        text = "the image needs %d MB and leaves no room for files on %d MB"
        raise ToolError(text % (offset >> 20, flash_bytes >> 20))
    return offset, flash_bytes - offset
