"""`python -m tools sim`: talk to the speaker on this computer. The keyboard is the button, a script can be the user."""

import argparse
import asyncio
import contextlib
import os
import re
import shlex
import signal
import ssl
import sys
import tempfile

from tools import ToolError
from tools.sim import keys, runner, screen
from tools.sim.simworld import script as world_script
from tools.sim.simworld import wav

EXIT_FAILED = 1
EXIT_USAGE = 2

_EPILOG = """\
keys: space press / let go, t tap, + - volume, w Wi-Fi off / on, q or Ctrl-C quit.
In ptt_hold mode a press lasts until the space bar is struck again: a terminal knows no key-up.
When stdin is no terminal, its lines are script commands (press, release, say FILE.wav, ...).
With --mic FILE.wav the file is said at every press.

With --serial-pty the speaker has the serial port of a board, and the path of a pseudo terminal is printed: open it with
`python -m tools provision`, `monitor`, or any client of Improv Wi-Fi. Ctrl-C sent there ends the speaker.
  python -m tools sim --serial-pty --blank          set it up, then it starts

--report FILE.html leaves a page to open in any browser, also when the run fails or is ended by Ctrl-C: states, button,
both sounds, the ring with its underruns, what was said and the latencies of every turn, on one time line.

examples:
  python -m tools sim --mic question.wav --report run.html     ask with the space bar, then look at run.html
  python -m tools sim --script talk.txt --interpreter micropython --report run.html

script commands:
"""


def run_cli(arguments):
    """Exit code 0 when the speaker ended in order and reported no error of its settings, 1 otherwise, 2 wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        return asyncio.run(_run(options, arguments))
    except (world_script.ScriptError, wav.WavError) as error:
        raise ToolError(str(error)) from None


def _parser():
    usage = "\n".join("  " + world_script.USAGE[verb] for verb in world_script.USAGE)
    parser = argparse.ArgumentParser(
        description="Run the speaker's own firmware on this computer, among stand-ins for the hardware.",
        epilog=_EPILOG + usage,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument_group("cloud").add_argument
    add("--cloud", default="emulated", metavar="emulated|URL", help="ws:// or wss:// address of a Coze cloud")
    add("--scenario", metavar="NAME|FILE", help="what the emulated cloud answers (default: default)")
    add("--bot-id", metavar="DIGITS", help="the agent, for a real cloud")
    add("--token-env", metavar="NAME", help="environment variable that holds the access token")
    add("--token-file", metavar="FILE", help="file that holds the access token")
    add("--roots", metavar="FOLDER", help="*.der roots to trust instead of the public ones, for a wss:// URL")
    add = parser.add_argument_group("speaker").add_argument
    add("--config", metavar="FILE", help="config.json to start from; the options here win")
    add("--mode", choices=("ptt_hold", "ptt_toggle", "free"))
    add("--codec", choices=("pcm", "g711a", "g711u"), help="of the question, and of the answer unless given")
    add("--downlink-codec", choices=("pcm", "g711a", "g711u"), help="of the answer")
    add = parser.add_argument_group("sound and user").add_argument
    add("--mic", default="silence", metavar="FILE.wav|silence", help="said at every press; any plain WAV file")
    add("--speaker", default="none", metavar="FILE.wav|none", help="where to write what was played")
    add("--mic-record", metavar="FILE.wav", help="where to write what was to be heard at the microphone")
    add("--noise", type=int, default=0, metavar="PEAK", help="noise at the microphone between clips, 0..2000")
    add("--script", metavar="FILE", help="commands instead of the keyboard; see below")
    add = parser.add_argument_group("chip").add_argument
    add("--interpreter", choices=runner.INTERPRETERS, default="cpython")
    add("--heapsize", metavar="SIZE", help="heap of MicroPython, for example 384k")
    add("--epoch", type=int, choices=(1970, 2000), default=2000, help="where the chip's clock begins (default: 2000)")
    add("--never-ready", action="store_true", help="I2S never says that it is ready (octal PSRAM, micropython#16029)")
    add("--serial-pty", action="store_true", help="give the speaker a serial port: the path to open is printed")
    add("--blank", action="store_true", help="a board as it was flashed, to be set up over --serial-pty")
    add("--report", metavar="FILE.html", help="draw the run as one page: what happened when, and every latency")
    add("--trace", metavar="FILE", help="write every trace event")
    add("--keep", metavar="FOLDER", help="keep config.json (without secrets) and run.json there")
    add("--json", action="store_true", help="print the speaker's reports as they are, one JSON object a line")
    add("--timeout", type=float, default=0, metavar="S", help="stop after so many seconds; 0: never")
    return parser


async def _run(options, arguments):
    if options.blank and not options.serial_pty:
        raise ToolError("a blank board is set up over its serial port: add --serial-pty")
    config = _config(options)
    text = _script(options.script)
    runner.check_writable(options.report)
    async with contextlib.AsyncExitStack() as stack:
        cloud, roots = await _cloud(options, config, stack)
        show = screen.make(options.json, is_micropython=options.interpreter != "cpython")
        keyboard = runner.Keyboard()
        if text is None:
            stack.enter_context(keys.listen(keyboard, show.note))
        _on_signal(lambda: keyboard.send("quit"))
        show.start(options.cloud, options.interpreter, is_script=text is not None)
        result = await runner.run(
            config,
            cloud=cloud,
            roots=roots,
            interpreter=options.interpreter,
            script=text,
            script_name=options.script or "",
            clips_dir=os.path.dirname(options.script) or "." if options.script else ".",
            mic=options.mic,
            speaker=None if options.speaker == "none" else options.speaker,
            mic_record=options.mic_record,
            keyboard=keyboard,
            timeout_s=options.timeout or None,
            on_line=show.report,
            heapsize=options.heapsize,
            epoch=options.epoch,
            trace=options.trace,
            is_witnessed=bool(options.report),
            keep=options.keep,
            is_blank=options.blank,
            serial_pty=options.serial_pty,
            on_serial=(lambda port: _tell_how_to_set_up(show, port, cloud)) if options.blank and cloud else None,
            world={"noise_peak": options.noise, "is_never_ready": options.never_ready},
        )
    show.end(result)
    if options.report:
        _write_report(options, arguments, result)
        show.note("%s shows this run: open it in a browser" % options.report)
    return EXIT_FAILED if result.exit_code else 0


def _tell_how_to_set_up(show, port, cloud):
    """A blank speaker knows no cloud; the emulated one is here."""
    words = ["provision", "--port", port, "--set", "cloud_url=" + cloud.url, "--root", cloud.ca_pem]
    show.note("set it up in another terminal; any Wi-Fi and agent, token %s:" % cloud.token)
    show.note("  python -m tools " + shlex.join(words))


def _write_report(options, arguments, result):
    from tools.timeline import live, page

    what = os.path.basename(options.script) if options.script else "a live run"
    mode = next((report["mode"] for report in result.of_kind("boot") if "mode" in report), "")
    title = "Pipit: %s on %s%s" % (what, options.interpreter, ", " + mode if mode else "")
    command = "python -m tools sim " + shlex.join(_public(word) for word in arguments)
    page.write(options.report, [live.from_run(result, title, command)])


def _public(word):
    """An argument as it may be shown: the address of a cloud without what may be a secret in it."""
    return re.sub(r"[?#].*", "", re.sub(r"//[^/]*@", "//", word)) if word.startswith(("ws:", "wss:")) else word


def _on_signal(quit_run):
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, quit_run)


# -- what the options mean


def _config(options):
    config = {}
    if options.config:
        from tools import check_config  # with the judge of the settings behind it, and seldom wanted

        config = check_config.read(options.config)
    if options.mode:
        config["mode"] = options.mode
    if options.codec:
        config["uplink_codec"] = config["downlink_codec"] = options.codec
    if options.downlink_codec:
        config["downlink_codec"] = options.downlink_codec
    if options.bot_id:
        config["bot_id"] = options.bot_id
    return config


def _script(path):
    if not path:
        return None
    with open(path, encoding="utf-8") as file:
        return file.read()


async def _cloud(options, config, stack):
    """(CloudServer or None, folder of roots or None); sets URL and token of a cloud that is not ours."""
    if options.cloud == "emulated":
        from tools.cloud.server import CloudServer

        for key in ("cloud_url", "token"):
            config.pop(key, None)
        config.setdefault("cloud", "coze")
        cloud = CloudServer(options.scenario or "default", tls=True)
        return await stack.enter_async_context(cloud), None
    if not options.cloud.startswith(("ws://", "wss://")):
        raise ToolError("--cloud is neither emulated nor a ws:// or wss:// address: %s" % options.cloud)
    if options.scenario:
        raise ToolError("--scenario is for the emulated cloud only")
    config["cloud_url"] = options.cloud
    token = _token(options)
    if token:
        config["token"] = token
    if not config.get("token"):
        raise ToolError("a cloud of your own wants a token: --token-env NAME or --token-file FILE")
    if not config.get("bot_id"):
        raise ToolError("a cloud of your own wants --bot-id: the digits behind /bot/ in the address of the agent")
    if options.cloud.startswith("ws://"):
        return None, None
    return None, options.roots or _public_roots(stack)


def _token(options):
    """Never on the command line, where every user of the machine could read it."""
    if options.token_env:
        token = os.environ.get(options.token_env)
        if not token:
            raise ToolError("the environment variable %s is empty or not there" % options.token_env)
        return token.strip()
    if options.token_file:
        from tools import check_config

        return check_config.read_token(options.token_file)
    return None


def _public_roots(stack):
    """The roots that browsers trust, one DER file each, in a folder that vanishes with the stack."""
    import certifi

    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pipit-roots-"))
    end = "-----END CERTIFICATE-----"
    with open(certifi.where(), encoding="ascii", errors="replace") as file:
        pems = file.read().split(end)[:-1]
    for number, pem in enumerate(pems):
        body = pem[pem.index("-----BEGIN CERTIFICATE-----") :] + end
        with open(os.path.join(folder, "%03d.der" % number), "wb") as file:
            file.write(ssl.PEM_cert_to_DER_cert(body))
    return folder


if __name__ == "__main__":
    sys.exit(run_cli(sys.argv[1:]))
