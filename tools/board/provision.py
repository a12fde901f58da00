"""`python -m tools provision`: Wi-Fi, agent, token and every other setting of a speaker, over its USB cable."""

import argparse
import contextlib
import getpass
import glob
import json
import os
import signal
import sys
import threading
import time

from rich.console import Console as Screen
from rich.prompt import Confirm, Prompt

import json_strict
from firmware import boards, config, config_edit
from firmware.errors import ConfigError
from tools import ROOT, ToolError, check_config, printable
from tools.board import follow, ports, roots, way_in

SECRETS = ("token", "wifi_password")
QUESTIONS = (
    ("wifi_ssid", "Wi-Fi name (2.4 GHz)"),
    ("wifi_password", "Wi-Fi password"),
    ("bot_id", "agent id: the digits behind /bot/ in the address of its page"),
    ("token", "access token"),
    ("mode", "how to talk"),
    ("board", "board"),
    ("volume_percent", "volume, 0 to 150"),
)
_NO_PASSWORD = "-"  # typed for an open network; too short to be a password
_STAND_INS = dict(check_config.STAND_INS, wifi_password="0" * 8)  # in place of what is not told, or not yet
_ASK = object()  # in place of a secret that is still to be asked for
_NOTHING = object()  # Enter alone, where nothing is set that it could keep

_EPILOG = """\
Without any setting on the command line it asks for all of them; Enter keeps what is set. Secrets are asked for without
an echo, or taken from an environment variable or a file: never from the command line, which your shell remembers and
every user of this computer can read. Nothing is changed before everything has been checked; Ctrl-C leaves the old
settings as they were.

It also fetches the root certificate by which this computer verifies the cloud, and a spare, so that the speaker can
verify it too; then it restarts the speaker and follows it until it is online, or says which step failed.

examples:
  python -m tools provision                                       ask for everything
  python -m tools provision --wifi-name Nest                      a new Wi-Fi; its password is asked for
  python -m tools provision --bot-id 7400000000000000001 --token-env COZE_TOKEN
  python -m tools provision --volume 50 --set tail_ms=200
  python -m tools provision --from speaker.json --port /dev/ttyACM0
  python -m tools provision --show                                what is set, without the secrets
  python -m tools provision --renew-roots                         when the cloud has changed its certificates
"""


def run_cli(arguments):
    """Exit code 0 when what was asked for is done and, unless --no-restart, the speaker is online."""
    parser = _parser()
    options = parser.parse_args(arguments)
    screen = Screen(highlight=False, soft_wrap=True)

    def note(text):
        screen.print(printable(text), markup=False, style="dim")

    given = _given(options, parser)
    _check_together(options, given, parser)
    port = ports.choose_port(options.port)
    try:
        way = way_in.find(port, note, options.repl)
    except KeyboardInterrupt:
        screen.print("\nstopped: nothing was changed")
        raise
    restarted_s = None
    try:
        with contextlib.closing(way):
            restarted_s = _do(way, given, options, screen, note)
    finally:
        if restarted_s is None and isinstance(way, way_in.ReplWay):  # the prompt does not go away by itself
            note("no application runs now; RST on the board starts it")
    if restarted_s is None or options.reset:
        return 0
    return _follow(port, restarted_s, screen, note)


def _do(way, given, options, screen, note):
    """What was asked for. When the speaker was told to restart, None if it was not."""
    if options.show:
        _show(way, screen)
        return None
    if options.reset:
        is_done = _reset(way, options, screen, note)
    else:
        try:
            changes = {} if options.renew_roots and not given else _changes(way, given, options, screen)
            is_done = _apply(way, changes, options, screen, note)
        except KeyboardInterrupt:
            screen.print("\nstopped: nothing was changed")
            raise
    if not is_done:
        return None
    if options.no_restart:
        screen.print("it holds from the next start of the speaker on")
        return None
    restarted_s = time.monotonic()
    way.restart()
    return restarted_s


def _parser():
    parser = argparse.ArgumentParser(
        description="Give a speaker its Wi-Fi, agent, token and other settings over USB, whether it runs or not.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # --wifi-pass would be taken for the name of a variable, and shown
    )
    add = parser.add_argument_group("settings").add_argument
    add("--wifi-name", metavar="NAME", help="Wi-Fi network (2.4 GHz); its password is asked for")
    add("--wifi-password-env", metavar="NAME", help="environment variable that holds the Wi-Fi password")
    add("--wifi-open", action="store_true", help="the network has no password")
    add("--bot-id", metavar="DIGITS", help="the agent: the digits behind /bot/ in the address of its page")
    add("--token-env", metavar="NAME", help="environment variable that holds the access token")
    add("--token-file", metavar="FILE", help="file that holds the access token")
    add("--token", help=argparse.SUPPRESS)  # to be refused in words, and not repeated by argparse as unknown
    add("--wifi-password", help=argparse.SUPPRESS)
    add("--mode", choices=("ptt_hold", "ptt_toggle", "free"), help="hold and speak; click, speak, click; free talk")
    add("--board", metavar="NAME", help="one of: %s" % ", ".join(board_names()))
    add("--volume", type=int, metavar="PERCENT", help="0 to 150")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="any other setting; `config keys` lists them")
    add("--from", dest="file", metavar="FILE.json", help="settings from a file like config.example.json, secrets too")
    add = parser.add_argument_group("certificates").add_argument
    add("--renew-roots", action="store_true", help="fetch the roots of the cloud again; settings stay as they are")
    add("--root", metavar="FILE", help="PEM or DER root of a cloud with an authority of its own")
    add("--no-roots", action="store_true", help="leave the speaker's roots as they are")
    add = parser.add_argument_group("what to do").add_argument
    add("--show", action="store_true", help="print the settings without the secrets")
    add("--reset", action="store_true", help="forget all settings and the roots")
    add("--yes", action="store_true", help="do not ask before --reset")
    add("--no-restart", action="store_true", help="write only; do not restart and follow the speaker")
    add = parser.add_argument_group("connection").add_argument
    add("--port", help=ports.PORT_HELP + "; that of `sim --serial-pty` too")
    add("--repl", action="store_true", help="end a running speaker and write through MicroPython's prompt")
    return parser


def _check_together(options, given, parser):
    """What one half of the command line would silently undo of the other is a usage error."""
    if options.show and options.reset:
        parser.error("--show and --reset contradict each other")
    if (options.show or options.reset) and (given or options.renew_roots or options.root):
        parser.error("--show and --reset stand alone: settings and roots would not be written")
    if options.no_roots and (options.renew_roots or options.root):
        parser.error("--no-roots contradicts --renew-roots and --root")


def board_names():
    """Names of the boards that exist as hardware, the default first."""
    names = [os.path.basename(path)[:-3] for path in glob.glob(os.path.join(ROOT, "boards", "*.py"))]
    names = sorted(name for name in names if name not in ("__init__", "sim"))
    return sorted(names, key=lambda name: name != "bread_compact_wifi")


# -- settings from the command line


def _given(options, parser):
    """{key: value} of what the command line says; a secret that is still to be asked for is _ASK."""
    if options.token is not None:
        parser.error(_HISTORY % _SECRET_CURES["token"])
    if options.wifi_password is not None:
        parser.error(_HISTORY % _SECRET_CURES["wifi_password"])
    kinds = {row[0]: row[1] for row in config.describe()}
    values = check_config.read(options.file) if options.file else {}
    for key in values:
        check_config.check_name(key)
    for text in options.set:
        key, mark, value = text.partition("=")
        if not mark:
            parser.error("--set wants KEY=VALUE, not %s" % text)
        if key in SECRETS:
            parser.error(_HISTORY % _SECRET_CURES[key])
        check_config.check_name(key)
        values[key] = _value(key, kinds[key], value)
    for key, value in (
        ("wifi_ssid", options.wifi_name),
        ("bot_id", options.bot_id),
        ("mode", options.mode),
        ("board", options.board),
        ("volume_percent", options.volume),
    ):
        if value is not None:
            values[key] = value
    values.update(_given_secrets(options, parser, values))
    return values


_HISTORY = "a secret on the command line stays in your shell's history; %s"
_SECRET_CURES = {
    "token": "use --token-env or --token-file, or be asked for it",
    "wifi_password": "use --wifi-password-env, or --wifi-name alone and be asked for it",
}


def _given_secrets(options, parser, values):
    found = {}
    if options.wifi_open and options.wifi_password_env:
        parser.error("--wifi-open and --wifi-password-env contradict each other")
    if options.wifi_open:
        found["wifi_password"] = ""
    elif options.wifi_password_env:
        found["wifi_password"] = _environment(options.wifi_password_env)
    elif options.wifi_name is not None and "wifi_password" not in values:
        found["wifi_password"] = _ASK  # the old one belongs to another network
    if options.token_env and options.token_file:
        parser.error("--token-env and --token-file: give one of them")
    if options.token_env:
        found["token"] = _environment(options.token_env).strip()
    elif options.token_file:
        found["token"] = check_config.read_token(options.token_file)
    return found


def _environment(name):
    value = os.environ.get(name)
    if not value:
        raise ToolError("the environment variable %s is empty or not there" % name)
    return value


def _value(key, kind, text):
    """What KEY=VALUE means: words as they are, everything else as JSON. The validator judges it later."""
    if kind in ("choice", "text"):
        return text
    try:
        return json_strict.loads(text.encode())
    except ValueError:
        text = '--set %s: %s is not what JSON calls a value, such as 120, true or ["a"]' % (key, text)
        raise ToolError(text) from None


# -- settings from a person


def _changes(way, given, options, screen):
    """{key: value} of what is to be written, judged by the speaker's own validator."""
    present, hidden = way.read()
    is_asked = not given
    try:
        if is_asked:
            if not sys.stdin.isatty():
                raise ToolError("nothing to set; give settings on the command line, or run this in a terminal")
            screen.print("Settings of %s at %s. Enter keeps what is in brackets." % (way.text, way.port), markup=False)
            given = _ask_all(present, hidden, screen)
        else:
            given = _ask_missing(given, present, hidden, screen)
    except EOFError:
        screen.print()
        raise ToolError("the input ended: nothing was changed") from None
    changes = {
        key: value for key, value in given.items() if key in hidden or key not in present or present[key] != value
    }
    _judge(changes, present, hidden, screen)
    return changes


def _ask_all(present, hidden, screen):
    answers = {}
    for key, text in QUESTIONS:
        value = _ask(key, text, dict(present, **answers), hidden, screen)
        if value is not None:
            answers[key] = value
    return answers


def _ask_missing(given, present, hidden, screen):
    """A secret that belongs to what was given, and what no speaker can do without."""
    texts = dict(QUESTIONS)
    needed = [key for key, value in given.items() if value is _ASK]
    for key in ("bot_id", "token"):
        if key not in given and not present.get(key) and key not in hidden:
            needed.append(key)
    if sys.stdin.isatty() and not (given.get("wifi_ssid") or present.get("wifi_ssid")):
        needed[:0] = ["wifi_ssid", "wifi_password"]  # without a terminal: it may come by Improv
    given = {key: value for key, value in given.items() if value is not _ASK}
    if needed and not sys.stdin.isatty():
        cure = _SECRET_CURES.get(needed[0], "give it with --bot-id")
        raise ToolError("%s is missing, and there is no terminal to ask at: %s" % (needed[0], cure))
    for key in needed:
        value = _ask(key, texts[key], dict(present, **given), hidden - {key}, screen, is_needed=True)
        if value is not None:
            given[key] = value
    return given


def _ask(key, text, values, hidden, screen, is_needed=False):
    """The answer, checked; None to keep what is set."""
    default = values.get(key, _default_of(key))
    while True:
        if key in SECRETS:
            value = _ask_secret(key, text, key in hidden or (bool(values.get(key)) and not is_needed))
        else:
            value = _ask_plain(key, text, default, screen)
        if value is None:
            return None
        trouble = _trouble(key, value, values, hidden)
        if key == "wifi_password":
            trouble = trouble.replace('""', _NO_PASSWORD)  # what is typed here for it
        if not trouble:
            return value
        screen.print("  " + trouble, markup=False, style="yellow")


def _ask_secret(key, text, is_set):
    hint = []
    if key == "wifi_password":
        hint.append("%s for an open network" % _NO_PASSWORD)
    if is_set:
        hint.append("Enter keeps it")
    value = getpass.getpass("%s%s: " % (text, " (%s)" % ", ".join(hint) if hint else ""))
    if not value:
        return None if is_set else _NOTHING
    return "" if key == "wifi_password" and value == _NO_PASSWORD else value


def _ask_plain(key, text, default, screen):
    choices = None
    if key == "mode":
        choices = ["ptt_hold", "ptt_toggle", "free"]
    elif key == "board":
        choices = board_names()
    shown = str(default) if default not in (None, "") else None
    if choices and shown not in choices:
        choices.append(shown)
    answer = Prompt.ask(text, console=screen, choices=choices, default=shown)
    if answer is None:
        return ""
    if key == "volume_percent":
        try:
            return int(answer)
        except ValueError:
            return answer  # the validator says what is allowed
    return answer.strip() if key == "bot_id" else answer


def _default_of(key):
    return next(row[2] for row in config.describe() if row[0] == key)


# -- judging


def _whole(values, hidden):
    """The settings as the validator wants them, with something in place of the secrets that the speaker keeps."""
    whole = dict(values)
    for key in hidden:
        if key not in whole:
            whole[key] = _STAND_INS.get(key, _STAND_INS["token"])
    return whole


def _trouble(key, value, values, hidden):
    """What the speaker's validator says of this one value, "" when nothing."""
    if key == "wifi_ssid" and not value:
        return "a speaker without Wi-Fi cannot reach its cloud: type the name"
    if value is _NOTHING:
        return "nothing was typed (it is not shown while you type): type it, then Enter"
    whole = dict(_STAND_INS, **_whole(values, hidden))
    whole = {name: each or _STAND_INS.get(name, each) for name, each in whole.items()}
    whole[key] = value
    try:
        settings = config.parse(json.dumps(whole))
        if key == "board":
            boards.load(settings.board)
    except ConfigError as error:
        return error.text if error.key == key else ""
    return ""


def _judge(changes, present, hidden, screen):
    """ToolError with the validator's words when the speaker would not start with this. Tidies what people paste."""
    if not changes:
        return
    whole = _whole(dict(present, **changes), hidden)
    text = json.dumps(whole, ensure_ascii=False)
    if len(text.encode()) > check_config.FILE_MAX_BYTES:
        text = "these settings are longer than the %d bytes that a speaker reads"
        raise ToolError(text % check_config.FILE_MAX_BYTES)
    try:
        settings = config.parse(text)
        board = boards.load(settings.board)
    except ConfigError as error:
        raise ToolError("%s; nothing was changed" % error.text) from None
    if "token" in changes:
        changes["token"] = settings.token
    for warning in settings.warnings + boards.remarks(board, settings):
        screen.print("note: " + warning, markup=False)


# -- writing


def _apply(way, changes, options, screen, note):
    """Fetch the roots, which can fail far from the speaker; then write it all. False when nothing was to be done."""
    found = []
    if options.renew_roots or options.root or any(key in changes for key in ("bot_id", "token", "cloud_url")):
        found = _find_roots(way, changes, options, note)
    if not changes and not found:
        screen.print("nothing to change")
        return False
    with _uninterrupted(note):
        if changes:
            way.check(changes)  # before the roots: those of another cloud would lock out the present one
        for root in found:
            way.put_root(root)
        if found:
            for name in set(roots.NAMES) - {root.name for root in found}:
                way.remove_root(name)  # of an earlier cloud
        if changes:
            way.write(changes)  # last: a speaker that has waited for its settings starts at once
    if changes:
        screen.print("written: " + ", ".join(sorted(changes)), markup=False)
    for root in found:
        screen.print("stored %s: %s" % (root.path, root.text), markup=False)
    return True


def _find_roots(way, changes, options, note):
    present, hidden = way.read()
    whole = dict(_STAND_INS, **_whole(dict(present, **changes), hidden))
    try:
        settings = config.parse(json.dumps(whole))
    except ConfigError as error:
        raise ToolError("%s; provision the speaker first" % error.text) from None
    address = roots.host_of(settings.cloud_url)
    if options.no_roots:
        return []
    if address is None:
        note("%s needs no certificate" % settings.cloud_url.partition("?")[0])
        return []
    if settings.tls_roots != roots.FOLDER:
        note("tls_roots is set to %s: what is in there is yours to keep up to date" % settings.tls_roots)
        return []
    note("fetching the root certificates of %s ..." % address[0])
    try:
        return roots.find(address[0], address[1], options.root)
    except ToolError as error:
        text = "%s\n  Nothing was changed. --no-roots leaves the speaker's roots as they are."
        raise ToolError(text % error) from None


@contextlib.contextmanager
def _uninterrupted(note):
    """Ctrl-C waits until the block is over: half of the roots beside the new settings would be worse than either."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = []

    def wait(*_):
        asked.append(True)
        note("being written, a moment ...")

    before = signal.signal(signal.SIGINT, wait)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        note("it is written whole; the speaker was not restarted")
        raise SystemExit(130)


def _show(way, screen):
    values, hidden = way.read()
    if not values and not hidden:
        screen.print("nothing is set; `python -m tools provision` asks for everything")
        return
    try:
        shown = config.parse(json.dumps(_whole(values, hidden))).redacted()
        trouble = ""
    except ConfigError as error:
        trouble = error.text
        shown = config_edit.shown_of(values)
    screen.print_json(json.dumps(shown, ensure_ascii=False))
    if trouble:
        raise ToolError("the speaker cannot start with this: " + trouble)


def _reset(way, options, screen, note):
    """False when it was not meant."""
    if not options.yes:
        if not sys.stdin.isatty():
            raise ToolError("--reset forgets Wi-Fi, agent and token; without a terminal to ask at it wants --yes")
        question = "Forget all settings and roots of the speaker at %s?" % way.port
        try:
            is_meant = Confirm.ask(question, console=screen, default=False)
        except KeyboardInterrupt:
            screen.print("\nstopped: nothing was changed")
            raise
        except EOFError:
            is_meant = False
            screen.print()
        if not is_meant:
            screen.print("nothing was changed")
            return False
    with _uninterrupted(note):
        way.clear()
        for name in roots.NAMES:
            way.remove_root(name)
    screen.print("all settings are forgotten")
    return True


def _follow(port, restarted_s, screen, note):
    note("restarting; Ctrl-C stops watching, the settings are written")
    try:
        status = follow.until_online(port, note, restarted_s=restarted_s)
    except KeyboardInterrupt:
        screen.print("\nstopped watching; the settings are written")
        raise
    wifi = status.get("wifi") or {}
    places = (wifi.get("ssid", "?"), wifi.get("address", "?"), wifi.get("rssi_dbm", "?"))
    screen.print(printable("online: Wi-Fi %s, %s, %s dBm. Press the button and talk." % places), markup=False)
    return 0
