"""The simulated chip: runs the real boot.py and main.py among the stand-ins. Child process, on either interpreter.

    python device.py SETTINGS.json            micropython device.py SETTINGS.json

SETTINGS.json, written by tools.sim.runner:

    root        folder of the repository
    main        path of the program, mostly app_root + "/main.py"
    app_root    folder with boot.py, firmware/, lib/ and boards/; mostly root, or a tree of .mpy files
    run_dir     current folder of the speaker, with config.json and tls_roots/
    run_json    where the summary of the run goes, also after a crash
    epoch       1970 or 2000: where this chip's time.time() starts to count
    keyboard    true: script lines come on stdin, its end ends the run
    script      {"name", "text"} or null
    trace       path for the whole event trace as text, or null
    serial_fd   number of the open end of a pseudo terminal that is the speaker's serial port, or null
    witness     path for what witness.py writes down, or null
    world       keywords of simworld.world.World

Reports of the speaker go to stdout, one JSON object a line. Exit codes: 0 ended in order (quit, Ctrl-C, end of the
script); 1 crashed, or main.py came to an end by itself; 2 the script is wrong; 3 watchdog or reset; 4 a wait of the
script ran out.
"""

import asyncio
import errno
import json
import os
import sys
import time

IS_MICROPYTHON = sys.implementation.name == "micropython"
EPOCH_2000_S = 946_684_800
DEFAULT_BOARD = "bread_compact_wifi"

EXIT_CODES = {
    "quit": 0,
    "interrupted": 0,
    "crash": 1,
    "stopped": 1,
    "bad script": 2,
    "watchdog": 3,
    "reset": 3,
    "script": 4,
}


def main(path):
    with open(path) as file:
        settings = json.load(file)
    root = settings["root"]
    app_root = settings["app_root"]
    sim = root + "/tools/sim"
    # The stand-ins come before everything, so that they win over a `machine` that is built in.
    others = [entry for entry in sys.path[1:] if entry not in ("", root)]
    sys.path[:] = [sim + "/standins", app_root, app_root + "/lib"] + others + [sim]
    os.chdir(settings["run_dir"])
    from simworld import script, world

    here = world.current = world.World(**settings["world"])
    watcher = None
    if settings["witness"]:
        import witness

        watcher = witness.Witness(here, settings["witness"])
    is_prepared = False
    try:
        set_up_person(here, settings)
        set_up_firmware(here, settings)
        if watcher is not None:
            watcher.watch_firmware()
        is_prepared = True
    except script.ScriptError as error:
        here.end("bad script", str(error))
    if is_prepared:
        run(here, (app_root + "/boot.py", settings["main"]), settings["serial_fd"] is not None)
    return finish(here, settings)


def set_up_person(here, settings):
    """Put the board's keys under the finger, and the script or the keyboard behind it."""
    try:
        with open("config.json") as file:
            name = json.load(file).get("board", DEFAULT_BOARD)
    except OSError:
        name = DEFAULT_BOARD
    board = getattr(__import__("boards." + name), name).BOARD
    here.mic_slot = board["mic"].get("slot", "left")
    for key in ("button", "volume_up", "volume_down"):
        pins = board.get(key)
        if pins:
            here.buttons.add(pins["pin"], pins["active_low"])
            if key == "button":
                here.button_pin = pins["pin"]
            else:
                here.volume_pins[key[7:]] = pins["pin"]
    if settings["script"]:
        from firmware.session import states

        here.play_script(settings["script"]["text"], settings["script"]["name"], states.STATES)
    if settings["keyboard"]:
        here.listen_to_keyboard(Stdin().lines)


def set_up_firmware(here, settings):
    """Listen to the speaker's reports; give it the chip's clock and network and, if wanted, a written trace."""
    from firmware import compat, report
    from firmware.net import stream

    serial = set_up_serial(settings["serial_fd"])

    def sink(line):
        print(line)
        if not IS_MICROPYTHON:
            sys.stdout.flush()
        if serial is not None:
            serial.write((line + "\r\n").encode())  # as print() writes on a chip
        here.on_report(line)

    here.tell = lambda text: sink(json.dumps({"kind": "keyboard", "text": text}))
    report.sink = sink
    compat.time = ChipTime(here, settings["epoch"])
    here.on_wifi = Cable(here, stream).set
    if settings["trace"]:
        record_trace(settings["trace"])


def set_up_serial(fd):
    """The PtyPort that the speaker finds as its own; None for fd None, and the speaker finds none."""
    if fd is None:
        return None
    import pty_port
    from firmware.serial import port

    serial = pty_port.PtyPort(fd)
    port.find = lambda: serial
    return serial


class ChipTime:
    """`time` as firmware.compat sees it: the chip's own clock and epoch, the rest of the module unchanged."""

    def __init__(self, here, epoch):
        self._here = here
        self._offset_s = EPOCH_2000_S if epoch == 2000 else 0

    def time(self):
        return self._here.unix_s() - self._offset_s

    def gmtime(self, seconds=None):
        if seconds is None:
            seconds = self.time()
        return time.gmtime(seconds + self._offset_s)

    def __getattr__(self, name):
        return getattr(time, name)


class Cable:
    """Takes the Wi-Fi away from under the sockets: nothing arrives, nothing is taken, and no error says so.

    The methods of the firmware's Stream are exchanged only while it is gone, so it costs nothing before.
    """

    def __init__(self, here, stream):
        self._here = here
        self._stream = stream
        self._readinto = stream.Stream.readinto
        self._write = stream.Stream.write
        self.is_cut = False
        stream.resolve = self._guard(stream.resolve, "dns", "no address for the host: there is no Wi-Fi")
        stream.connect = self._guard(stream.connect, "connect", "no route to the host: there is no Wi-Fi")

    def _guard(self, function, kind, text):
        """Asked without Wi-Fi, the chip's network stack refuses at once."""
        from firmware import errors

        def guarded(*args):
            if not self._here.is_wifi_up:
                raise errors.LinkError(text, kind, errno.EHOSTUNREACH)
            return function(*args)

        return guarded

    def set(self, is_up):
        """Cut the sockets off, or join them again with whatever has arrived meanwhile."""
        cls = self._stream.Stream
        if is_up and self.is_cut:
            self.is_cut = False
            cls.readinto = self._readinto
            cls.write = self._write
        elif not is_up and not self.is_cut:
            self.is_cut = True
            cls.readinto = lambda stream, mv: self._refuse(stream, self._readinto, mv)
            cls.write = lambda stream, *args: self._refuse(stream, self._write, *args)

    def _refuse(self, stream, method, *args):
        if stream.is_closed:
            return method(stream, *args)
        # A socket may have data that nobody fetches now: who waits for it must not spin.
        for name in ("readable", "writable"):
            wait = getattr(stream, name)
            if not isinstance(wait, _CutWait):
                setattr(stream, name, _CutWait(self, wait))
        return None


class _CutWait:
    """Stands before an awaitable of a Stream that has seen the cable pulled; transparent again once it is back."""

    def __init__(self, cable, wait):
        self._cable = cable
        self._wait = wait

    def __await__(self):
        return self._run().__await__()

    def __iter__(self):
        return self._run()  # what MicroPython awaits

    async def _run(self):
        if self._cable.is_cut:
            await asyncio.sleep(0.02)
        else:
            await self._wait


def record_trace(path):
    """Write every trace entry to a file as it is made; the firmware's own ring holds the last ones only."""
    from firmware import trace, trace_names

    file = open(path, "w")

    class WrittenTrace(trace.Trace):
        def add(self, code, arg=0):
            super().add(code, arg)
            file.write(trace_names.line(*self._last()) + "\n")
            file.flush()

        def _last(self):
            at = (self.count - 1) % self._capacity
            return self._t_ms[at], self._code[at], self._arg[at]

    trace.Trace = WrittenTrace


class Stdin:
    """Lines from stdin as they come; asks, never waits."""

    def __init__(self):
        import select

        self._rest = b""
        self._poll = select.poll()
        self._poll.register(sys.stdin, select.POLLIN)

    def lines(self):
        """List of the lines that have come, None at the end of stdin."""
        lines = []
        while self._poll.poll(0):
            if IS_MICROPYTHON:
                line = sys.stdin.readline()
                if not line:
                    return None
                lines.append(line.strip())
                continue
            data = os.read(0, 4096)
            if not data:
                return None
            parts = (self._rest + data).split(b"\n")
            self._rest = parts.pop()
            lines += [part.decode() for part in parts]
        return lines


def run(here, paths, is_on_serial=False):
    """The programs at `paths` one after the other, as the chip runs them, until they end in whatever way."""
    from simworld import world

    try:
        names = {"__name__": "__main__"}  # boot.py and main.py share their names, as on the chip
        for path in paths:
            run_file(path, names)
        code = names.get("exit_code")
        if code == 0 and is_on_serial:
            here.end("interrupted", "Ctrl-C on the serial port, or safe mode")
        here.end("stopped", "main.py came to an end by itself, with exit code %s" % code)
    except world.PowerLoss:
        return
    except KeyboardInterrupt:
        # main.py should have met it; what got through says so and is an orderly end all the same.
        here.end("interrupted", "main.py let Ctrl-C through")
    except SystemExit as error:
        here.end("stopped", "main.py ended by sys.exit(%s)" % (error.args[0] if error.args else 0))
    except BaseException as error:
        show(error)
        here.end("crash", "%s: %s" % (type(error).__name__, error))


def run_file(path, names):
    """Run a program in the dictionary `names`, where its variables stay."""
    with open(path) as file:
        code = compile(file.read(), path, "exec")
    names["__file__"] = path
    exec(code, names)


def show(error):
    if IS_MICROPYTHON:
        sys.print_exception(error, sys.stderr)
    else:
        import traceback

        traceback.print_exception(type(error), error, error.__traceback__)


def finish(here, settings):
    """Close the records, write the summary; returns the exit code."""
    here.finish()
    summary = here.summary()
    summary["interpreter"] = sys.implementation.name
    if settings["serial_fd"] is not None:
        from firmware.serial import port

        summary["is_ctrl_c_taken"] = port.find().is_ctrl_c_taken
    summary["exit_code"] = EXIT_CODES[summary["exit_reason"]]
    with open(settings["run_json"], "w") as file:
        json.dump(summary, file)
    if summary["exit_code"]:
        sys.stderr.write("%s: %s\n" % (summary["exit_reason"], summary["exit_text"]))
    return summary["exit_code"]


if __name__ == "__main__":
    if not IS_MICROPYTHON:
        import signal

        signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(sys.argv[1]))
