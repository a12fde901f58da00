"""`python -m tools deploy`: the application into the slot of the board that is not the good one, then a trial of it.

The running application is never touched: files go into the other slot, its manifest last, and main.py starts a slot
only with a whole manifest. The order of the steps in `install` is what makes a pulled cable harmless at any byte.
"""

import argparse
import ast
import contextlib
import json
import os
import time
from types import SimpleNamespace

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from tools import ROOT, ToolError, printable
from tools.board import monitor, ports, tree
from tools.board.repl import Repl

BLOCK_BYTES = 4096
AIOHTTP_VERSION = "0.0.8"  # of micropython-lib
CONFIRM_TIMEOUT_S = 90  # Wi-Fi, the clock, TLS and the cloud's greeting, each with a second try
WATCH_STEP_S = 0.4

_EPILOG = """\
examples:
  python -m tools deploy                      the board on the only USB port
  python -m tools deploy --port /dev/ttyACM0 --with-aiohttp
  python -m tools deploy --watch              while you work on the code: copy and restart at every change

Only what changed travels over the wire; what the board has already it copies itself. The new application is on trial:
it must come to rest (ready, or waiting for its settings) in one of three starts, else the one before is started again.
"""


def run_cli(arguments):
    """0 when the new application confirmed itself (or was there already), 1 when not."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    port = None if options.dry_run else ports.choose_port(options.port)
    built = tree.build(lib_folder=options.lib, is_small=options.small)
    print(tree.table(built.rows, options.sizes))
    if options.dry_run:
        print("version %s; nothing was sent" % built.version)
        return 0
    try:
        return (_watch if options.watch else _deploy)(port, built, options, console)
    except KeyboardInterrupt:
        console.print("\nstopped; RST on the board starts what it had, or the trial once that was begun")
        raise


def _parser():
    parser = argparse.ArgumentParser(
        description="Compile the speaker for the ESP32-S3 and copy to a board what changed.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--port", help=ports.PORT_HELP)
    add("--lib", metavar="FOLDER", help="more libraries for the board's lib: a folder of .py or .mpy modules")
    add("--with-aiohttp", action="store_true", help="install micropython-lib's aiohttp %s into /lib" % AIOHTTP_VERSION)
    add("--small", action="store_true", help=tree.SMALL_HELP)
    add("--force", action="store_true", help="write and start the trial even when the board has this version")
    add("--no-start", action="store_true", help="leave the board at its prompt instead of starting the trial")
    add("--watch", action="store_true", help="stay, and deploy again whenever a source file changes; Ctrl-C ends")
    add("--sizes", action="store_true", help="the size of each module, not only of each folder")
    add("--dry-run", action="store_true", help="compile and print the sizes only; no board is needed")
    return parser


def _deploy(port, built, options, console):
    with Repl(port, fresh=True) as board:
        if options.with_aiohttp:
            install_package(board, "aiohttp@" + AIOHTTP_VERSION)
        with _bar(console) as on_bytes:
            done = install(board, built, is_forced=options.force, on_bytes=on_bytes)
        console.print(done.text)
        if options.no_start:
            return 0
        connection = board.reset(is_followed=True)
    if done.slot is None:
        connection.close()
        return 0
    console.print("started on trial; waiting for it to come to rest (at most %d s)" % CONFIRM_TIMEOUT_S)
    with contextlib.closing(lines(connection, time.monotonic() + CONFIRM_TIMEOUT_S)) as said:
        result = wait_for_trial(said, done.slot, lambda text: console.print("  " + text, style="dim", markup=False))
    console.print(result.text, markup=False)
    return 0 if result.is_confirmed else 1


@contextlib.contextmanager
def _bar(console):
    """on_bytes(done, total) that draws a bar on a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("sending", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


# -- the board's disk


class Slots:
    """What the board's slots hold: the state, and by slot what is there {path: (bytes, sha256)} and the manifest, None
    where main.py would not find the slot whole."""

    def __init__(self, board):
        self.state = _json(board, tree.STATE_PATH)
        self.good = self.state.get("good") if self.state.get("good") in tree.SLOTS else None
        self.trial = self.state.get("trial") if self.state.get("trial") in tree.SLOTS else None
        self.there = {slot: _hashes(board, "/slots/" + slot) for slot in tree.SLOTS}
        self.manifests = {slot: _manifest(board, slot, self.there[slot]) for slot in tree.SLOTS}

    def kept(self):
        """The slot that must stay as it is, because the board starts it when all else fails; None on a blank board."""
        for slot in (self.good, self.trial) + tree.SLOTS:
            if slot and self.manifests[slot]:
                return slot
        return None

    def target(self):
        kept = self.kept()
        return "b" if kept == "a" else "a"


def _json(board, path):
    """The JSON object in a file of the board; {} when there is none, whatever is there instead."""
    if board.size(path) in (None, -1):
        return {}
    try:
        found = json.loads(board.read_file(path))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _manifest(board, slot, there):
    if tree.MANIFEST not in there:
        return None
    found = _json(board, "/slots/%s/%s" % (slot, tree.MANIFEST))
    try:
        files = {str(path): (int(size), str(digest)) for path, (size, digest) in found["files"].items()}
    except (TypeError, KeyError, ValueError, AttributeError):
        return None
    if not files or any(there.get(path, (None,))[0] != size for path, (size, _) in files.items()):
        return None
    return {"version": str(found.get("version", "?")), "files": files}


class Installed:
    """slot: the one that is on trial now, None when nothing had to be done. sent_bytes: over the wire."""

    def __init__(self, slot, text, sent_bytes=0, copied=0, kept=0):
        self.slot = slot
        self.text = text
        self.sent_bytes = sent_bytes
        self.copied = copied
        self.kept = kept


def install(board, built, is_forced=False, on_bytes=None):
    """Bring the Tree `built` into the free slot of the board behind an open Repl and set it on trial.

    At every moment the board starts a whole application if it had one before: the slot that is written loses its
    manifest before anything else in it changes and gets the new one after every file in it was checked on the board;
    main.py, boot.py and the state are replaced in one step each. ToolError when the disk is too small, before anything
    is written.
    """
    slots = Slots(board)
    target, source = slots.target(), slots.kept()
    wanted = built.manifest()
    loose = {name: data for name, data in built.loose.items() if not _is_same(board, "/" + name, data)}
    if source and not is_forced and not loose and _is_good(slots, source, wanted):
        return Installed(None, "the board has version %s already, in slot %s" % (built.version, source))
    if slots.trial and not is_forced and not loose and _is_there(slots, slots.trial, wanted):
        board.write_file(tree.STATE_PATH, tree.state_bytes(slots.good, slots.trial))
        text = "version %s is in slot %s already: its trial begins anew"
        return Installed(slots.trial, text % (built.version, slots.trial))
    folder = "/slots/" + target
    there = slots.there[target]
    plan = _plan(wanted["files"], there, slots.there[source] if source else {})
    _check_room(board, built, plan, there, loose)

    board.mkdir(folder)
    board.remove("%s/%s" % (folder, tree.MANIFEST))
    for path in sorted(set(there) - set(wanted["files"]) - {tree.MANIFEST}):
        board.remove("%s/%s" % (folder, path))
    for name in sorted({folder + "/" + path.rpartition("/")[0] for path in plan.copy + plan.send if "/" in path}):
        board.mkdir(name)
    total = sum(len(built.files[path]) for path in plan.send) + sum(map(len, loose.values()))
    count = _Count(on_bytes, total)
    for path in plan.copy:
        _copy(board, "/slots/%s/%s" % (source, path), "%s/%s" % (folder, path))
    for path in plan.send:
        board.write_file("%s/%s" % (folder, path), built.files[path], on_bytes=count.add)
    _verify(board, folder, built)

    board.write_file("%s/%s" % (folder, tree.MANIFEST), built.manifest_bytes())
    for name in tree.LOOSE_FILES:
        if name in loose:
            board.write_file("/" + name, loose[name], on_bytes=count.add)
    good = None if source == slots.trial else source  # a trial that did not come to rest is no good one
    board.write_file(tree.STATE_PATH, tree.state_bytes(good, target))
    text = "version %s is in slot %s: %d files sent (%d bytes), %d copied on the board, %d were there" % (
        (built.version, target, len(plan.send), total, len(plan.copy), len(plan.keep))
    )
    return Installed(target, text, total, len(plan.copy), len(plan.keep))


def _is_same(board, path, data):
    return board.size(path) == len(data) and board.sha256(path) == tree.sha256(data)


def _is_good(slots, slot, wanted):
    """True when `slot` is the good one, nothing is on trial, and the board's own hashes are the wanted ones."""
    return slots.good == slot and not slots.trial and _is_there(slots, slot, wanted)


def _is_there(slots, slot, wanted):
    there = {path: entry for path, entry in slots.there[slot].items() if path != tree.MANIFEST}
    return bool(slots.manifests[slot]) and there == _as_manifest(wanted["files"])


def _as_manifest(files):
    return {path: (size, digest) for path, (size, digest) in files.items()}


def _plan(wanted, there, source):
    """Which files of the new application lie in the slot already, in the other slot, or must be sent."""
    plan = SimpleNamespace(keep=[], copy=[], send=[])
    for path in sorted(wanted):
        entry = tuple(wanted[path])
        if there.get(path) == entry:
            plan.keep.append(path)
        elif source.get(path) == entry:
            plan.copy.append(path)
        else:
            plan.send.append(path)
    return plan


def _blocks(size_bytes):
    return -(-size_bytes // BLOCK_BYTES)


def _check_room(board, built, plan, there, loose):
    free, total = board.free_bytes()
    # A folder takes two blocks, the manifest and each file at least one; the files of the root and the state exist
    # twice for a moment. What lies in the slot and is not kept gives its room back.
    folders = {path.rpartition("/")[0] for path in built.files}
    need = sum(_blocks(len(built.files[path])) for path in plan.copy + plan.send)
    need += 2 * len(folders) + _blocks(len(built.manifest_bytes())) + 4
    need += sum(_blocks(len(data)) for data in loose.values())
    back = sum(_blocks(size) for path, (size, _) in there.items() if path not in plan.keep)
    if need * BLOCK_BYTES > free + back * BLOCK_BYTES:
        text = (
            "the board's disk is too small: %d KB are needed, %d KB of %d KB are free. Nothing was changed. Remove"
            " files of your own from it; a board with 4 MB of flash has 2 MB of disk, enough for both slots"
        )
        raise ToolError(text % (need * 4, (free + back * BLOCK_BYTES) // 1024, total // 1024))


_HASHES = """import os,hashlib
from binascii import hexlify as _x
_m=memoryview(bytearray(4096))
def _w(p,r):
 for e in os.ilistdir(p):
  q=p+'/'+e[0];s=r+e[0]
  if e[1]&0x4000:
   _w(q,s+'/')
  else:
   h=hashlib.sha256();c=0
   with open(q,'rb') as f:
    while True:
     n=f.readinto(_m)
     if not n:
      break
     h.update(_m[:n]);c+=n
   print(repr(s),c,_x(h.digest()).decode())
try:
 os.stat(%r)
 _t=1
except OSError:
 _t=0
if _t:
 _w(%r,'')
"""


def _hashes(board, folder):
    """{path: (bytes, sha256)} of every file below a folder, computed on the board."""
    found = {}
    text = board.exec(_HASHES % (folder, folder), doing="checking " + folder)
    with board.understanding(text):
        for line in filter(None, text.split("\n")):
            path, size, digest = line.rsplit(" ", 2)
            found[ast.literal_eval(path)] = (int(size), digest)
    return found


_COPY = """_m=memoryview(bytearray(4096))
with open(%r,'rb') as f:
 with open(%r,'wb') as g:
  while True:
   n=f.readinto(_m)
   if not n:
    break
   g.write(_m[:n])
"""


def _copy(board, source, target):
    board.exec(_COPY % (source, target), doing="copying to " + target)


def _verify(board, folder, built):
    there = _hashes(board, folder)
    wanted = _as_manifest(built.manifest()["files"])
    wrong = sorted(path for path in set(there) | set(wanted) if there.get(path) != wanted.get(path))
    if wrong:
        text = "%s differs on the board from what was sent (%d files). Nothing was switched; run deploy once more"
        raise ToolError(text % (printable(wrong[0]), len(wrong)))


class _Count:
    def __init__(self, on_bytes, total):
        self._on_bytes = on_bytes
        self._total = total
        self._done = 0

    def add(self, count):
        self._done += count
        if self._on_bytes:
            self._on_bytes(self._done, self._total)


# -- libraries of micropython-lib


def install_package(board, package):
    """Install a package through mpremote's own installer into /lib of the board, or a package.json of this computer."""
    from mpremote.commands import CommandError
    from mpremote.mip import do_mip

    state = SimpleNamespace(did_action=lambda: None, ensure_raw_repl=lambda: None, transport=board.transport)
    words = SimpleNamespace(command=["install"], packages=[package], index=None, target="/lib", mpy=True)
    try:
        with board.guard("installing " + package):
            do_mip(state, words)
    except CommandError as error:
        text = "%s cannot be installed: %s; --lib FOLDER takes a copy from a folder"
        raise ToolError(text % (package, error)) from None


# -- the trial


class Trial:
    def __init__(self, is_confirmed, text):
        self.is_confirmed = is_confirmed
        self.text = text


def wait_for_trial(said, slot, on_line=None):
    """Listen to the lines of a board that was just reset until the application in `slot` is the good one, was given up,
    or the lines end, because the time is over."""
    starts, last_error = 0, ""
    for line in said:
        report = _report(line)
        if report is None:
            if on_line and line.strip():
                on_line(printable(line.strip())[:160])
            if line.startswith(("Traceback", "  File")) or "Error" in line:
                last_error = printable(line.strip())[:160]
            continue
        kind = report.get("kind")
        if kind == "slot" and report.get("slot") == slot and not report.get("trial"):
            return Trial(True, "confirmed: slot %s is the good one from now on" % slot)
        if kind == "slot" and report.get("slot") != slot:
            why = ": " + last_error if last_error else ""
            text = "the new application did not come to rest in %d starts%s. The one before runs again (slot %s)"
            return Trial(False, text % (starts, why, printable(str(report.get("slot")))))
        if kind == "slot":
            starts += 1
            if on_line:
                on_line("start %d of 3" % starts)
        elif kind in ("error", "warning"):
            text = printable(str(report.get("text", "")))[:160]
            if kind == "error":
                last_error = text
            if on_line:
                on_line(text)
    seen = "; its last complaint: " + last_error if last_error else ""
    text = "not confirmed in time%s. The trial goes on: `python -m tools monitor` shows what the board does"
    return Trial(False, text % seen)


def _report(line):
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def lines(connection, end_s):
    """Text lines that the board behind an open pyserial port sends, until end_s (monotonic); it may come and go."""
    for line in monitor.read_lines(connection, is_over=lambda: time.monotonic() >= end_s):
        yield line.decode("utf-8", "replace")


# -- watching


def _watch(port, built, options, console):
    """Deploy now and at every change until Ctrl-C. A failure is told, and the next change tried."""
    stamps = None
    while True:
        try:
            now = _stamps(options.lib)
            if now == stamps:
                time.sleep(WATCH_STEP_S)
                continue
            if stamps is not None:
                console.print("changed: " + ", ".join(sorted(_changed(stamps, now))[:5]), markup=False)
                built = None
            stamps = now
            built = built or tree.build(lib_folder=options.lib, is_small=options.small)
            _deploy(port, built, options, console)
            console.print("watching; Ctrl-C ends", style="dim")
        except (ToolError, OSError) as error:
            console.print(str(error), style="red", markup=False)


def _stamps(lib_folder):
    """{path: time and size} of every source file."""
    from tools import size

    paths = [os.path.join(ROOT, file) for file in size.device_files()]
    if lib_folder:
        paths += [os.path.join(place, name) for place, _, names in os.walk(lib_folder) for name in names]
    found = {}
    for path in paths:
        with contextlib.suppress(OSError):
            facts = os.stat(path)
            found[os.path.relpath(path, ROOT)] = (facts.st_mtime_ns, facts.st_size)
    return found


def _changed(before, now):
    return {path for path in set(before) | set(now) if before.get(path) != now.get(path)}
