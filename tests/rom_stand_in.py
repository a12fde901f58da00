"""The ESP32-S3's loader for tests: speaks its serial protocol (SLIP frames) over a pseudo terminal and keeps the flash
that is written to it. Protocol: Espressif's "Serial Protocol" page of the esptool documentation."""

import hashlib
import os
import pty
import select
import struct
import threading
import tty
import zlib

_END = 0xC0
_ESCAPES = {0xDC: 0xC0, 0xDD: 0xDB}
_SPI = 0x60002000
_SPI_CMD, _SPI_USR2, _SPI_W0 = _SPI, _SPI + 0x20, _SPI + 0x58
_EFUSE_BLOCK1 = 0x60007000 + 0x44
_READ_ID = 0x9F


class RomStandIn:
    """Context manager; port is its terminal. chip_id: 9 is the ESP32-S3; psram_code: of the eFuse, 1 is 8 MB octal.

    flash is what the chip holds; orders are the names of the commands in order; fail_at_write: that flash block and
    all later ones are answered with an error; spoil: a byte of the flash turns over after the writing.
    """

    def __init__(self, chip_id=9, psram_code=1, flash_mb=16, fail_at_write=None, spoil=False):
        self.chip_id = chip_id
        self.flash = bytearray(b"\x55") * (flash_mb << 20)
        self.orders = []
        self._size_code = {4: 0x16, 8: 0x17, 16: 0x18}[flash_mb]
        self._registers = {_EFUSE_BLOCK1 + 16: (psram_code & 3) << 3, _EFUSE_BLOCK1 + 20: (psram_code >> 2) << 19}
        self._fail_at_write = fail_at_write
        self._spoil = spoil
        self._writes = 0
        self._is_stub = False
        self._packed = b""
        self._address = 0

    def __enter__(self):
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        os.write(self._wake_write, b"q")
        self._thread.join(10)
        for number in (self._master, self._slave, self._wake_read, self._wake_write):
            os.close(number)

    def _run(self):
        frame, is_in, is_escaped = bytearray(), False, False
        while True:
            ready = select.select([self._master, self._wake_read], [], [])[0]
            if self._wake_read in ready:
                return
            for byte in os.read(self._master, 65536):
                if byte == _END:
                    if is_in and frame:
                        self._order(bytes(frame))
                        frame, is_in = bytearray(), False
                    else:
                        frame, is_in = bytearray(), True
                elif not is_in:
                    continue  # what somebody said to a REPL that is not here
                elif is_escaped:
                    frame.append(_ESCAPES[byte])
                    is_escaped = False
                elif byte == 0xDB:
                    is_escaped = True
                else:
                    frame.append(byte)

    def _frame(self, data):
        data = data.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
        data = b"\xc0" + data + b"\xc0"
        while data:
            data = data[os.write(self._master, data) :]

    def _answer(self, order, value=0, data=b"", error=0):
        status = bytes((1 if error else 0, error)) + (b"" if self._is_stub else b"\0\0")
        self._frame(struct.pack("<BBHI", 1, order, len(data) + len(status), value) + data + status)

    def _order(self, frame):
        _, order, _, _ = struct.unpack_from("<BBHI", frame)
        body = frame[8:]
        name = {
            0x02: "flash_begin", 0x03: "flash_data", 0x04: "flash_end", 0x05: "mem_begin", 0x06: "mem_end",
            0x07: "mem_data", 0x08: "sync", 0x09: "write_reg", 0x0A: "read_reg", 0x0B: "spi_set_params",
            0x0D: "spi_attach", 0x0F: "change_baud", 0x10: "flash_defl_begin", 0x11: "flash_defl_data",
            0x12: "flash_defl_end", 0x13: "md5", 0x14: "security_info", 0xD0: "erase_flash", 0xD2: "run_user_code",
        }.get(order)  # fmt: skip
        self.orders.append(name or hex(order))
        if name is None:
            self._answer(order, error=5)
            return
        getattr(self, "_do_" + name, self._do_nothing)(order, body)

    def _do_nothing(self, order, body):
        self._answer(order)

    def _do_sync(self, order, body):
        for _ in range(8):
            self._answer(order, value=0x20120707)

    def _do_read_reg(self, order, body):
        address = struct.unpack("<I", body)[0]
        value = self._registers.get(address, 0)
        if address == _SPI_CMD:
            value = 0  # done at once
        if address == _SPI_W0 and self._registers.get(_SPI_USR2, 0) & 0xFF == _READ_ID:
            value = self._size_code << 16 | 0x40 << 8 | 0xEF
        self._answer(order, value)

    def _do_write_reg(self, order, body):
        address, value = struct.unpack_from("<II", body)
        self._registers[address] = value
        self._answer(order)

    def _do_security_info(self, order, body):
        self._answer(order, data=struct.pack("<IB7BII", 0, 0, *[0] * 7, self.chip_id, 0))

    def _do_mem_end(self, order, body):
        self._answer(order)
        self._is_stub = True
        self._frame(b"OHAI")

    def _do_erase_flash(self, order, body):
        self.flash[:] = b"\xff" * len(self.flash)
        self._answer(order)

    def _do_flash_begin(self, order, body):
        self._address = struct.unpack_from("<4I", body)[3]
        self._answer(order)

    def _do_flash_defl_begin(self, order, body):
        self._finish()
        self._do_flash_begin(order, body)
        self._packed = b""

    def _do_flash_data(self, order, body):
        size = struct.unpack_from("<I", body)[0]
        if self._is_bad():
            self._answer(order, error=8)
            return
        self._store(body[16 : 16 + size])
        self._answer(order)

    def _do_flash_defl_data(self, order, body):
        size = struct.unpack_from("<I", body)[0]
        if self._is_bad():
            self._answer(order, error=8)
            return
        self._packed += body[16 : 16 + size]
        self._answer(order)

    def _is_bad(self):
        self._writes += 1
        return self._fail_at_write is not None and self._writes >= self._fail_at_write

    def _store(self, data):
        assert self.flash[self._address : self._address + len(data)].strip(b"\xff") == b"", "written without erasing"
        self.flash[self._address : self._address + len(data)] = data
        self._address += len(data)

    def _finish(self):
        if self._packed:
            self._store(zlib.decompress(self._packed))
            self._packed = b""
            if self._spoil:
                self.flash[self._address - 1] ^= 1

    def _do_flash_defl_end(self, order, body):
        self._finish()
        self._answer(order)

    def _do_md5(self, order, body):
        self._finish()
        address, size = struct.unpack_from("<II", body)
        digest = hashlib.md5(self.flash[address : address + size])
        self._answer(order, data=digest.digest() if self._is_stub else digest.hexdigest().encode())
