"""image: read back with littlefs-python, and mounted and started by a real MicroPython."""

import json
import subprocess

import pytest
from repl_stand_in import StandIn
from test_board_deploy import application, started
from test_board_flash import ROWS, VFS, micropython

from tools import ToolError, mpy
from tools.board import image, tree
from tools.board.repl import Repl

DISK_BYTES = 96 * 4096
SETTINGS = {"bot_id": "7400000000000000001", "token": "pat_secret", "wifi_ssid": "home", "wifi_password": "secret-12"}

_LIST = """
import json, os, sys, vfs
file = open(sys.argv[1], 'rb')
class Disk:
    def readblocks(self, number, buffer, offset=0):
        file.seek(number * 4096 + offset)
        file.readinto(buffer)
    def writeblocks(self, number, buffer, offset=0):
        raise OSError(30)
    def ioctl(self, request, argument):
        return {4: int(sys.argv[2]), 5: 4096}.get(request, 0)
vfs.mount(vfs.VfsLfs2(Disk()), '/disk')
found = {}
def walk(path):
    for name, kind, *_ in os.ilistdir(path):
        if kind & 0x4000:
            walk(path + '/' + name)
        else:
            with open(path + '/' + name, 'rb') as one:
                found[(path + '/' + name)[6:]] = one.read().hex()
walk('/disk')
print(json.dumps(found))
"""


def expected(built):
    files = {"slots/a/" + path: data for path, data in built.files.items()}
    files["slots/a/manifest.json"] = built.manifest_bytes()
    files["slots/state.json"] = b'{"good":"a","starts":0,"trial":null}'
    return dict(files, **built.loose)


def test_the_image_read_back_equals_the_tree():
    built = tree.build()
    assert image.read(image.build(built, 2 << 20)) == expected(built)


def test_the_same_input_gives_the_same_bytes():
    built = application("1")
    assert image.build(built, DISK_BYTES) == image.build(application("1"), DISK_BYTES)
    assert image.build(built, DISK_BYTES) != image.build(application("2"), DISK_BYTES)


def test_a_real_micropython_mounts_it_and_finds_every_byte(tmp_path):
    built = application("1")
    path = tmp_path / "disk"
    path.write_bytes(image.build(built, DISK_BYTES))
    script = tmp_path / "list.py"
    script.write_text(_LIST)
    words = [mpy.launcher(64), str(script), str(path), str(DISK_BYTES // 4096)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    found = {name: bytes.fromhex(data) for name, data in json.loads(done.stdout or done.stderr).items()}
    assert found == expected(built)


def test_a_board_with_the_image_starts_the_application(tmp_path):
    path = tmp_path / "flash"
    path.write_bytes(image.build(application("1"), DISK_BYTES))
    with StandIn(path, DISK_BYTES // 4096) as board:
        assert started(board) == ["RUNS 1 help"]
        with Repl(board.port) as repl:
            assert repl.listdir("/") == ["boot.py", "main.py", "slots"]


def test_files_that_do_not_fit_are_refused():
    with pytest.raises(ToolError, match="do not fit"):
        image.build(application("1", extra={"lib/big.py": b"x" * DISK_BYTES}), DISK_BYTES)


@pytest.fixture
def make(tmp_path, monkeypatch, capsys):
    """make(arguments, ...) -> (files of the image, what was printed)"""
    monkeypatch.setattr(image.tree, "build", lambda lib_folder=None, is_small=False: application("1"))
    (tmp_path / "mpy.bin").write_bytes(micropython(rows=ROWS + VFS))
    (tmp_path / "config.json").write_text(json.dumps(SETTINGS))

    def run(*arguments, micropython_image="mpy.bin"):
        out = tmp_path / "out.lfs"
        words = ["--micropython", str(tmp_path / micropython_image), "--out", str(out), *arguments]
        assert image.run_cli(words) == 0
        data = out.read_bytes()
        return data, image.read(data), capsys.readouterr().out

    return run


def test_size_and_address_come_from_the_micropython_image(make, tmp_path):
    data, _, out = make()
    assert len(data) == 0x200000 and "0x200000" in out
    (tmp_path / "new.bin").write_bytes(micropython())
    data, _, out = make("--flash-size", "4MB", micropython_image="new.bin")
    assert len(data) == 0x200000
    with pytest.raises(ToolError, match="--flash-size"):
        make(micropython_image="new.bin")


def test_settings_are_in_it_only_when_asked_and_secrets_only_when_asked_twice(make, tmp_path):
    config = str(tmp_path / "config.json")
    data, files, out = make()
    assert "config.json" not in files and "no settings" in out
    data, files, out = make("--config", config)
    assert json.loads(files["config.json"]) == {"bot_id": SETTINGS["bot_id"], "wifi_ssid": "home"}
    assert b"pat_secret" not in data and b"secret-12" not in data and "left out: token, wifi_password" in out
    data, files, out = make("--config", config, "--with-secrets")
    assert json.loads(files["config.json"]) == SETTINGS
    assert "WARNING" in out and "pat_secret" not in out
    with pytest.raises(ToolError, match="goes with --config"):
        make("--with-secrets")
