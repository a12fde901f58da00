"""flash up to the wire: images judged, then written through esptool into a loader that keeps what it gets."""

import hashlib
import io
import os
import struct
import sys

import pytest
from esptool.bin_image import ESP32S3FirmwareImage, ImageSegment
from rom_stand_in import RomStandIn

from tools import ToolError
from tools.board import esp_image, flash, partitions

OCTAL = b"Generic ESP32S3 module with Octal-SPIRAM with ESP32S3"
PLAIN = b"Generic ESP32S3 module with ESP32S3"


def program(text=b"", filling=3000):
    """A program for the chip with check sum and SHA-256, as esptool writes one."""
    image = ESP32S3FirmwareImage()
    image.entrypoint = 0x40374000
    segments = [
        ImageSegment(0x3FC88000, text.ljust(-(-len(text) // 4) * 4, b"\0")),
        ImageSegment(0x40374000, hashlib.sha512(text).digest() * (filling // 64)),
    ]
    for segment in segments:
        segment.name = ""  # that of a section of an ELF file
    image.segments = segments
    return image.save(None)


def table(rows):
    """A partition table: (name, kind, subtype, offset, size)."""
    data = b""
    for name, kind, subtype, offset, size in rows:
        data += b"\xaa\x50" + struct.pack("<BBII16sI", kind, subtype, offset, size, name.encode(), 0)
    return data + b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(data).digest()


ROWS = [("nvs", 1, 2, 0x9000, 0x6000), ("phy_init", 1, 1, 0xF000, 0x1000), ("factory", 0, 0, 0x10000, 0x1F0000)]
VFS = [("vfs", 1, 0x81, 0x200000, 0x200000)]


def micropython(machine=OCTAL, version=b"v1.26.1", rows=ROWS):
    """A whole flash image: loader, partition table, program; `machine` and version as MicroPython states them."""
    text = b"MicroPython " + version + b" on 2025-09-11\0; " + machine + b"\0"
    boot = program(b"loader")
    data = boot.ljust(0x8000, b"\xff") + table(rows)
    return data.ljust(0x10000, b"\xff") + program(text)


def write(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return str(path)


# -- judging


def test_a_whole_image_says_what_it_is():
    image = esp_image.judge(micropython(), "x.bin")
    assert image.version == (1, 26, 1)
    assert image.machine == OCTAL.decode()
    assert image.psram == esp_image.OCTAL
    assert esp_image.judge(micropython(PLAIN), "x.bin").psram == esp_image.QUAD
    assert esp_image.judge(micropython(b"Pipit speaker with ESP32-S3"), "x.bin").psram == esp_image.QUAD
    ours = micropython(b"Pipit speaker with Octal-SPIRAM with ESP32-S3")
    assert esp_image.judge(ours, "x.bin").psram == esp_image.OCTAL
    assert esp_image.judge(micropython(b"My own board with ESP32S3"), "x.bin").psram is None
    assert esp_image.judge(micropython(b"My own board with ESP32S3"), "A-SPIRAM_OCT-1.bin").psram == esp_image.OCTAL


@pytest.mark.parametrize(
    "data, name, text",
    [
        (b"", "x.bin", "no image"),
        (b"<!DOCTYPE html>" + b" " * 100, "x.bin", "a web page"),
        (os.urandom(70000).replace(b"\xe9", b"\0"), "x.bin", "no image"),
        (micropython()[:12] + b"\0" + micropython()[13:], "x.bin", "for the ESP32, not the ESP32-S3"),
        (b"UF2\n" + b"\0" * 600, "x.bin", "UF2"),
        (micropython(version=b"v1.23.0"), "x.bin", "1.23; the speaker needs 1.24"),
        (micropython().replace(b"MicroPython v", b"CircuitPy  v"), "x.bin", "damaged"),
        (program(b"no program").ljust(0x8000, b"\xff") + table(ROWS) + b"\xff" * 0x8000, "x.bin", "cut short|before"),
        (micropython()[:0x8000], "x.bin", "no partition table"),
    ],
)
def test_what_must_not_be_written_is_refused(data, name, text):
    with pytest.raises(ToolError, match=text):
        esp_image.judge(data, name)


def test_an_image_that_is_cut_short_anywhere_is_refused():
    whole = micropython()
    end = len(whole)
    for size in [*range(0, end, 997), *range(0x7FFC, 0x8064), *range(end - 40, end)]:
        with pytest.raises(ToolError):
            esp_image.judge(whole[:size], "x.bin")


def test_an_image_with_a_byte_turned_over_is_refused():
    whole = micropython()
    boot_end = len(program(b"loader"))
    places = list(range(24, boot_end, 211)) + list(range(0x8000, 0x8060, 5)) + list(range(0x10018, len(whole), 211))
    for place in places:
        spoilt = bytearray(whole)
        spoilt[place] ^= 0x10
        with pytest.raises(ToolError):
            esp_image.judge(bytes(spoilt), "x.bin")


def test_headers_that_are_nonsense_are_refused():
    """Each byte of both programs' headers and of the partition table, as anything that a field may mean."""
    whole = micropython(rows=ROWS + VFS)
    for place in [*range(40), *range(0x8000, 0x8020), *range(0x10000, 0x10028)]:
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            spoilt = bytearray(whole)
            spoilt[place] = value
            try:
                image = esp_image.judge(bytes(spoilt), "x.bin")
                partitions.file_system(image.table, 16 << 20)
            except ToolError:
                pass  # in a sentence; what no check sum covers may pass


def test_a_program_of_another_kind_is_not_micropython():
    data = program(b"loader").ljust(0x8000, b"\xff") + table(ROWS)
    with pytest.raises(ToolError, match="not MicroPython"):
        esp_image.judge(data.ljust(0x10000, b"\xff") + program(b"something else"), "x.bin")


def test_the_newest_fitting_image_of_a_folder_is_found(tmp_path):
    write(tmp_path, "old.bin", micropython(version=b"v1.25.0"))
    write(tmp_path, "new.bin", micropython(version=b"v1.26.1"))
    write(tmp_path, "plain.bin", micropython(PLAIN, version=b"v1.27.0"))
    write(tmp_path, "broken.bin", micropython(version=b"v1.28.0")[:-1])
    assert esp_image.find(str(tmp_path), esp_image.OCTAL).name == "new.bin"
    assert esp_image.find(str(tmp_path), esp_image.QUAD).name == "plain.bin"
    assert esp_image.find(str(tmp_path)).name == "plain.bin"
    (tmp_path / "empty").mkdir()
    with pytest.raises(ToolError, match="no .bin file at all"):
        esp_image.find(str(tmp_path / "empty"))
    with pytest.raises(ToolError, match="cannot read"):
        esp_image.find(str(tmp_path / "nothing.bin"))


def test_the_place_of_the_file_system():
    old = partitions.read(micropython(rows=ROWS + VFS))
    assert partitions.file_system(old, None) == (0x200000, 0x200000)
    with pytest.raises(ToolError, match="for 4 MB of flash, the chip has 2 MB"):
        partitions.file_system(old, 2 << 20)
    new = partitions.read(micropython())
    assert partitions.file_system(new, 16 << 20) == (0x200000, 0xE00000)
    with pytest.raises(ToolError, match="--flash-size"):
        partitions.file_system(new, None)
    with pytest.raises(ToolError, match="no room"):
        partitions.file_system(new, 2 << 20)


# -- writing


def test_the_flash_holds_the_image_afterwards(tmp_path, capsys):
    data = micropython()
    path = write(tmp_path, "octal.bin", data)
    with RomStandIn() as rom:
        assert flash.run_cli([path, "--port", rom.port, "--yes"]) == 0
        assert bytes(rom.flash[: len(data)]) == data
        assert rom.flash[len(data) :].strip(b"\xff") == b""
        assert rom.orders.index("erase_flash") < rom.orders.index("flash_defl_begin") < rom.orders.index("md5")
    out = capsys.readouterr().out
    assert "16 MB of flash, 8 MB of octal PSRAM" in out and "written and compared" in out


def test_the_file_system_is_written_where_the_image_wants_it(tmp_path):
    path = write(tmp_path, "octal.bin", micropython(rows=ROWS + VFS))
    files = os.urandom(8192).ljust(0x1FF000, b"\xff") + os.urandom(4096)
    disk = write(tmp_path, "disk", files)
    with RomStandIn() as rom:
        assert flash.run_cli([path, "--port", rom.port, "--yes", "--filesystem", disk]) == 0
        assert rom.flash[0x200000:0x400000] == files
    with RomStandIn() as rom, pytest.raises(ToolError, match="wants 2048 KB"):
        flash.run_cli([path, "--port", rom.port, "--yes", "--filesystem", write(tmp_path, "short", files[:-4096])])
    assert "erase_flash" not in rom.orders


@pytest.mark.parametrize(
    "machine, rom, text",
    [
        (OCTAL, {"psram_code": 0}, "drives octal PSRAM; this chip has none"),
        (OCTAL, {"psram_code": 2}, "drives octal PSRAM; this chip has quad"),
        (PLAIN, {"psram_code": 1}, "would not see this chip's octal PSRAM"),
        (OCTAL, {"chip_id": 5}, "is an ESP32-C3; the speaker needs an ESP32-S3"),
    ],
)
def test_an_image_that_does_not_fit_the_chip_is_refused_before_erasing(tmp_path, monkeypatch, machine, rom, text):
    resets = []
    monkeypatch.setattr(flash.chips.cmds, "reset_chip", lambda loader, how: resets.append(how))
    path = write(tmp_path, "x.bin", micropython(machine))
    with RomStandIn(**rom) as stand_in:
        with pytest.raises(ToolError, match=text):
            flash.run_cli([path, "--port", stand_in.port, "--yes"])
        assert "erase_flash" not in stand_in.orders and stand_in.flash.strip(b"\x55") == b""
        assert resets[-1:] == ["no-reset-stub"], "a speaker in its loader would be silent"


def test_nothing_is_erased_without_a_yes(tmp_path, monkeypatch):
    path = write(tmp_path, "x.bin", micropython())
    with RomStandIn() as rom:
        with pytest.raises(ToolError, match="--yes"):
            monkeypatch.setattr(flash.chips, "is_terminal", lambda stream: False)
            flash.run_cli([path, "--port", rom.port])
        assert "erase_flash" not in rom.orders


ANSWERS = [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False), ("", False)]


@pytest.mark.parametrize("typed, is_written", ANSWERS)
def test_a_person_is_asked_before_everything_is_erased(tmp_path, monkeypatch, capsys, typed, is_written):
    path = write(tmp_path, "x.bin", micropython())
    monkeypatch.setattr(flash.chips, "is_terminal", lambda stream: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    with RomStandIn() as rom:
        assert flash.run_cli([path, "--port", rom.port]) == (0 if is_written else 1)
        assert ("erase_flash" in rom.orders) is is_written
    out = capsys.readouterr().out
    assert "Everything on the chip will be erased" in out
    assert ("Nothing was touched" in out) is not is_written


def test_ctrl_c_says_what_has_become_of_the_chip(tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    path = write(tmp_path, "x.bin", micropython())
    with RomStandIn() as rom:
        monkeypatch.setattr(flash.chips.cmds, "write_flash", interrupted)
        with pytest.raises(KeyboardInterrupt):
            flash.run_cli([path, "--port", rom.port, "--yes"])
        assert "without a program" in capsys.readouterr().out
        monkeypatch.setattr(flash.chips, "is_terminal", interrupted)
        with pytest.raises(KeyboardInterrupt):
            flash.run_cli([path, "--port", rom.port])
        assert "Nothing was touched" in capsys.readouterr().out


def test_psram_of_a_kind_that_the_chip_does_not_tell_is_asked_for(tmp_path):
    path = write(tmp_path, "x.bin", micropython())
    with RomStandIn(psram_code=4) as rom:
        with pytest.raises(ToolError, match="4 MB of PSRAM of unknown kind: say --psram"):
            flash.run_cli([path, "--port", rom.port, "--yes"])
        assert "erase_flash" not in rom.orders
        assert flash.run_cli([path, "--port", rom.port, "--yes", "--psram", "octal"]) == 0
    with RomStandIn(psram_code=6) as rom, pytest.raises(ToolError, match="PSRAM of unknown kind"):
        flash.run_cli([path, "--port", rom.port, "--yes"])


def test_a_write_that_fails_is_told_with_the_cure(tmp_path):
    path = write(tmp_path, "x.bin", micropython())
    with RomStandIn(fail_at_write=1) as rom, pytest.raises(ToolError, match="run the same command again"):
        flash.run_cli([path, "--port", rom.port, "--yes"])


def test_a_flash_that_keeps_something_else_is_noticed(tmp_path):
    path = write(tmp_path, "x.bin", micropython())
    with RomStandIn(spoil=True) as rom, pytest.raises(ToolError, match="writing failed"):
        flash.run_cli([path, "--port", rom.port, "--yes"])


def test_a_dry_run_needs_no_board(tmp_path, capsys):
    path = write(tmp_path, "x.bin", micropython())
    assert flash.run_cli([path, "--dry-run"]) == 0
    assert "MicroPython 1.26.1" in capsys.readouterr().out
