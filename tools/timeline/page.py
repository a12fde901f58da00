"""The page that shows time lines: one HTML file with everything in it, that asks no network for anything.

    write("runs/monday.html", [line, ...], {"title": "A bad day", "text": "...", "figures": {"turns": "812"}})

All text may come from a cloud or a stranger: it is escaped here, the page's scripts put it down as text only, and a
content security policy lets no script run but ours. Long runs are thinned out to keep the file small: envelopes and
ring to the extremes of wider steps, then the most frequent events; turns, underruns, faults and violations stay.
"""

import base64
import functools
import hashlib
import html
import json
import os
import re

_HERE = os.path.dirname(os.path.abspath(__file__))
_LEVELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_TOP = len(_LEVELS) - 1
_PEAK_MAX = 32767
_ENVELOPE_CHARS = 700_000  # of a page, for all its envelopes
_RING_CHARS = 240_000
_EVENT_CHARS = 300_000
_RING_STEP_MS = 50
_MAX_TEXT = 500  # characters of one text
_OPEN_RUNS = 3  # so many are shown unfolded


def write(path, timelines, summary=None):
    """Draw the time lines into one HTML file. OSError when it cannot be written; half a file is never left.

    timelines  list of model.Timeline
    summary    {"title": heading, "text": a sentence, "figures": {name: text}}, all optional; None for none
    """
    text = page(timelines, summary or {})
    part = "%s.%d.part" % (path, os.getpid())
    try:
        with open(part, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        os.replace(part, path)
    except OSError:
        _remove(part)
        raise


def page(timelines, summary):
    """The whole HTML text."""
    style, script = _asset("page.css"), _asset("charts.js") + _asset("page.js")
    title = summary.get("title") or (timelines[0].title if timelines else "No run")
    data = [pack(line, max(1, len(timelines))) for line in timelines]
    parts = [
        "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>",
        '<meta http-equiv="Content-Security-Policy" content="%s">' % _policy(style, script),
        '<meta name=viewport content="width=device-width, initial-scale=1">',
        '<meta name=color-scheme content="light dark">',
        "<title>%s</title>\n<style>%s</style>\n</head>\n<body>" % (_esc(title), style),
        _head(title, summary, timelines),
        _violations(timelines),
        _runs_table(timelines) if len(timelines) > 1 else "",
        "".join(_run(number, line, len(timelines)) for number, line in enumerate(timelines)),
        _LEGEND,
        "<noscript><p>The charts are drawn by the script in this file; the rest can be read without.</p></noscript>",
        '<script type="application/json" id=data>%s</script>' % _json(data),
        "<script>%s</script>\n</body>\n</html>\n" % script,
    ]
    return "\n".join(parts)


def _asset(name):
    with open(os.path.join(_HERE, name), encoding="utf-8") as file:
        return file.read()


def _policy(style, script):
    """Nothing is loaded from anywhere, and only the script and the style of this very file count."""

    def digest(text):
        return "'sha256-%s'" % base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    return "default-src 'none'; script-src %s; style-src %s; base-uri 'none'; form-action 'none'" % (
        digest(script), digest(style),
    )  # fmt: skip


def _remove(path):
    try:
        os.remove(path)
    except OSError:
        pass


# -- text


def _esc(value):
    return html.escape(_clean(value))


def _clean(value):
    """As one line of readable text: no control characters, no direction overrides, not endless."""
    text = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+", " ", str(value)).strip()
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"


def _json(value):
    """JSON that may stand inside <script>: no character of it can end the element or begin a comment."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def clock(ms):
    """3.250 s, 2:05.5, 1:02:05: as the time axis writes it."""
    sign, ms = ("-", -ms) if ms < 0 else ("", ms)
    seconds = ms / 1000
    if seconds < 60:
        return "%s%.3f s" % (sign, seconds)
    whole = int(seconds)
    if seconds < 3600:
        return "%s%d:%04.1f" % (sign, whole // 60, int(ms % 60_000 / 100) / 10)
    return "%s%d:%02d:%02d" % (sign, whole // 3600, whole // 60 % 60, whole % 60)


def _length(ms):
    if ms < 60_000:
        return "%.1f s" % (ms / 1000)
    return "%.1f min" % (ms / 60_000) if ms < 3_600_000 else "%.1f h" % (ms / 3_600_000)


# -- the parts that are plain HTML


def _head(title, summary, timelines):
    text = summary.get("text", "")
    return "<header><h1>%s</h1>%s%s%s</header>" % (
        _esc(title),
        "<p class=lead>%s</p>" % _esc(text) if text else "",
        "<p class=chips>%s</p>" % _chips(timelines[0]) if len(timelines) == 1 else "",
        _figures(summary.get("figures") or {}),
    )


def _chips(line):
    count = len(line.turns)
    chips = [_length(line.end_ms - line.start_ms), "%d turn%s" % (count, "" if count == 1 else "s")]
    if line.plan:
        chips.append("plan " + line.plan)
    if line.seed is not None:
        chips.append("seed %s" % line.seed)
    text = " ".join("<span class=chip>%s</span>" % _esc(chip) for chip in chips)
    if line.violations:
        text += " <span class='chip bad'>%d violated</span>" % len(line.violations)
    return text


def _figures(figures):
    if not figures:
        return ""
    items = "".join("<div><dt>%s</dt><dd>%s</dd></div>" % (_esc(name), _esc(figures[name])) for name in figures)
    return "<dl class=figures>%s</dl>" % items


def _violations(timelines):
    found = [
        (number, line, item)
        for number, line in enumerate(timelines)
        for item in sorted(line.violations, key=lambda item: item[0])
    ]
    if not found:
        return ""
    items = []
    for number, line, (t_ms, invariant, text) in found:
        run = "%s, " % _esc(line.title) if len(timelines) > 1 else ""
        items.append(
            '<li><a href="%s">%s%s</a> <b>invariant %s</b> %s</li>'
            % (_link(number, t_ms), run, clock(t_ms), _esc(invariant), _esc(text))
        )
    heading = "%d violation%s" % (len(found), "" if len(found) == 1 else "s")
    return "<section class=violations role=alert><h2>%s</h2><ol>%s</ol></section>" % (heading, "".join(items))


def _link(number, t_ms):
    return "#r%d@%d" % (number, t_ms)


def _runs_table(timelines):
    """One row a run; columns that say nothing of any of them are left out."""
    is_drawn = any(line.plan or line.seed is not None for line in timelines)
    columns = [
        ("run", "", lambda number, line: "<a href=#r%d>%s</a>" % (number, _esc(line.title)), True),
        ("plan", "", lambda number, line: _esc(line.plan or "–"), is_drawn),
        ("seed", "n", lambda number, line: _esc("–" if line.seed is None else line.seed), is_drawn),
        ("length", "n", lambda number, line: _length(line.end_ms - line.start_ms), True),
        ("turns", "n", lambda number, line: len(line.turns), True),
        ("faults", "n", lambda number, line: len(line.faults), any(line.faults for line in timelines)),
        ("underruns", "n", lambda number, line: len(line.underruns), True),
        ("violations", "n", lambda number, line: len(line.violations), is_drawn),
    ]
    columns = [column for column in columns if column[3]]
    heads = "".join("<th class='%s'>%s</th>" % (kind, name) for name, kind, _, _ in columns)
    rows = []
    for number, line in enumerate(timelines):
        cells = "".join("<td class='%s'>%s</td>" % (kind, of(number, line)) for _, kind, of, _ in columns)
        rows.append("<tr class='%s'>%s</tr>" % ("bad" if line.violations else "", cells))
    return (
        "<section><h2>Runs</h2><div class=scroll><table class=runs><thead><tr>%s</tr></thead><tbody>%s</tbody></table>"
        "</div></section>"
    ) % (heads, "".join(rows))


def _run(number, line, count):
    is_open = count <= _OPEN_RUNS or line.violations or number == 0
    command = ""
    if line.command:
        command = (
            "<div class=command><code>%s</code><button type=button class=copy>copy</button></div>" % _esc(line.command)
        )
    return (
        "<details class='run%s' id=r%d%s><summary><h2>%s</h2>%s</summary>%s%s<div class=chart></div>"
        "<div class=turns></div></details>"
        % (
            " only" if count == 1 else "", number, " open" if is_open else "", _esc(line.title), _chips(line),
            command, _figures(line.figures),
        )  # fmt: skip
    )


_LEGEND = """<section class=legend><h2>How to read it</h2>
<ul>
<li><i class="sw fault"></i>a fault is on<li><i class="sw violation"></i>a promise was broken
<li><i class="sw mic"></i>microphone<li><i class="sw speaker"></i>loudspeaker
<li><i class="sw ring"></i>sound waiting to be played<li><i class="sw underrun"></i>silence inside an answer
<li><i class="sw ask"></i>question<li><i class="sw send"></i>its rest is sent<li><i class="sw wait"></i>waiting for the
cloud<li><i class="sw hold"></i>collecting the first sound<li><i class="sw answer"></i>answer is heard
</ul>
<p>Of both sounds the loudest sample of each step is drawn, its height as the square root, so that soft sound is seen.
Heard after: from the end of the question to the first sample of the answer.</p>
<p class=keys>Wheel or pinch zooms, dragging moves. With the chart in focus: <kbd>←</kbd> <kbd>→</kbd> move,
<kbd>+</kbd> <kbd>−</kbd> zoom, <kbd>0</kbd> shows all, <kbd>n</kbd> <kbd>p</kbd> next and previous turn, <kbd>u</kbd>
next underrun, <kbd>v</kbd> next violation.</p></section>"""


# -- the data of the charts


def pack(line, share=1):
    """A Timeline as the page's script wants it; share: among so many the page's size is divided."""
    start_ms, end_ms = int(line.start_ms), int(max(line.end_ms, line.start_ms + 1))
    events, left_out = _thin_events(line.events, _EVENT_CHARS // share)
    turns = sorted(line.turns, key=_began_ms)
    return {
        "start": start_ms,
        "end": end_ms,
        "states": _named(line.states),
        "button": sorted([int(t_ms), int(bool(is_down))] for t_ms, is_down in line.button),
        "events": _named(events),
        "events_left_out": left_out,
        "faults": sorted(
            [int(begin), int(end_ms if end is None else end), _clean(name), _clean(text)]
            for begin, end, name, text in line.faults
        ),
        "mic": _envelope(line.mic, _ENVELOPE_CHARS // 2 // share),
        "speaker": _envelope(line.speaker, _ENVELOPE_CHARS // 2 // share),
        "ring": _ring(line.ring, start_ms, end_ms, _RING_CHARS // share),
        "underruns": sorted([int(t_ms), int(ms)] for t_ms, ms in line.underruns),
        "turns": _table(turns),
        "violations": sorted([int(t_ms), _clean(number), _clean(text)] for t_ms, number, text in line.violations),
    }


def _began_ms(turn):
    return turn.get("began_ms", turn.get("t_ms", 0))


def _named(pairs):
    """[[t_ms, text]] -> {"names": each text once, "t": ms since the one before, "i": which name}."""
    names, t, i = {}, [], []
    last_ms = 0
    for t_ms, text in sorted(pairs, key=lambda pair: pair[0]):
        t.append(int(t_ms) - last_ms)
        last_ms = int(t_ms)
        i.append(names.setdefault(_clean(text), len(names)))
    return {"names": list(names), "t": t, "i": i}


def _thin_events(events, chars):
    """(events that fit, how many were left out): of what is said most often, every second one goes, again and again."""
    events = sorted(events, key=lambda event: event[0])
    groups = {}
    for event in events:
        groups.setdefault(_sort_of_text(event[1]), []).append(event)
    costs = {sort: _cost(group) for sort, group in groups.items()}
    while sum(costs.values()) > chars:
        largest = max(costs, key=costs.get)
        groups[largest] = groups[largest][::2] if len(groups[largest]) > 1 else []
        costs[largest] = _cost(groups[largest])
    kept = [event for group in groups.values() for event in group]
    return kept, len(events) - len(kept)


def _sort_of_text(text):
    """Texts that say the same of different numbers are of one sort, and all that was said is."""
    text = str(text)
    if text.startswith(("you:", "pipit:")):
        return text.partition(":")[0]
    return re.sub(r"\d+", "0", text)[:40]


def _cost(group):
    """About how many characters these events take on the page."""
    return 12 * len(group) + sum(min(len(text), _MAX_TEXT) + 4 for text in {str(text) for _, text in group})


def _table(turns):
    """Rows of equal keys, the keys said once."""
    keys = list(dict.fromkeys(key for turn in turns for key in turn if key != "kind"))
    rows = [[_cell(turn.get(key)) for key in keys] for turn in turns]
    return {"keys": [_clean(key) for key in keys], "rows": rows}


def _cell(value):
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return round(value) if abs(value) < 1e15 else None
    return _clean(value)


def _envelope(track, chars):
    """{"step": ms, "q": levels as text}: the loudest of each step, steps as fine as fits in so many characters."""
    step_ms = max(1, int(track.get("step_ms", 20)))
    table = _peak_levels()
    levels = [table[min(max(int(peak), 0), _PEAK_MAX)] for peak in track.get("peaks", ())]
    while True:
        text = _packed(levels)
        if len(text) <= chars:
            return {"step": step_ms, "q": text}
        levels = _halved(levels, max)
        step_ms *= 2


def _halved(levels, choose):
    """Two neighbours become one."""
    return [*map(choose, levels[::2], levels[1::2]), *levels[len(levels) & ~1 :]]


def _ring(ring, start_ms, end_ms, chars):
    """Exact points while they fit, else the lowest and highest fill of each step."""
    capacity = int(ring.get("capacity_bytes", 0))
    points = sorted([int(t_ms), int(n)] for t_ms, n in ring.get("points", ()))
    top = max([n for _, n in points], default=0)
    if len(points) * 11 <= chars:
        return {"capacity": capacity, "top": top, "points": points}
    step_ms = _RING_STEP_MS
    low, high = _spread(points, start_ms, end_ms, step_ms)
    low, high = [_ring_level(n, top) for n in low], [_ring_level(n, top) for n in high]
    while True:
        low_text, high_text = _packed(low), _packed(high)
        if len(low_text) + len(high_text) <= chars:
            return {"capacity": capacity, "top": top, "step": step_ms, "low": low_text, "high": high_text}
        low = _halved(low, min)
        high = _halved(high, max)
        step_ms *= 2


def _spread(points, start_ms, end_ms, step_ms):
    """Lowest and highest value of each step of a value that holds until its next point."""
    count = max(1, -(-(end_ms - start_ms) // step_ms))
    low, high = [], []
    value = at = 0
    for step in range(count):
        until_ms = start_ms + (step + 1) * step_ms
        least = most = value
        while at < len(points) and points[at][0] < until_ms:
            value = points[at][1]
            least, most = min(least, value), max(most, value)
            at += 1
        low.append(least)
        high.append(most)
    return low, high


@functools.cache
def _peak_levels():
    """Peak -> 0.._TOP; the square root, because soft sound is sound too. Nothing but zero becomes zero."""
    return bytes([0] + [max(1, round(_TOP * (peak / _PEAK_MAX) ** 0.5)) for peak in range(1, _PEAK_MAX + 1)])


def _ring_level(value, top):
    return -(-_TOP * value // top) if value > 0 and top else 0


def _packed(levels):
    """One character a level; a run of the same is the character, "~", its length in hexadecimal and "."."""
    text = "".join([_LEVELS[level] for level in levels])
    return re.sub(r"(.)\1{5,}", lambda run: "%s~%x." % (run.group(1), len(run.group(0))), text)
