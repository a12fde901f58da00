"""selftest over a REPL: what the board asks is answered on the serial line, and Ctrl-C leaves what is known."""

import io
import os

import pytest
from repl_stand_in import StandIn
from rich.console import Console

from tools import ROOT, ToolError
from tools.board import selftest
from tools.board.repl import Repl

# A runner of three checks in place of the real one, whose parts the stand-in has not; what it says and how it asks is
# the firmware's own.
RUNNER = """
import json, time
from firmware import report
def main(path, only, ask):
    results = []
    try:
        for name in only or ('led', 'beep', 'wait'):
            report.say('testing', 1, name=name)
            if name == 'wait':
                while True:
                    time.sleep(1)
            seen = ask(name, 'Is it so?') if ask else None
            verdict = {True: 'PASS', False: 'FAIL', None: 'SKIP'}[seen]
            results.append({'name': name, 'verdict': verdict, 'text': '', 'took_ms': 1, 'figures': {'asked': 1}})
            report.say('check', 2, **results[-1])
    except KeyboardInterrupt:
        pass
    counts = [sum(1 for r in results if r['verdict'] == verdict) for verdict in ('PASS', 'FAIL', 'SKIP')]
    report.say('selftest', 3, product='pipit', board='fake', system='x', results=results, passed=counts[0],
               failed=counts[1], skipped=counts[2], is_whole=len(results) == len(only or 'abc'))
"""
OURS = ("__init__", "compat", "errors", "report", "selftest/__init__", "selftest/questions")


@pytest.fixture
def board(tmp_path):
    with StandIn(tmp_path / "flash", has_input=True) as stand_in:
        with Repl(stand_in.port) as repl:
            repl.mkdir("/slots/a/firmware/selftest")
            repl.write_file("/slots/state.json", b'{"good": "a", "trial": null, "starts": 0}')
            repl.write_file("/slots/a/firmware/selftest/runner.py", RUNNER.encode())
            for name in OURS:
                with open(os.path.join(ROOT, "firmware", name + ".py"), "rb") as file:
                    repl.write_file("/slots/a/firmware/%s.py" % name, file.read())
        yield stand_in


class Person(selftest.Screen):
    """Answers with `keys`, in order."""

    def __init__(self, keys=b""):
        super().__init__(Console(file=io.StringIO(), width=120))
        self.keys = list(keys)
        self.asked = []

    def ask(self, report):
        self.asked.append(report["name"])
        return bytes((self.keys.pop(0),)) + b"\r\n"

    def said(self):
        return self.console.file.getvalue()


def verdicts(report):
    return {result["name"]: result["verdict"] for result in report["results"]}


def test_a_question_is_answered_over_the_serial_line(board):
    person = Person(b"yn")
    report = selftest.test_board(board.port, ("led", "beep"), False, person)
    assert person.asked == ["led", "beep"]
    assert verdicts(report) == {"led": "PASS", "beep": "FAIL"} and report["is_whole"]
    assert "PASS led" in person.said() and "FAIL beep" in person.said()


def test_a_question_that_the_end_of_the_input_answers_is_skipped(monkeypatch):
    def ended(*_):
        raise EOFError

    monkeypatch.setattr(selftest.sys, "stdin", type("Terminal", (), {"isatty": lambda self: True})())
    screen = selftest.Screen(Console(file=io.StringIO(), width=120))
    monkeypatch.setattr(screen.console, "input", ended)
    assert screen.ask({"name": "led", "text": "Is it so?"}) == b"?\r", "neither yes nor no"


@pytest.mark.parametrize("state", [b"[1]", b'{"good": 5}', b"{"])
def test_a_state_that_makes_no_sense_stops_no_test(board, state):
    with Repl(board.port) as repl:
        repl.write_file("/slots/state.json", state)
    with pytest.raises(ToolError, match="python -m tools deploy"):
        selftest.test_board(board.port, ("led",), True, Person())


def test_alone_nothing_is_asked(board):
    person = Person()
    assert verdicts(selftest.test_board(board.port, ("led", "beep"), True, person)) == {"led": "SKIP", "beep": "SKIP"}
    assert person.asked == []


def test_ctrl_c_ends_the_test_and_keeps_what_is_known(board):
    class Impatient(Person):
        def show(self, report):
            super().show(report)
            if report.get("name") == "wait":
                raise KeyboardInterrupt

    person = Impatient(b"yn")
    report = selftest.test_board(board.port, None, False, person)
    assert verdicts(report) == {"led": "PASS", "beep": "FAIL"} and not report["is_whole"]
    assert "ending the test" in person.said()


def test_a_board_without_the_application_says_so(tmp_path):
    with StandIn(tmp_path / "flash") as stand_in, pytest.raises(ToolError, match="python -m tools deploy"):
        selftest.test_board(stand_in.port, ("pins",), True, Person())
