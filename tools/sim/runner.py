"""Runs the speaker in a child process, on either interpreter, and reads what it reports.

    async with CloudServer(...) as cloud:
        result = await run({"mode": "free"}, cloud=cloud, script="press\\nwait free_listening\\n", speaker="out.wav")
    assert result.exit_code == 0, result.why()

The child gets a folder of its own with config.json and the certificate roots, mode 0700 because a token is in it; the
folder is removed afterwards, also after a failure.
"""

import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
import tty

from tools import ROOT, ToolError
from tools.sim import convert
from tools.sim.simworld import script as world_script

INTERPRETERS = ("cpython", "micropython", "micropython32")
BOT_ID = "7012345678901234567"  # the emulated cloud takes any
STOP_GRACE_S = 5
_MAX_STDERR_BYTES = 64 * 1024
_MAX_LINE_BYTES = 1 << 20


class Result:
    """What a run left behind.

    exit_code     0 in order; see tools/sim/device.py for the others; -1 when the child had to be killed
    reports       the speaker's reports as dicts, in order; of_kind(kind) picks some
    output        lines on stdout that are no reports
    stderr        text, its last 64 KB
    run           the child's summary (simworld.world.World.summary), {} when it could not write one
    speaker, mic  sound.Record summaries out of `run`: wav, rate_hz, samples, spans, last_sound
    witness       what tools/sim/witness.py wrote down, "" unless asked for; tools/timeline/live.py reads it
    seconds       wall time of the child
    """

    def __init__(self):
        self.exit_code = -1
        self.reports = []
        self.output = []
        self.stderr = ""
        self.run = {}
        self.witness = ""
        self.seconds = 0.0
        self.is_timed_out = False
        self.command = []

    @property
    def speaker(self):
        return self.run.get("speaker", {})

    @property
    def mic(self):
        return self.run.get("mic", {})

    @property
    def counts(self):
        return self.run.get("counts", {})

    @property
    def longest_pause_ms(self):
        """For how long the running speaker did nothing at all, 0 when never for more than 30 ms.

        It asks its board for something every few ms, so either it waited within a call, or this computer let it wait.
        """
        if not self.reports or not self.run:
            return 0
        begin_ms = self.report_ms(self.reports[0])  # before it modules are loaded
        return max([to_ms - from_ms for from_ms, to_ms in self.run["pauses"] if from_ms >= begin_ms], default=0)

    def report_ms(self, report):
        """When the speaker reported this, in ms of the world."""
        return (report["t_ms"] - self.run["t_ms_start"]) % (1 << 30)

    def of_kind(self, kind):
        return [report for report in self.reports if report.get("kind") == kind]

    def states(self):
        """The names of the states, in the order in which they were entered."""
        return [report["state"] for report in self.of_kind("state")]

    def why(self):
        """For the message of a failed assertion: how it ended and what was last reported."""
        text = self.run.get("exit_text") or "no text"
        lines = ["exit code %d after %.1f s, %s" % (self.exit_code, self.seconds, text)]
        if self.is_timed_out:
            lines.append("it was stopped because its time was over")
        lines += [json.dumps(report, ensure_ascii=False) for report in self.reports[-12:]]
        lines += self.output[-12:]
        lines.append(self.stderr[-4000:])
        return "\n".join(lines)


class Keyboard:
    """Gives a running speaker script lines: `send("press")`. Lines sent before the child is there wait for it."""

    def __init__(self):
        self._waiting = []
        self._stdin = None

    def send(self, line):
        data = (line + "\n").encode()
        if self._stdin is None:
            self._waiting.append(data)
        elif not self._stdin.is_closing():
            self._stdin.write(data)

    def _attach(self, stdin):
        self._stdin = stdin
        for data in self._waiting:
            stdin.write(data)
        self._waiting = []


async def run(
    config=None,
    *,
    cloud=None,
    interpreter="cpython",
    script=None,
    script_name="script",
    clips_dir=".",
    mic=None,
    speaker=None,
    mic_record=None,
    keyboard=None,
    timeout_s=120,
    on_line=None,
    heapsize=None,
    epoch=1970,
    trace=None,
    is_witnessed=False,
    keep=None,
    roots=None,
    app_root=ROOT,
    main=None,
    world=None,
    is_blank=False,
    serial_pty=False,
    on_serial=None,
):
    """Run the speaker until it ends; returns a Result. ToolError, ScriptError or WavError when it cannot even begin.

    config       settings that differ from the defaults; board sim, token and URL of `cloud` unless given
    cloud        anything with url, token and ca_der_folder (tools.cloud.server.CloudServer), or None
    interpreter  one of INTERPRETERS, or a list: the command that runs a Python file
    script       text of a world script (simworld/script.py); its end is the end of the run
    clips_dir    what the names in `say` are relative to
    mic          WAV file said at every press, None or "silence"
    speaker      where to write what was played, as a 16-bit WAV file; mic_record likewise for the microphone
    keyboard     a Keyboard; without script or keyboard the run ends by timeout_s only
    timeout_s    then the speaker is asked to quit, and killed if it does not
    on_line      called with every report, and with {"kind": "output", "text"} for any other line
    heapsize     for MicroPython's -X heapsize, e.g. "384k"
    epoch        1970 or 2000: the chip's, see design decision "unix_s"
    trace        where to write the whole event trace
    is_witnessed collect what the page of a run needs (Result.witness), also of a run that fails
    keep         copy the run folder there afterwards; config.json without its secrets
    roots        folder of DER files, instead of the cloud's
    app_root     tree of the firmware; main: the program, its main.py unless given
    world        further keywords of simworld.world.World
    is_blank     a board as it was flashed: without config.json
    serial_pty   the speaker has a serial port on a pseudo terminal (Linux); a reset then starts it again in the same
                 folder. on_serial(path) is called before it starts, with the end that a host opens; on_line gets
                 {"kind": "serial", "path"}
    """
    commands = world_script.parse(script, script_name) if script is not None else []
    result = Result()
    folder = tempfile.mkdtemp(prefix="pipit-sim-")  # mode 0700
    try:
        for path in (speaker, mic_record, trace):
            check_writable(path)
        clips = _prepare_clips(commands, clips_dir, folder)
        press_clip = None if mic in (None, "silence") else _mic_clip(mic, "mic", folder)
        if not is_blank:
            _write_config(config or {}, cloud, folder)
        _copy_roots(roots or (cloud.ca_der_folder if cloud is not None else None), folder)
        settings = {
            "root": ROOT,
            "app_root": os.path.abspath(app_root),
            "main": os.path.abspath(main or os.path.join(app_root, "main.py")),
            "run_dir": folder,
            "run_json": os.path.join(folder, "run.json"),
            "epoch": epoch,
            "keyboard": True,  # its end tells the child that we are gone
            "script": None if script is None else {"name": script_name, "text": script},
            "trace": _absolute(trace),
            "witness": os.path.join(folder, "witness.txt") if is_witnessed else None,
            "world": dict(
                {
                    "speaker_wav": _absolute(speaker),
                    "mic_wav": _absolute(mic_record),
                    "clips": clips,
                    "press_clip": press_clip,
                },
                **(world or {}),
            ),
        }
        with _serial_pty(on_serial, on_line) if serial_pty else contextlib.nullcontext() as serial_fd:
            settings["serial_fd"] = serial_fd
            path = os.path.join(folder, "settings.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump(settings, file)
            program = os.path.join(ROOT, "tools", "sim", "device.py")
            result.command = command_for(interpreter, heapsize) + [program, path]
            await _run_starts(result, settings, keyboard or Keyboard(), timeout_s, on_line)
        if is_witnessed:
            with contextlib.suppress(OSError):
                with open(settings["witness"], encoding="utf-8", errors="replace") as file:
                    result.witness = file.read()
        if keep:
            _keep(folder, keep)
        return result
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_sync(*args, **options):
    """run() for callers without a loop of their own; the cloud must then run elsewhere."""
    return asyncio.run(run(*args, **options))


def command_for(interpreter, heapsize=None):
    """The words before the program's path. ToolError when the interpreter is not to be had."""
    if not isinstance(interpreter, str):
        return list(interpreter)
    if interpreter == "cpython":
        return [sys.executable, "-X", "utf8"]
    if interpreter not in INTERPRETERS:
        raise ToolError("interpreter %s is unknown; allowed are %s" % (interpreter, ", ".join(INTERPRETERS)))
    from tools import mpy

    command = [mpy.launcher(32 if interpreter == "micropython32" else 64)]
    return command + (["-X", "heapsize=" + str(heapsize)] if heapsize else [])


# -- the run folder


def _write_config(config, cloud, folder):
    values = {"board": "sim", "bot_id": BOT_ID, "wifi_ssid": "pipit-sim", "wifi_password": "simulated"}
    if cloud is not None:
        values.update(cloud_url=cloud.url, token=cloud.token)
    values.update(config)
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(values, file)


def _copy_roots(source, folder):
    target = os.path.join(folder, "tls_roots")
    os.mkdir(target)
    if source is None:
        return
    for name in os.listdir(source):
        if name.endswith(".der"):
            shutil.copy(os.path.join(source, name), target)


def _prepare_clips(commands, clips_dir, folder):
    """Name in the script -> path of a file that the microphone can hear."""
    clips = {}
    for command in commands:
        if command.verb == "say" and command.arg not in clips:
            path = os.path.join(clips_dir, command.arg)
            clips[command.arg] = _mic_clip(path, "clip%d" % len(clips), folder)
    return clips


def _mic_clip(path, name, folder):
    path = os.path.abspath(path)
    if not os.path.exists(path):
        raise ToolError("there is no sound file %s" % path)
    if convert.is_mic_clip(path):
        return path
    target = os.path.join(folder, name + ".wav")
    convert.to_mic(path, target)
    return target


def check_writable(path):
    """Say now that a file cannot be written, and leave none of an earlier run behind."""
    if path:
        try:
            with open(path, "wb"):
                pass
            os.remove(path)
        except OSError as error:
            raise ToolError("%s cannot be written: %s" % (path, error.strerror)) from None


def _absolute(path):
    return os.path.abspath(path) if path else None


def _keep(folder, target):
    """Copy what may be looked at later; the token stays behind."""
    os.makedirs(target, exist_ok=True)
    config = {}
    with contextlib.suppress(FileNotFoundError), open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    for key in ("token", "wifi_password"):
        if config.get(key):
            config[key] = "(removed)"
    with open(os.path.join(target, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2)
    for name in ("run.json", "settings.json"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(os.path.join(folder, name), target)


# -- the child


async def _run_starts(result, settings, keyboard, timeout_s, on_line):
    """Run the child; a reset by whoever sits at its serial port starts it again."""
    started = time.monotonic()
    while True:
        left_s = None if timeout_s is None else max(0, timeout_s - (time.monotonic() - started))
        result.run = {}
        await _run_child(result, settings, keyboard, left_s, on_line)
        with contextlib.suppress(OSError, ValueError):
            with open(settings["run_json"], encoding="utf-8") as file:
                result.run = json.load(file)
        is_reset = settings["serial_fd"] is not None and result.run.get("exit_reason") == "reset"
        if not is_reset or result.is_timed_out:
            break
    result.seconds = time.monotonic() - started


@contextlib.contextmanager
def _serial_pty(on_serial, on_line):
    """The number of the open end of a pseudo terminal; the path of the other end is told."""
    open_end, other_end = os.openpty()
    try:
        tty.setraw(other_end)
        path = os.ttyname(other_end)
    finally:
        os.close(other_end)  # so that the speaker can tell whether a host is there
    try:
        os.set_blocking(open_end, False)
        if on_serial is not None:
            on_serial(path)
        if on_line is not None:
            on_line({"kind": "serial", "path": path})
        yield open_end
    finally:
        os.close(open_end)


async def _run_child(result, settings, keyboard, timeout_s, on_line):
    started = time.monotonic()
    folder = settings["run_dir"]
    serial_fd = settings["serial_fd"]
    process = await asyncio.create_subprocess_exec(
        *result.command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        limit=_MAX_LINE_BYTES,
        pass_fds=() if serial_fd is None else (serial_fd,),
        start_new_session=True,  # Ctrl-C in the terminal is for us; the child is told to quit
    )
    keyboard._attach(process.stdin)
    readers = asyncio.gather(_read_stdout(process.stdout, result, on_line), _read_stderr(process.stderr, result))
    try:
        await asyncio.wait_for(asyncio.shield(readers), timeout_s)
    except asyncio.TimeoutError:
        result.is_timed_out = True
    finally:
        # Also when we are cancelled ourselves: no child is left behind, and its files are complete.
        await asyncio.shield(_end(process, readers))
        result.exit_code = process.returncode if process.returncode >= 0 else -1
        result.seconds = time.monotonic() - started
        if result.is_timed_out and result.exit_code == 0:
            result.exit_code = -1


async def _end(process, readers):
    for push in (_ask_to_quit, process.terminate, process.kill):
        if process.returncode is not None:
            break
        done, _ = await asyncio.wait([asyncio.ensure_future(process.wait())], timeout=0.01 if readers.done() else 0)
        if done:
            break
        with contextlib.suppress(ProcessLookupError, ConnectionError):
            await push(process) if push is _ask_to_quit else push()
        await asyncio.wait([asyncio.ensure_future(process.wait())], timeout=STOP_GRACE_S)
    await process.wait()
    await asyncio.wait([readers], timeout=STOP_GRACE_S)
    process.stdin.close()


async def _ask_to_quit(process):
    if not process.stdin.is_closing():
        process.stdin.write(b"quit\n")
        await process.stdin.drain()


async def _read_stdout(stream, result, on_line):
    while True:
        try:
            line = await stream.readline()
        except ValueError:
            result.output.append("(a line of more than %d bytes was dropped)" % _MAX_LINE_BYTES)
            continue
        if not line:
            return
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        report = _report(text)
        if report is None:
            result.output.append(text)
            report = {"kind": "output", "text": text}
        else:
            result.reports.append(report)
        if on_line is not None:
            on_line(report)


def _report(text):
    if not text.startswith("{"):
        return None
    try:
        report = json.loads(text)
    except ValueError:
        return None
    return report if isinstance(report, dict) and "kind" in report else None


async def _read_stderr(stream, result):
    while True:
        data = await stream.read(4096)
        if not data:
            return
        result.stderr = (result.stderr + data.decode("utf-8", "replace"))[-_MAX_STDERR_BYTES:]
