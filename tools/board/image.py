"""`python -m tools image`: the whole disk of a speaker as one file, to be written beside MicroPython.

The file is a LittleFS of exactly the geometry that MicroPython mounts on an ESP32 (extmod/vfs_lfsx.c): blocks of 4096
bytes, read and program size 32, cache 128, lookahead 32; no times are stored, so the same input gives the same bytes.
"""

import argparse
import json
import os

from littlefs import LittleFS
from littlefs.errors import LittleFSError

from tools import ToolError, check_config
from tools.board import chip as chips
from tools.board import esp_image, partitions, tree

BLOCK_BYTES = 4096
_SECRETS = ("token", "wifi_password")
_EPILOG = """\
examples:
  python -m tools image --micropython ESP32_GENERIC_S3-SPIRAM_OCT-20250911-v1.26.1.bin --flash-size 16MB
  python -m tools image --micropython IMAGE.bin --config config.json          its settings, without token and password
  python -m tools image --micropython IMAGE.bin --config config.json --with-secrets

Write it together with MicroPython: python -m tools flash IMAGE.bin --filesystem pipit.lfs
"""


def run_cli(arguments):
    options = _parser().parse_args(arguments)
    _check_out(options)
    image = esp_image.find(options.micropython)
    flash_bytes = chips.parse_size(options.flash_size) if options.flash_size else None
    offset, size = partitions.file_system(image.table, flash_bytes)
    config = _config(options)
    built = tree.build(lib_folder=options.lib, is_small=options.small)
    data = build(built, size, config)
    with open(options.out, "wb", opener=_private if options.with_secrets else None) as file:
        file.write(data)
    print(tree.table(built.rows, options.sizes))
    facts = (options.out, built.version, size // 1024, offset, image.name)
    print("%s: version %s, %d KB for address 0x%x (%s)" % facts)
    if config is None:
        print("no settings in it: `python -m tools provision` brings them over USB")
    print("write it with MicroPython:  python -m tools flash %s --filesystem %s" % (options.micropython, options.out))
    print("or alone, by hand:          esptool --chip esp32s3 write-flash 0x%x %s" % (offset, options.out))
    return 0


def _private(path, flags):
    """Opens a file that nobody else on this computer may read, whoever could before."""
    number = os.open(path, flags, 0o600)
    if os.name == "posix":
        os.fchmod(number, 0o600)
    return number


def build(built, size_bytes, config=None):
    """The bytes of a disk of size_bytes that holds the Tree `built` in slot a, as the good one. config: bytes of
    config.json, None for none. ToolError when it does not fit."""
    files = {"slots/a/" + path: data for path, data in built.files.items()}
    files["slots/a/" + tree.MANIFEST] = built.manifest_bytes()
    files["slots/state.json"] = tree.state_bytes("a", None)
    files.update(built.loose)
    if config is not None:
        files["config.json"] = config
    disk = _disk(size_bytes, is_new=True)
    try:
        for path in sorted(files):
            folder = path.rpartition("/")[0]
            if folder:
                disk.makedirs(folder, exist_ok=True)
            with disk.open(path, "wb") as file:
                file.write(files[path])
    except LittleFSError as error:
        total = sum(map(len, files.values()))
        text = "%d KB of files do not fit into %d KB of disk (%s); take a board with more flash"
        raise ToolError(text % (total // 1024, size_bytes // 1024, error)) from None
    disk.unmount()
    return bytes(disk.context.buffer)


def read(data):
    """{path: bytes} of every file of a disk that build() or a board made."""
    disk = _disk(len(data), is_new=False)
    disk.context.buffer = bytearray(data)
    disk.mount()
    found = {}
    for place, _, names in disk.walk("/"):
        for name in names:
            path = place.rstrip("/") + "/" + name
            with disk.open(path, "rb") as file:
                found[path.lstrip("/")] = file.read()
    return found


def _disk(size_bytes, is_new):
    disk = LittleFS(
        mount=False,
        block_size=BLOCK_BYTES,
        block_count=size_bytes // BLOCK_BYTES,
        read_size=32,
        prog_size=32,
        cache_size=128,
        lookahead_size=32,
        block_cycles=100,
        # The first format of LittleFS 2, which every one since mounts, whatever MicroPython brings.
        disk_version=0x00020000,
    )
    if is_new:
        disk.format()
        disk.mount()
    return disk


def _config(options):
    """Bytes for config.json, judged by the device's own validator; without its secrets unless they were asked for."""
    if not options.config:
        if options.with_secrets:
            raise ToolError("--with-secrets goes with --config FILE")
        return None
    settings = check_config.read(options.config)
    check_config.check_incomplete(settings, options.config)
    if not options.with_secrets:
        if "?" in settings.get("cloud_url", ""):
            text = "cloud_url in %s has something behind its ?, which may be a key: --with-secrets puts it in"
            raise ToolError(text % options.config)
        left_out = [key for key in _SECRETS if settings.pop(key, None)]
        if left_out:
            print("left out: %s; `python -m tools provision` brings them, or --with-secrets" % ", ".join(left_out))
    else:
        check_config.load(options.config)
        print("WARNING: %s will hold the token and the Wi-Fi password in clear. Give it to nobody." % options.out)
    return json.dumps(settings, sort_keys=True, ensure_ascii=False).encode()


def _check_out(options):
    """Not the file of an input."""
    for name in (options.micropython, options.config):
        if name and os.path.exists(options.out) and os.path.exists(name) and os.path.samefile(options.out, name):
            raise ToolError("--out would overwrite %s: name another file" % options.out)


def _parser():
    parser = argparse.ArgumentParser(
        description="Build one flashable file of the speaker's whole disk.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--micropython", required=True, metavar="IMAGE", help="the MicroPython image beside it: file or folder")
    add("--flash-size", metavar="SIZE", help="the chip's flash, 16MB for N16R8; where the image does not fix the size")
    add("--out", default="pipit.lfs", metavar="FILE", help="where to write it (default: %(default)s)")
    add("--config", metavar="FILE", help="settings to put in, without token and Wi-Fi password")
    add("--with-secrets", action="store_true", help="the token and the password as well")
    add("--lib", metavar="FOLDER", help="more libraries: a folder of .py or .mpy modules")
    add("--small", action="store_true", help=tree.SMALL_HELP)
    add("--sizes", action="store_true", help="the size of each module, not only of each folder")
    return parser
