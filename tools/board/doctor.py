"""`python -m tools doctor`: what is connected, what is on it, and the one command that comes next."""

import argparse
import json

import json_strict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tools import ToolError, printable
from tools.board import chip as chips
from tools.board import deploy, esp_image, ports
from tools.board.repl import BoardError, Repl

OLDEST = esp_image.OLDEST
_PSRAM_FLOOR_BYTES = 600 * 1024  # more than any region of the S3's own RAM
_EPILOG = """\
It ends a running application for a moment, as Ctrl-C would, and starts it again. A board that runs no MicroPython is
asked in its loader; nothing is written in either case.

examples:
  python -m tools doctor
  python -m tools doctor --port COM5
  python -m tools doctor --loader        skip MicroPython, ask the chip's loader
"""

# Prints one JSON object about the board. What a port lacks is left out.
_FACTS = """import json,sys,gc,os
i=sys.implementation
f={'platform':sys.platform,'version':list(i.version[:3]),'machine':getattr(i,'_machine','')}
try:
 import esp
 f['flash']=esp.flash_size()
except Exception:
 pass
try:
 import esp32
 f['regions']=[r[0] for r in esp32.idf_heap_info(esp32.HEAP_DATA)]
except Exception:
 pass
gc.collect()
f['heap_free']=gc.mem_free()
try:
 import machine
 from binascii import hexlify
 f['unit']=hexlify(machine.unique_id()).decode()
except Exception:
 pass
try:
 import firmware
 f['inside']=firmware.VERSION
except Exception:
 pass
print(json.dumps(f))
"""


def run_cli(arguments):
    """0 when a board was found and can go on, 1 when something must be done first; the last lines say what."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    try:
        return _look(options, console)
    except KeyboardInterrupt:
        console.print("\nstopped; if the board is silent now, RST starts its application")
        raise


def _look(options, console):
    found = ports.list_ports()
    if found:
        console.print("ports:\n" + ports.table(found), markup=False)
    port = ports.choose_port(options.port)
    if options.loader:
        return _from_loader(port, console)
    try:
        facts = examine(port)
    except (ports.PortBusy, BoardError):
        raise
    except ToolError as error:
        console.print("no MicroPython answers at %s; asking the chip's loader ..." % port, markup=False)
        try:
            return _from_loader(port, console)
        except ToolError as loader_error:
            if str(loader_error) == str(error):
                raise
            raise ToolError("%s\n\n%s" % (error, loader_error)) from None
    _show(facts, console)
    step, is_fine = next_step(facts)
    console.print("next: " + step, style="bold", markup=False)
    return 0 if is_fine else 1


class Facts:
    """What a board says of itself; see examine()."""

    def __init__(self, **fields):
        self.__dict__.update(fields)


def examine(port):
    """The Facts of the board behind a port, through its REPL; its application is started again afterwards."""
    with Repl(port) as board:
        text = board.exec(_FACTS, doing="asking for its facts")
        with board.understanding(text):
            found = json.loads(text)
        free, total = board.free_bytes()
        slots = deploy.Slots(board)
        facts = Facts(
            port=port,
            platform=found["platform"],
            version=tuple(found["version"]),
            machine=found["machine"],
            unit=found.get("unit", ""),
            flash_bytes=found.get("flash"),
            psram_bytes=psram_bytes(found.get("regions", ())),
            heap_free_bytes=found["heap_free"],
            disk_free_bytes=free,
            disk_bytes=total,
            good=slots.good,
            trial=slots.trial,
            versions={slot: slots.manifests[slot]["version"] for slot in slots.manifests if slots.manifests[slot]},
            has_main=board.exists("/main.py") or "inside" in found,
            inside=found.get("inside"),
            settings=_settings(board),
            roots=_roots(board),
        )
        if facts.has_main:
            board.reset()
    return facts


def psram_bytes(regions):
    """Bytes of PSRAM, from the sizes of the heap's regions: one that is larger than the chip's own RAM, rounded up to
    the next power of two."""
    largest = max(regions, default=0)
    if largest < _PSRAM_FLOOR_BYTES:
        return 0
    size = 1 << 20
    while size < largest:
        size *= 2
    return size


def _settings(board):
    """None when there is no config.json; else the settings that matter for the next step, as words, no secrets."""
    if not board.exists("/config.json"):
        return None
    try:
        values = json_strict.loads(board.read_file("/config.json"))
    except ValueError:
        return {"broken": True}
    if not isinstance(values, dict):
        return {"broken": True}
    words = {key: bool(values.get(key)) for key in ("bot_id", "token", "wifi_ssid")}
    words["board"] = printable(str(values.get("board", "bread_compact_wifi")))
    return words


def _roots(board):
    names = board.listdir("/tls_roots") if board.exists("/tls_roots") else []
    return len([name for name in names if name.endswith(".der")])


def next_step(facts):
    """(what to do next, True when the board works as it is)"""
    if facts.platform != "esp32" or "ESP32S3" not in facts.machine.replace("-", ""):
        return "this is no ESP32-S3 with MicroPython; the speaker needs one", False
    if facts.version[:2] < OLDEST:
        text = "MicroPython %d.%d is too old, %d.%d or later is needed: python -m tools flash IMAGE.bin"
        return text % (facts.version[:2] + OLDEST), False
    if "octal" not in facts.machine.lower() and not facts.psram_bytes:
        hint = " (a module with 8 MB of PSRAM, N8R8 or N16R8, wants the image for octal SPIRAM)"
    else:
        hint = ""
    if not facts.versions and facts.inside is None:
        return "python -m tools deploy%s" % hint, False
    if facts.settings and facts.settings.get("broken"):
        return "python -m tools provision --reset, then python -m tools provision", False
    if facts.settings is None or not all(facts.settings.get(key) for key in ("bot_id", "token", "wifi_ssid")):
        return "python -m tools provision%s" % hint, False
    if not facts.roots:
        return "python -m tools provision: no root certificates are stored, so no connection would be trusted", False
    if facts.trial:
        return "python -m tools monitor: the application in slot %s is on trial" % facts.trial, True
    return "python -m tools monitor, press the button and talk%s" % hint, True


def _show(facts, console):
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    megabytes = "%d MB" % (facts.flash_bytes >> 20) if facts.flash_bytes else "unknown"
    psram = "%d MB" % (facts.psram_bytes >> 20) if facts.psram_bytes else "none seen by this MicroPython"
    if facts.psram_bytes:
        psram += ", octal" if "octal" in facts.machine.lower() else ", as its MicroPython drives it: quad"
    rows = [
        ("board", printable(facts.machine)),
        ("unit", printable(str(facts.unit))),
        ("MicroPython", ".".join(map(str, facts.version))),
        ("flash, PSRAM", "%s, %s" % (megabytes, psram)),
        ("disk", "%d KB free of %d KB" % (facts.disk_free_bytes // 1024, facts.disk_bytes // 1024)),
        ("heap", "%d KB free" % (facts.heap_free_bytes // 1024)),
        ("application", _application(facts)),
        ("settings", _settings_text(facts)),
    ]
    for name, text in rows:
        if text:
            table.add_row(name, Text(text))  # as it is: a board may call itself [anything]
    console.print(table)


def _application(facts):
    words = []
    if facts.inside is not None:
        words.append("in the image: %s" % printable(str(facts.inside)))
    for slot in sorted(facts.versions):
        role = "good" if slot == facts.good else "on trial" if slot == facts.trial else "spare"
        words.append("slot %s: %s (%s)" % (slot, printable(facts.versions[slot]), role))
    return ", ".join(words) or "none"


def _settings_text(facts):
    if facts.settings is None:
        return "none"
    if facts.settings.get("broken"):
        return "config.json is damaged"
    missing = [key for key in ("bot_id", "token", "wifi_ssid") if not facts.settings[key]]
    text = "missing: " + ", ".join(missing) if missing else "complete"
    return "%s; board %s; %d root certificates" % (text, facts.settings["board"], facts.roots)


def _from_loader(port, console):
    with chips.connect(port, say=console.print) as chip:
        console.print("%s: %s" % (port, chip.text()), markup=False)
        kind = "the .bin for octal SPIRAM" if chip.psram == esp_image.OCTAL else "the plain .bin"
        if chip.psram is None and chip.psram_mb != 0:
            kind = "the .bin for octal SPIRAM or the plain one: the datasheet of the module tells, and --psram says it"
    text = "next: python -m tools flash IMAGE.bin (%s of %s)"
    console.print(text % (kind, "ESP32_GENERIC_S3, from MicroPython's download page"), style="bold", markup=False)
    return 1


def _parser():
    parser = argparse.ArgumentParser(
        description="Look at the connected board and say what to do next.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", help=ports.PORT_HELP)
    parser.add_argument("--loader", action="store_true", help="ask the chip's loader instead of MicroPython")
    return parser
