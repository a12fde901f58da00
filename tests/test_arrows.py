"""Reads every import of the device's and the tools' files and fails on an arrow that points the wrong way.

    main -> firmware.start -> firmware.app -> {session, audio, clouds, net, drivers, serial} -> lib
    tools/cloud -> neither firmware nor lib, so that a bug of theirs cannot hide in a copy of itself
"""

import ast
import glob
import os

import pytest

from tools import ROOT

SIBLINGS = ("session", "audio", "clouds", "net", "drivers", "serial")
COMMON = ("compat", "errors", "trace", "report", "ports", "events", "disk")  # what every part of the firmware may use
LIB_MODULES = {os.path.basename(path)[: -len(".py")] for path in glob.glob(os.path.join(ROOT, "lib", "*.py"))}

# The world outside enters through firmware/ports.py; these modules are where it is touched.
WORLD = {"time", "random", "socket", "ssl", "tls", "os", "threading", "_thread", "datetime", "secrets"}
WORLD_ALLOWED = {
    "firmware/compat.py": WORLD,
    "firmware/disk.py": {"os"},
    "firmware/net/stream.py": {"socket", "os"},  # os: to list the folder of roots
}
# Real hardware is opened in one place and handed down as objects.
HARDWARE = {"machine", "network", "neopixel", "ntptime", "esp32", "esp"}
HARDWARE_ALLOWED = {"firmware/app.py", "firmware/blank.py", "firmware/hardware.py", "firmware/selftest/bench.py", "boot.py", "main.py"}
NOT_ON_THE_DEVICE = {"typing", "dataclasses", "enum", "abc", "contextlib", "functools", "unittest", "pathlib"}


def imports(path, source):
    """(line, absolute dotted name) of everything that a file imports, also inside functions and by __import__."""
    package = os.path.dirname(path).replace("/", ".").split(".")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            for alias in node.names:
                yield node.lineno, ".".join(base + [alias.name])
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in (
            "__import__",
            "import_module",
        ):
            if node.args and isinstance(node.args[0], ast.Constant):
                yield node.lineno, str(node.args[0].value)


def wrong_arrows(path, source):
    """A sentence for every import of the file at path (relative to the root) that the layout forbids."""
    rules = [rule for pattern, rule in RULES if path.startswith(pattern) or path == pattern]
    found = []
    for line, name in imports(path, source):
        for rule in rules:
            reason = rule(path, name.split("."))
            if reason:
                found.append("%s:%d imports %s: %s" % (path, line, name, reason))
    return found


def _firmware(path, name):
    if name[0] in ("tools", "tests"):
        return "the firmware never knows the desktop"
    if name[0] == "boards" and path != "firmware/boards.py":
        return "board data come through firmware/boards.py"


def _sibling(path, name):
    own = path.split("/")[1]
    if name[0] != "firmware" or len(name) < 2 or name[1] == own or own not in SIBLINGS:
        return None
    if name[1] in SIBLINGS:
        return "siblings never import each other, app hands them what they need"
    if name[1] not in COMMON:
        return "only firmware.{%s} are for everybody" % ", ".join(COMMON)


def _lib(path, name):
    if name[0] in ("firmware", "tools", "boards", "tests"):
        return "lib knows nothing of this product"


def _boards(path, name):
    return "a board is data"


def _main(path, name):
    if name[0] in ("tools", "tests", "boards") or name[0] in LIB_MODULES:
        return "the start-up files know firmware.start only"
    if name[0] == "firmware" and name[1:2] != ["start"]:
        return "the start-up files know firmware.start only"


def _cloud(path, name):
    if name[0] in ("firmware", "boards") or name[0] in LIB_MODULES:
        return "the emulated cloud is an independent implementation"


def _world(path, name):
    if name[0] in WORLD - WORLD_ALLOWED.get(path, set()):
        return "time, chance and the network come through the ports"


def _hardware(path, name):
    if name[0] in HARDWARE and path not in HARDWARE_ALLOWED:
        return "drivers are handed their hardware by app"


def _portable(path, name):
    if name[0] in NOT_ON_THE_DEVICE:
        return "MicroPython does not have it"


RULES = (
    ("firmware/", _firmware),
    ("firmware/", _sibling),
    ("firmware/", _world),
    ("firmware/", _hardware),
    ("firmware/", _portable),
    ("lib/", _lib),
    ("lib/", _world),
    ("lib/", _hardware),
    ("lib/", _portable),
    ("boards/", _boards),
    ("main.py", _main),
    ("boot.py", _main),
    ("tools/cloud/", _cloud),
)


def judged_files():
    paths = []
    for pattern in ("*.py", "firmware/**/*.py", "lib/**/*.py", "boards/*.py", "tools/cloud/**/*.py"):
        paths += glob.glob(os.path.join(ROOT, pattern), recursive=True)
    return sorted(os.path.relpath(path, ROOT).replace(os.sep, "/") for path in paths)


@pytest.mark.parametrize("path", judged_files())
def test_every_arrow_points_the_right_way(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        assert wrong_arrows(path, file.read()) == []


@pytest.mark.parametrize(
    "path, source",
    (
        ("firmware/audio/player.py", "from ..net import stream"),
        ("firmware/audio/player.py", "from firmware.session import table"),
        ("firmware/audio/player.py", "import firmware.drivers.led"),
        ("firmware/audio/player.py", "from .. import app"),
        ("firmware/audio/player.py", "def f():\n    from ..clouds.coze import Coze"),
        ("firmware/clouds/coze.py", "from time import ticks_ms"),
        ("firmware/net/link.py", "import socket"),
        ("firmware/net/stream.py", "import ssl"),
        ("firmware/drivers/led.py", "from machine import Pin"),
        ("firmware/config.py", "from tools import cloud"),
        ("firmware/config.py", "from boards import sim"),
        ("firmware/session/table.py", "import enum"),
        ("lib/byte_ring.py", "from firmware.compat import const"),
        ("lib/byte_ring.py", "__import__('tools.sim')"),
        ("lib/byte_ring.py", "import time"),
        ("boards/sim.py", "import sys"),
        ("main.py", "from firmware.session import runner"),
        ("main.py", "import tools.sim"),
        ("tools/cloud/server.py", "from firmware import errors"),
        ("tools/cloud/server.py", "import importlib\nimportlib.import_module('firmware.clouds')"),
    ),
)
def test_a_wrong_arrow_is_found(path, source):
    assert len(wrong_arrows(path, source)) == 1, source


def test_the_emulated_cloud_may_not_use_a_library_of_the_device():
    assert LIB_MODULES, "lib/ was not found"
    assert wrong_arrows("tools/cloud/codec.py", "import " + sorted(LIB_MODULES)[0])


@pytest.mark.parametrize(
    "path, source",
    (
        ("firmware/audio/player.py", "from ..errors import AudioError\nfrom .codec import uplink\nimport byte_ring"),
        ("firmware/app.py", "from .session import runner\nfrom .net import link\nimport machine"),
        ("firmware/compat.py", "import time, os, asyncio"),
        ("firmware/net/stream.py", "import socket"),
        ("lib/ws_protocol.py", "import kernels\nfrom micropython import const"),
        ("main.py", "from firmware import start\nimport sys"),
        ("tools/cloud/server.py", "import time\nfrom .protocol import Chat\nfrom tools import ToolError"),
    ),
)
def test_a_right_arrow_passes(path, source):
    assert wrong_arrows(path, source) == []
