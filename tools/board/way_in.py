"""The two ways to a speaker's settings, with one face: its console while it runs, MicroPython's REPL while it does not.

    read()           (values, hidden): what is set, and the names of secrets that are set but not told
    check(changes)   ToolError when the speaker's own judge, where it runs, would refuse them
    write(changes)   all of them or none; the same judge has the last word
    clear()          forget every setting
    put_root(root), remove_root(name)
    restart()        and close
"""

import json

import json_strict
from tools import ToolError
from tools.board.console import Console, NoConsole, Refused
from tools.board.follow import UNPROVISIONED

CONFIG_PATH = "/config.json"
ROOTS_FOLDER = "/tls_roots"
HIDDEN = "(set, not shown)"  # what the speaker shows in place of a secret
_URL_HIDDEN = "?(not shown)"


def find(port, note, is_repl_wanted=False):
    """The way that works at this port. note(text) is told what is tried. ToolError when neither does."""
    if not is_repl_wanted:
        note("looking for a running speaker at %s ..." % port)
        try:
            return ConsoleWay(Console(port))
        except NoConsole:
            note("none answers; asking for MicroPython's prompt ...")
    from tools.board.repl import Repl

    return ReplWay(Repl(port).__enter__())


class ConsoleWay:
    text = "the running speaker"

    def __init__(self, console):
        self._console = console
        self.port = console.port
        # Without whole settings it waits for them, and starts by itself when they have come.
        self._is_blank = console.ask({"do": "status"}).get("state") == UNPROVISIONED

    def read(self):
        try:
            shown = self._console.ask({"do": "config"})["config"]
        except Refused:
            return {}, set()  # it cannot read those it has
        hidden = {key for key, value in shown.items() if value == HIDDEN}
        values = {key: value for key, value in shown.items() if key not in hidden}
        if isinstance(values.get("cloud_url"), str) and values["cloud_url"].endswith(_URL_HIDDEN):
            values["cloud_url"] = values["cloud_url"][: -len(_URL_HIDDEN)]
        return values, hidden

    def check(self, changes):
        self._set(changes, is_dry=True)

    def write(self, changes):
        self._set(changes, is_dry=False)

    def _set(self, changes, is_dry):
        try:
            self._console.ask({"do": "set", "values": changes, "dry": is_dry})
        except Refused as refusal:
            raise ToolError("the speaker refuses: %s" % refusal) from None

    def clear(self):
        self._console.ask({"do": "reset", "all": True})

    def put_root(self, root):
        self._console.put(root.path, root.der)

    def remove_root(self, name):
        try:
            self._console.remove("tls_roots/" + name)
        except Refused:
            pass  # there is none of that name

    def restart(self):
        if not self._is_blank:
            self._console.ask({"do": "restart"})
        self.close()

    def close(self):
        self._console.close()


class ReplWay:
    text = "MicroPython (no speaker runs)"

    def __init__(self, repl):
        self._repl = repl
        self.port = repl.port

    def read(self):
        if not self._repl.exists(CONFIG_PATH):
            return {}, set()
        try:
            found = json_strict.loads(self._repl.read_file(CONFIG_PATH))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ToolError("the config.json on the board is no JSON object; --reset clears it, then provision anew")
        return found, set()

    def check(self, changes):
        """Nobody is there to judge."""

    def write(self, changes):
        values, _ = self.read()
        values.update(changes)
        self._repl.write_file(CONFIG_PATH, json.dumps(values, ensure_ascii=False).encode())

    def clear(self):
        for path in (CONFIG_PATH, CONFIG_PATH + ".new"):  # .new: with secrets, of a write that the power cut off
            self._repl.remove(path)

    def put_root(self, root):
        if not self._repl.exists(ROOTS_FOLDER):
            self._repl.mkdir(ROOTS_FOLDER)
        self._repl.write_file(ROOTS_FOLDER + "/" + root.name, root.der)

    def remove_root(self, name):
        self._repl.remove(ROOTS_FOLDER + "/" + name)

    def restart(self):
        self._repl.reset()

    def close(self):
        self._repl.__exit__(None, None, None)
