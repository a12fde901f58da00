"""The custom MicroPython image: its manifest freezes every file of the device once and nothing else of this repository.

MicroPython's own manifest tool comes with its sources only, so a recorder with the same words stands in for it here.
"""

import collections
import glob
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from tools import ROOT, size
from tools.board import tree

FOLDER = os.path.join(ROOT, "boards", "micropython", "PIPIT_S3")


class Recorder:
    """The words of a manifest, as MicroPython's docs/reference/manifest.rst has them, for files of this repository.

    frozen: [(path from the repository's root, name on the device)]; included, required: what was asked for by name.
    """

    def __init__(self, folder):
        self.folder = folder
        self.frozen = []
        self.included = []
        self.required = []

    def run(self):
        words = {word: getattr(self, word) for word in ("include", "require", "package", "module")}
        before = os.getcwd()
        os.chdir(self.folder)
        try:
            with open("manifest.py", encoding="utf-8") as file:
                exec(compile(file.read(), "manifest.py", "exec"), words)
        finally:
            os.chdir(before)
        return self

    def include(self, path):
        self.included.append(path)

    def require(self, name):
        self.required.append(name)

    def package(self, name, files=None, base_path="."):
        if files is None:
            found = glob.glob(os.path.join(base_path, name, "**", "*.py"), recursive=True)
            files = [os.path.relpath(path, os.path.join(base_path, name)) for path in found]
        for file in files:
            self._freeze(base_path, os.path.join(name, file))

    def module(self, name, base_path="."):
        self._freeze(base_path, name)

    def _freeze(self, base_path, name):
        path = os.path.abspath(os.path.join(base_path, name))
        assert os.path.isfile(path), path
        self.frozen.append((os.path.relpath(path, ROOT), name))


@pytest.fixture(scope="module")
def manifest():
    return Recorder(FOLDER).run()


def test_every_file_of_the_device_is_frozen_exactly_once_and_nothing_else(manifest):
    sources = sorted(path for path, _ in manifest.frozen)
    assert sources == [file for file in size.device_files() if file not in tree._DESKTOP_ONLY]


def test_frozen_modules_are_imported_by_the_names_of_the_disk(manifest):
    names = dict(manifest.frozen)
    assert names["firmware/net/link.py"] == "firmware/net/link.py"
    assert names["boards/elatoai_diy.py"] == "boards/elatoai_diy.py"
    assert names["lib/kernels_viper.py"] == "kernels_viper.py", "lib is a folder of sys.path, not a package"
    assert names["main.py"] == "main.py" and names["boot.py"] == "boot.py"
    assert max(collections.Counter(names.values()).values()) == 1


def test_what_it_takes_from_micropython(manifest):
    assert manifest.included == ["$(PORT_DIR)/boards/manifest.py"]
    assert manifest.required == ["aiohttp"]


def test_a_manifest_that_misses_a_file_is_noticed(manifest):
    """The check above can fail: without lib/, or with this folder frozen along with the boards."""
    sources = {path for path, _ in manifest.frozen}
    assert any(path.startswith("lib/") for path in sources) and "boards/sim.py" not in sources
    whole = Recorder(FOLDER)
    whole.package("boards", base_path=ROOT)
    assert "boards/micropython/PIPIT_S3/manifest.py" in [path for path, _ in whole.frozen]


def test_the_definition_is_whole_and_consistent():
    """The files that MicroPython's esp32 port looks for in a board's folder, and the names they use for one another."""
    with open(os.path.join(FOLDER, "board.json"), encoding="utf-8") as file:
        board = json.load(file)
    variants = glob.glob(os.path.join(FOLDER, "mpconfigvariant_*.cmake"))
    assert board["mcu"] == "esp32s3"
    assert {"mpconfigvariant_%s.cmake" % name for name in board["variants"]} == {os.path.basename(v) for v in variants}
    for file in board["deploy"]:
        assert os.path.isfile(os.path.join(FOLDER, file))
    cmake = open_text("mpconfigboard.cmake")
    for name in re.findall(r"\$\{MICROPY_BOARD_DIR\}/([\w.]+)", cmake):
        assert os.path.isfile(os.path.join(FOLDER, name)), name
    assert "manifest.py" in cmake and "partitions.csv" in cmake
    assert "MICROPY_HW_BOARD_NAME" in open_text("mpconfigboard.h")


# boards/sdkconfig.NAME of MicroPython's esp32 port that matter for an ESP32-S3, by release.
PORT_FILES = {
    "1.26": {"base", "ble", "usb", "spiram_sx", "spiram_oct", "240mhz"},
    "1.27 and 1.28": {"base", "ble", "spiram_sx", "spiram_oct", "240mhz"},
    "1.29": {"base", "ble", "spiram_quad", "spiram_oct", "240mhz"},
}
# What ports/esp32/CMakeLists.txt does with a definition before it hands over to the ESP-IDF.
CMAKE_LISTS = """cmake_minimum_required(VERSION 3.12)
project(definition NONE)
include(${MICROPY_BOARD_DIR}/mpconfigboard.cmake)
if(MICROPY_BOARD_VARIANT)
    include(${MICROPY_BOARD_DIR}/mpconfigvariant_${MICROPY_BOARD_VARIANT}.cmake)
endif()
foreach(FILE ${SDKCONFIG_DEFAULTS})
    file(READ ${FILE} CONTENTS)
    file(APPEND ${CMAKE_BINARY_DIR}/combined "${CONTENTS}")
endforeach()
file(APPEND ${CMAKE_BINARY_DIR}/combined "TARGET=${IDF_TARGET} MANIFEST=${MICROPY_FROZEN_MANIFEST}")
"""


@pytest.mark.parametrize("release", PORT_FILES)
def test_only_files_that_a_release_has_are_read(release):
    wanted = re.sub("#.*", "", open_text("mpconfigboard.cmake") + open_text("mpconfigvariant_SPIRAM_OCT.cmake"))
    assert set(re.findall(r"boards/sdkconfig\.(\w+)", wanted)) <= PORT_FILES[release]
    assert "include(" not in wanted, "a file of MicroPython's that not every release has"


@pytest.mark.parametrize("variant", ["", "SPIRAM_OCT"])
@pytest.mark.parametrize("release", PORT_FILES)
def test_cmake_configures_it_for_a_release(tmp_path, release, variant):
    if not shutil.which("cmake"):
        pytest.skip("there is no cmake on this computer")
    port = tmp_path / "port"
    (port / "boards").mkdir(parents=True)
    (port / "CMakeLists.txt").write_text(CMAKE_LISTS)
    for name in PORT_FILES[release]:
        (port / "boards" / ("sdkconfig." + name)).write_text("CONFIG_OF_%s=y\n" % name)
    words = ["-DMICROPY_BOARD_DIR=" + FOLDER, "-DMICROPY_BOARD_VARIANT=" + variant]
    command = ["cmake", "-S", str(port), "-B", str(tmp_path / "build"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    combined = (tmp_path / "build" / "combined").read_text()
    read = set(re.findall(r"CONFIG_OF_(\w+)=y", combined))
    assert read == PORT_FILES[release] - (set() if variant else {"spiram_oct"})
    assert "TARGET=esp32s3 MANIFEST=%s/manifest.py" % FOLDER in combined and "FLASHMODE_QIO=y" in combined
    assert 'PARTITION_TABLE_CUSTOM_FILENAME="%s/partitions.csv"' % FOLDER in combined


def test_the_partitions_are_in_order_and_fit_into_the_smallest_flash():
    end = 0x9000  # behind the bootloader and the table itself
    for line in open_text("partitions.csv").splitlines():
        if line and not line.startswith("#"):
            name, kind, _, offset, size_bytes = [word.strip() for word in line.split(",")][:5]
            assert int(offset, 0) >= end, name
            assert int(offset, 0) % (0x10000 if kind == "app" else 0x1000) == 0, name
            end = int(offset, 0) + int(size_bytes, 0)
    assert end <= 3 << 20, "at least 1 MiB of a 4 MiB flash is left for the disk"


def open_text(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        return file.read()


def test_nothing_of_it_goes_onto_a_device():
    assert not any("micropython/" in file for file in size.device_files())


def test_the_frozen_application_is_found_behind_a_slot(tmp_path):
    """main.py runs an application of the disk's slots before one that sys.path has anyway, which a frozen one is."""
    frozen = tmp_path / "frozen"
    slot = tmp_path / "slots" / "a"
    for folder, name in ((frozen, "frozen"), (slot, "slot")):
        (folder / "firmware").mkdir(parents=True)
        (folder / "firmware" / "__init__.py").write_text("")
        (folder / "firmware" / "start.py").write_text("def main(**_):\n    print('from the %s')\n    return 0\n" % name)
    text = (slot / "firmware" / "start.py").read_bytes()
    listed = {"firmware/start.py": [len(text), "0"], "firmware/__init__.py": [0, "0"]}
    for is_there, words in ((True, "from the slot"), (False, "from the frozen")):
        if is_there:
            (slot / "manifest.json").write_text(json.dumps({"version": "1", "files": listed}))
            (tmp_path / "slots" / "state.json").write_text('{"good": "a", "trial": null, "starts": 0}')
        else:
            (slot / "manifest.json").unlink()  # not whole: the image's own is the way out
        main = os.path.join(ROOT, "main.py")
        program = "import runpy, sys; sys.path.insert(0, %r); runpy.run_path(%r)" % (str(frozen), main)
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert words in done.stdout, done.stdout + done.stderr
