"""`python -m tools sim`: options, keyboard and screen; the parrot of tests/sim_fake runs in place of the speaker."""

import io
import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import termios
import threading
import time

import pytest

from tools import ROOT, ToolError
from tools.sim import cli, keys, runner, screen

PARROT = os.path.join(ROOT, "tests", "sim_fake", "main.py")

# Runs the verb with the parrot in place of the speaker; the rest is as a person would start it.
PARROT_CLI = """
import sys
sys.path.insert(0, {root!r})
from tools.sim import cli, runner
real = runner.run
def run(config, **options):
    return real(dict(config, board="parrot"), **dict(options, app_root={tree!r}, main={parrot!r}))
runner.run = run
sys.exit(cli.run_cli(sys.argv[1:]))
"""


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    root.mkdir()
    for name in ("firmware", "lib", "boot.py"):
        (root / name).symlink_to(os.path.join(ROOT, name))
    (root / "boards").symlink_to(os.path.join(ROOT, "tests", "sim_fake", "boards"))
    return root


def command(tree, *options):
    code = PARROT_CLI.format(root=ROOT, tree=str(tree), parrot=PARROT)
    cloud = ("--cloud", "ws://localhost:1/v1/chat", "--bot-id", "1", "--token-env", "PIPIT_TEST_TOKEN")
    return [sys.executable, "-c", code, *cloud, *options]


ENVIRONMENT = dict(os.environ, PIPIT_TEST_TOKEN="very-secret-token")


def test_script_runs_to_its_end_and_the_screen_tells(tree, tmp_path):
    script = tmp_path / "talk.txt"
    script.write_text("wait idle\npress\nwait listening\nsleep 50\nrelease\nwait turn\n")
    played = tmp_path / "played.wav"
    done = subprocess.run(
        command(tree, "--script", str(script), "--speaker", str(played)),
        env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("listening", "speaking", "samples", str(played)):
        assert part in done.stdout, done.stdout
    assert "very-secret-token" not in done.stdout + done.stderr
    assert played.stat().st_size > 44


def test_failed_wait_is_the_last_thing_said(tree, tmp_path):
    script = tmp_path / "talk.txt"
    script.write_text("wait idle\nwait thinking 100\n")
    done = subprocess.run(
        command(tree, "--script", str(script)), env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "line 2: waited 100 ms for thinking" in done.stdout


def test_json_output_is_json_lines(tree, tmp_path):
    script = tmp_path / "talk.txt"
    script.write_text("wait idle\n")
    done = subprocess.run(
        command(tree, "--script", str(script), "--json"),
        env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    kinds = [json.loads(line)["kind"] for line in done.stdout.splitlines()]
    assert kinds[0] == "boot" and kinds[-1] == "run"


def test_lines_on_a_pipe_are_the_user(tree):
    done = subprocess.run(
        command(tree), input="wait idle\npress\nwait listening\nrelease\nwait turn\n",
        env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "speaking" in done.stdout


class Terminal:
    """A person at a terminal: a pty with the verb on its other side."""

    def __init__(self, words):
        self.master, self._slave = pty.openpty()
        self.before = termios.tcgetattr(self._slave)
        self.text = ""
        self.process = subprocess.Popen(
            words, stdin=self._slave, stdout=self._slave, stderr=self._slave, env=ENVIRONMENT, start_new_session=True
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            try:
                data = os.read(self.master, 4096)
            except OSError:
                return
            if not data:
                return
            self.text += data.decode("utf-8", "replace")

    def wait_for(self, text, timeout_s=20):
        end = time.monotonic() + timeout_s
        while text not in self.text:
            assert time.monotonic() < end, self.text
            time.sleep(0.01)

    def type(self, text):
        os.write(self.master, text.encode())

    def settings(self):
        return termios.tcgetattr(self._slave)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._slave)
        os.close(self.master)


@pytest.fixture
def terminal(tree):
    opened = []

    def make(*options):
        opened.append(Terminal(command(tree, *options)))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def test_space_bar_is_the_button_and_q_leaves_the_terminal_as_it_was(terminal):
    screen = terminal()
    screen.wait_for("idle")
    assert screen.settings() != screen.before
    screen.type(" ")
    screen.wait_for("listening")
    screen.type(" ")
    screen.wait_for("speaking")
    screen.wait_for("turn")
    screen.type("q")
    assert screen.process.wait(20) == 0, screen.text
    assert screen.settings() == screen.before


def test_ctrl_c_ends_in_order(terminal, tmp_path):
    played = tmp_path / "played.wav"
    screen = terminal("--speaker", str(played))
    screen.wait_for("idle")
    os.killpg(screen.process.pid, signal.SIGINT)
    assert screen.process.wait(20) == 0, screen.text
    screen.wait_for("stopped by Ctrl-C")
    screen.wait_for(str(played)[-20:])
    assert screen.settings() == screen.before
    assert played.stat().st_size > 44


def test_every_key_is_a_script_line():
    class Board:
        def __init__(self):
            self.lines = []

        def send(self, line):
            self.lines.append(line)

    board = Board()
    notes = []
    reader = keys.Keys(board, notes.append)
    reader.feed(b" t ")
    reader.feed(b"t+-wwx?q")
    assert board.lines == [
        "press", "release", "tap", "volume up", "volume down", "wifi down", "wifi up", "quit",
    ], "and no tap while the button is down"  # fmt: skip
    assert keys.HELP in notes
    board.lines.clear()
    lines = keys.Lines(board, notes.append)
    lines.feed(b"pre")
    lines.feed(b"ss\n\nsay a b.wav\nrelea")
    lines.feed(b"se")
    lines.feed(b"")
    assert board.lines == ["press", 'say "%s"' % os.path.abspath("a b.wav"), "release", "quit"]


def test_wrong_options_name_their_cure(tmp_path, monkeypatch):
    monkeypatch.delenv("NO_SUCH_TOKEN", raising=False)
    url = "wss://cloud.example/v1/chat"
    for options, text in (
        (["--cloud", "http://cloud.example"], "ws:// or wss://"),
        (["--cloud", url], "--token-env"),
        (["--cloud", url, "--token-env", "NO_SUCH_TOKEN"], "NO_SUCH_TOKEN is empty"),
        (["--cloud", url, "--token-env", "PATH"], "--bot-id"),
        (["--cloud", url, "--scenario", "demo"], "emulated cloud only"),
        (["--config", __file__], "is not JSON"),
    ):
        with pytest.raises(ToolError, match=text):
            cli.run_cli(options)
    (tmp_path / "talk.txt").write_text("hum\n")
    monkeypatch.setenv("SOME_TOKEN", "x")
    with pytest.raises(ToolError, match="talk.txt, line 1"):
        cli.run_cli(["--cloud", "ws://localhost:1", "--bot-id", "1", "--token-env", "SOME_TOKEN",
                     "--script", str(tmp_path / "talk.txt")])  # fmt: skip


def test_options_become_settings(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"mode": "free", "volume_percent": 30, "uplink_codec": "pcm"}')
    options = cli._parser().parse_args(["--config", str(path), "--mode", "ptt_toggle", "--codec", "g711u",
                                        "--downlink-codec", "pcm"])  # fmt: skip
    assert cli._config(options) == {
        "mode": "ptt_toggle", "volume_percent": 30, "uplink_codec": "g711u", "downlink_codec": "pcm",
    }  # fmt: skip


def test_public_roots_become_der_files_and_vanish():
    import contextlib
    import ssl

    with contextlib.ExitStack() as stack:
        folder = cli._public_roots(stack)
        names = os.listdir(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                context.load_verify_locations(cadata=file.read())
        assert len(names) > 100 and context.cert_store_stats()["x509_ca"] > 100
    assert not os.path.exists(folder)


def test_interpreters_of_the_option_are_the_runners():
    for name in runner.INTERPRETERS:
        assert cli._parser().parse_args(["--interpreter", name]).interpreter == name


def test_a_blank_speaker_is_set_up_for_the_emulated_cloud_by_the_command_that_is_printed():
    """Only the answers to its questions are added here: that the cloud then greets the speaker proves every word."""
    command = [sys.executable, "-m", "tools", "sim", "--serial-pty", "--blank", "--timeout", "60"]
    sim = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        lines = []
        while not lines or "python -m tools provision" not in lines[-1]:
            lines.append(sim.stdout.readline())
            assert lines[-1], lines
        token = lines[-2].partition("token ")[2].strip().rstrip(":")
        words = shlex.split(lines[-1])[1:]
        words += ["--wifi-name", "Nest", "--wifi-open", "--bot-id", "7", "--token-env", "IT"]
        streams = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
        done = subprocess.run([sys.executable, *words], cwd=ROOT, env=dict(os.environ, IT=token), **streams)
    finally:
        sim.communicate(timeout=30)
    assert done.returncode == 0 and "online: Wi-Fi Nest" in done.stdout, done.stdout + done.stderr


def test_a_long_line_on_a_terminal_stays_one_line(monkeypatch):
    """A command that is to be copied must not be cut in two."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    screen._rich_line()([("  python -m tools provision ", ""), ("long " * 60, "dim")])
    assert sys.stdout.getvalue().count("\n") == 1
