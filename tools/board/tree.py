"""What goes onto a board: the compiled application of one slot, its manifest, and the files at the root of the disk."""

import hashlib
import json
import os
import subprocess
import tempfile

from tools import ROOT, ToolError, shorten, size

ARCH = size.ARCH
LOOSE_FILES = ("main.py", "boot.py")  # MicroPython starts them as source; in the order in which deploy renews them
# Stand-ins for a desktop that no board imports.
_DESKTOP_ONLY = ("boards/sim.py", "lib/kernels_host.py")
SLOTS = ("a", "b")
STATE_PATH = "/slots/state.json"
MANIFEST = "manifest.json"
SMALL_HELP = "for a chip without PSRAM: less heap by short names in the modules, and tracebacks without line numbers"


class Tree:
    """The files of one slot by path ("firmware/app.mpy") and those of the root by name, all as bytes.

    rows: (source file, source bytes, bytes on the board), for the table.
    """

    def __init__(self, version, files, loose, rows):
        self.version = version
        self.files = files
        self.loose = loose
        self.rows = rows

    def manifest(self):
        """{"version", "files": {path: [bytes, sha256 in hex]}}; what main.py judges a slot by."""
        files = {path: [len(self.files[path]), sha256(self.files[path])] for path in sorted(self.files)}
        return {"version": self.version, "files": files}

    def manifest_bytes(self):
        return to_json(self.manifest())

    def total_bytes(self):
        return sum(len(data) for data in self.files.values())


def state_bytes(good, trial):
    return to_json({"good": good, "trial": trial, "starts": 0})


def to_json(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def build(root=ROOT, arch=ARCH, lib_folder=None, is_small=False):
    """The Tree of the sources below root, compiled; the same bytes from the same sources.

    lib_folder: a folder whose modules go into the slot's lib as well (micropython-lib's aiohttp, say). is_small: with
    short names (shorten.py) and without line numbers, which takes less heap. ToolError with the compiler's words when a
    file does not compile, or when a library has the name of one of ours.
    """
    sources = _sources(root)
    small = small_program(root) if is_small else None
    with tempfile.TemporaryDirectory(prefix="pipit-build-") as folder:
        rows = _compile(sources, folder, root, arch, small)
        libraries = {}
        if lib_folder:
            libraries, library_rows = _libraries(lib_folder, folder, arch)
            rows += library_rows
        files = {}
        for file in sources:
            if file not in LOOSE_FILES:
                files[_compiled(file)] = _read(os.path.join(folder, _compiled(file)))
    clash = sorted(set(files) & set(libraries))
    if clash:
        raise ToolError("%s has modules of the speaker's own names: %s" % (lib_folder, ", ".join(clash)))
    files.update(libraries)
    loose = {name: _read(os.path.join(root, name)) for name in LOOSE_FILES if name in sources}
    rows = [row if row[0] not in loose else (row[0], row[1], row[1]) for row in rows]
    return Tree(version(root, files, loose), files, loose, rows)


def small_program(root=ROOT):
    """The shorten.Program that build(is_small=True) compiles."""
    return shorten.Program(size.read_sources(_sources(root), root))


def _sources(root):
    return [file for file in size.device_files(root) if file not in _DESKTOP_ONLY]


def _compile(sources, folder, root, arch, small=None):
    rows = []
    for file, source_bytes, mpy_bytes, error in size.compile_device_files(sources, folder, root, arch, small):
        if error:
            raise ToolError("%s does not compile for the board:\n%s" % (file, error))
        rows.append((file, source_bytes, mpy_bytes))
    return rows


def _libraries(lib_folder, folder, arch):
    """({path in the slot: bytes}, rows) of every module below lib_folder: .py is compiled, .mpy taken as it is."""
    if not os.path.isdir(lib_folder):
        raise ToolError("there is no folder %s for --lib" % lib_folder)
    sources, files, rows = [], {}, []
    for place, folders, names in os.walk(lib_folder):
        folders.sort()
        for name in sorted(names):
            file = os.path.relpath(os.path.join(place, name), lib_folder)
            if name.endswith(".py") and name not in ("manifest.py", "setup.py"):
                sources.append(file)
            elif name.endswith(".mpy"):
                files["lib/" + _slashes(file)] = _read(os.path.join(place, name))
    target = os.path.join(folder, "lib-extra")
    for file, source_bytes, mpy_bytes in _compile(sources, target, lib_folder, arch):
        files["lib/" + _compiled(file)] = _read(os.path.join(target, _compiled(file)))
        rows.append(("lib/" + _slashes(file), source_bytes, mpy_bytes))
    if not files:
        text = "%s holds no .py or .mpy file: --lib takes the folder that would be /lib on the board"
        raise ToolError(text % lib_folder)
    return files, rows


def _compiled(file):
    return _slashes(file)[: -len(".py")] + ".mpy"


def _slashes(path):
    return path.replace(os.sep, "/")


def _read(path):
    with open(path, "rb") as file:
        return file.read()


def version(root, files, loose):
    """Of git, with "+" when the sources differ from the commit; then eight digits of a hash over all contents."""
    digest = hashlib.sha256()
    for path, data in sorted(files.items()) + sorted(loose.items()):
        digest.update(path.encode() + b"\0" + data)
    content = digest.hexdigest()[:8]
    try:
        words = ["git", "-C", root, "describe", "--always", "--dirty=+", "--abbrev=8"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return content
    found = done.stdout.strip()
    return "%s.%s" % (found, content) if done.returncode == 0 and found else content


def table(rows, is_each):
    """Lines: bytes of source and on the board, per folder or of each file, the total last."""
    if is_each:
        shown = sorted(rows)
    else:
        folders = {}
        for file, source_bytes, board_bytes in rows:
            name = file.rpartition("/")[0] or "(root)"
            before = folders.get(name, (0, 0))
            folders[name] = (before[0] + source_bytes, before[1] + board_bytes)
        shown = [(name,) + folders[name] for name in sorted(folders)]
    width = max([len(row[0]) for row in shown] + [5])
    lines = ["%-*s %8s %9s" % (width, "", "source", "on board")]
    lines += ["%-*s %8d %9d" % ((width,) + row) for row in shown]
    total = (sum(row[1] for row in rows), sum(row[2] for row in rows), len(rows))
    lines.append("%-*s %8d %9d   bytes in %d files" % ((width, "total") + total))
    return "\n".join(lines)
