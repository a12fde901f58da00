"use strict";
// Draws the charts of the time lines that page.py put into the page. charts.js stands before this in the same script.

const STATES = [
  "standby", "offline", "connecting", "calling", "calling_tail", "waiting", "idle", "listening", "tail", "thinking",
  "speaking", "finishing",
];
const OTHER_STATES = 6;
const EVENT_KINDS = ["you", "pipit", "error", "warning", "cloud", "link"];
const FIRST_ROWS = 200;
const MANY_EVENTS = 250;
const FAR_MS_PER_PX = 100;
const CHART_FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif'; // as in page.css
const CHAR_PX = 6.1; // of it, where it cannot be measured
const BOLD = 1.1; // what is said is written in bold

function stateClass(name) {
  if (STATES.includes(name)) return "st-" + name;
  let sum = 0;
  for (const c of name) sum = (sum * 31 + c.charCodeAt(0)) % 997;
  return "st-x" + (sum % OTHER_STATES);
}

function eventKind(text) {
  const kind = text.slice(0, Math.max(0, text.indexOf(":")));
  return EVENT_KINDS.includes(kind) ? kind : "";
}

/** Boxes of one look become one path: a view of hours has thousands of boxes. */
class Boxes {
  constructor() {
    this.paths = new Map();
  }

  add(x, y, width, height, kind) {
    const box = `M${x.toFixed(1)} ${y}h${width.toFixed(1)}v${height}h${(-width).toFixed(1)}z`;
    if (this.paths.has(kind)) this.paths.get(kind).push(box);
    else this.paths.set(kind, [box]);
  }

  html() {
    return [...this.paths].map(([kind, boxes]) => `<path class="${kind}" d="${boxes.join("")}"/>`).join("");
  }
}

/** A text that begins with the name is not told it twice. */
function faultText(name, note) {
  return !note ? name : note.startsWith(name) ? note : `${name}: ${note}`;
}

function rect(x, y, width, height, kind) {
  const wide = Math.max(0, width).toFixed(1);
  return `<rect x="${x.toFixed(1)}" y="${y}" width="${wide}" height="${height}" class="${kind}"/>`;
}

function text(x, y, content, kind, anchor) {
  const end = anchor ? ` text-anchor="${anchor}"` : "";
  return `<text x="${x.toFixed(1)}" y="${y}" class="${kind}"${end}>${escapeText(content)}</text>`;
}

let ruler;

/** Pixels that a text of the charts takes. */
function textWidth(content) {
  if (ruler === undefined) {
    const canvas = document.createElement("canvas");
    ruler = (canvas.getContext && canvas.getContext("2d")) || null;
    if (ruler) ruler.font = CHART_FONT;
  }
  return ruler ? ruler.measureText(content).width : content.length * CHAR_PX;
}

/** The text, or as much of it as fits with an ellipsis, or nothing. */
function cut(content, px) {
  if (textWidth(content) <= px) return content;
  let least = 0;
  let most = content.length;
  while (least < most) {
    const middle = (least + most + 1) >> 1;
    if (textWidth(content.slice(0, middle) + "…") <= px) least = middle;
    else most = middle - 1;
  }
  return least < 2 ? "" : content.slice(0, least) + "…";
}

function element(name, kind, content) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  if (content !== undefined) made.textContent = content;
  return made;
}

class Chart {
  constructor(box, data) {
    this.box = box;
    this.data = data;
    this.start = data.start;
    this.end = data.end;
    this.view = [data.start, data.end];
    this.states = unfold(data.states);
    this.events = unfold(data.events);
    this.mic = decode(data.mic.q);
    this.speaker = decode(data.speaker.q);
    this.ring = readRing(data);
    this.turns = data.turns.rows.map((row) => Object.fromEntries(row.map((cell, i) => [data.turns.keys[i], cell])));
    this.faultRows = stack(data.faults, 6);
    this.cursor = null;
    this.isWaiting = false;
    this.pointers = new Map();
    this.build();
  }

  build() {
    this.bar = element("div", "bar");
    for (const [label, title, action] of [
      ["−", "zoom out (-)", () => this.zoom(2)],
      ["+", "zoom in (+)", () => this.zoom(0.5)],
      ["all", "show the whole run (0)", () => this.show(this.start, this.end)],
      ["‹ turn", "previous turn (p)", () => this.step(this.turnTimes(), -1, 500), this.turns.length],
      ["turn ›", "next turn (n)", () => this.step(this.turnTimes(), 1, 500), this.turns.length],
      ["underrun ›", "next underrun (u)", () => this.next("underruns"), this.data.underruns.length],
      ["violation ›", "next violation (v)", () => this.next("violations"), this.data.violations.length],
    ].filter(([, , , count]) => count !== 0)) {
      const button = element("button", "", label);
      button.type = "button";
      button.title = title;
      button.addEventListener("click", action);
      this.bar.append(button);
    }
    this.range = element("span", "range");
    this.bar.append(this.range);
    this.frame = element("div", "frame");
    this.svg = svgElement("plot");
    this.svg.setAttribute("tabindex", "0");
    this.svg.setAttribute("role", "img");
    this.svg.setAttribute("aria-label", "time line; the keys are explained at the end of the page");
    this.body = document.createElementNS(this.svg.namespaceURI, "g");
    this.over = document.createElementNS(this.svg.namespaceURI, "g");
    this.svg.append(this.body, this.over);
    this.tip = element("div", "tip");
    this.tip.hidden = true;
    this.frame.append(this.svg, this.tip);
    this.whole = svgElement("whole");
    this.box.append(this.bar, this.frame, this.whole);
    this.listen();
    this.resize();
  }

  listen() {
    const svg = this.svg;
    svg.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    svg.addEventListener("pointerdown", (event) => this.onDown(event));
    svg.addEventListener("pointermove", (event) => this.onMove(event));
    for (const name of ["pointerup", "pointercancel"]) svg.addEventListener(name, (event) => this.onUp(event));
    // A finger that is lifted leaves the hair where it was, to be read.
    svg.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.hover(null));
    svg.addEventListener("keydown", (event) => this.onKey(event));
    svg.addEventListener("dblclick", (event) => this.zoom(0.25, this.timeAt(event)));
    const seek = (event) => {
      const x = event.clientX - this.whole.getBoundingClientRect().left - this.gutter;
      const t = this.start + (x / this.width) * (this.end - this.start);
      const half = (this.view[1] - this.view[0]) / 2;
      this.show(t - half, t + half);
    };
    this.whole.addEventListener("pointerdown", (event) => {
      this.whole.setPointerCapture(event.pointerId);
      seek(event);
    });
    this.whole.addEventListener("pointermove", (event) => event.buttons && seek(event));
  }

  // -- the view

  show(from, to) {
    this.view = clampView(from, to, this.start, this.end);
    this.later();
  }

  zoom(factor, t) {
    const fixed = t === undefined ? (this.view[0] + this.view[1]) / 2 : t;
    this.view = zoomView(this.view, fixed, factor, this.start, this.end);
    this.later();
  }

  pan(ms) {
    this.show(this.view[0] + ms, this.view[1] + ms);
  }

  turnTimes() {
    return this.turns.map(beganAt);
  }

  /** Go to the next (or the previous) of the times; `lead` ms of what came before stay in sight. */
  step(times, direction, lead) {
    if (!times.length) return;
    const span = Math.min(this.view[1] - this.view[0], this.end - this.start);
    const mark = this.mark === undefined ? (direction > 0 ? this.start - 1 : this.end + 1) : this.mark;
    const next = direction > 0 ? times.find((t) => t > mark) : times.filter((t) => t < mark).pop();
    const t = next === undefined ? (direction > 0 ? times[0] : times[times.length - 1]) : next;
    this.mark = t;
    const turn = lead && this.turns.find((one) => one.began_ms === t);
    if (turn) this.show(t - lead, Math.max(turn.t_ms, t + 1000) + lead);
    else this.show(t - span / 2, t + span / 2);
    if (!lead && span > 8000) this.show(t - 4000, t + 4000);
    this.cursor = t;
    this.later();
  }

  next(what) {
    this.step(this.data[what].map((one) => one[0]), 1);
  }

  later() {
    if (this.isWaiting) return;
    this.isWaiting = true;
    requestAnimationFrame(() => {
      this.isWaiting = false;
      this.draw();
    });
  }

  // -- what the person does

  timeAt(event) {
    const x = event.clientX - this.svg.getBoundingClientRect().left - this.gutter;
    return this.view[0] + (Math.min(Math.max(x, 0), this.width) / this.width) * (this.view[1] - this.view[0]);
  }

  onWheel(event) {
    // A wheel that was scrolling the page when the chart came under it goes on scrolling.
    if (performance.now() - lastScroll < 300 && !event.ctrlKey) return;
    const isAll = this.view[1] - this.view[0] >= this.end - this.start;
    const isSideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
    if (!isSideways && isAll && event.deltaY > 0 && !event.ctrlKey) return;
    event.preventDefault();
    const px = event.deltaMode === 1 ? 16 : 1;
    if (isSideways) {
      this.pan((((event.deltaX || event.deltaY) * px) / this.width) * (this.view[1] - this.view[0]));
    } else {
      this.zoom(Math.exp(Math.max(-120, Math.min(120, event.deltaY * px)) * 0.004), this.timeAt(event));
    }
  }

  onDown(event) {
    this.svg.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event.clientX);
    this.grip = [this.view[0], this.view[1], [...this.pointers.values()]];
    this.hover(event);
  }

  onMove(event) {
    if (!this.pointers.has(event.pointerId)) return this.hover(event);
    this.pointers.set(event.pointerId, event.clientX);
    const [from, to, begun] = this.grip;
    const now = [...this.pointers.values()];
    const perPixel = (to - from) / this.width;
    if (now.length >= 2 && begun.length >= 2) {
      const left = this.svg.getBoundingClientRect().left + this.gutter;
      const middle = from + ((begun[0] + begun[1]) / 2 - left) * perPixel;
      const factor = Math.max(1, Math.abs(begun[0] - begun[1])) / Math.max(1, Math.abs(now[0] - now[1]));
      this.view = zoomView([from, to], middle, factor, this.start, this.end);
      this.later();
    } else if (Math.abs(now[0] - begun[0]) > 2) {
      this.svg.classList.add("dragging");
      this.show(from - (now[0] - begun[0]) * perPixel, to - (now[0] - begun[0]) * perPixel);
    }
    return this.hover(event);
  }

  onUp(event) {
    this.pointers.delete(event.pointerId);
    this.grip = [this.view[0], this.view[1], [...this.pointers.values()]];
    this.svg.classList.remove("dragging");
  }

  onKey(event) {
    const span = this.view[1] - this.view[0];
    const acts = {
      ArrowLeft: () => this.pan(-span / (event.shiftKey ? 1 : 5)),
      ArrowRight: () => this.pan(span / (event.shiftKey ? 1 : 5)),
      "+": () => this.zoom(0.5),
      "=": () => this.zoom(0.5),
      "-": () => this.zoom(2),
      0: () => this.show(this.start, this.end),
      Home: () => this.show(this.start, this.start + span),
      End: () => this.show(this.end - span, this.end),
      n: () => this.step(this.turnTimes(), 1, 500),
      p: () => this.step(this.turnTimes(), -1, 500),
      u: () => this.next("underruns"),
      v: () => this.next("violations"),
    };
    if (acts[event.key] && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      acts[event.key]();
    }
  }

  // -- the picture

  resize() {
    const total = Math.max(280, Math.floor(this.box.clientWidth) || 960);
    this.isNarrow = total < 640;
    this.gutter = this.isNarrow ? 4 : 76;
    this.total = total;
    this.width = total - this.gutter - 4;
    this.layOut();
    this.drawWhole();
    this.draw();
  }

  /** Where each lane begins; only what this run has gets one. */
  layOut() {
    const data = this.data;
    const label = this.isNarrow ? 14 : 0;
    this.lanes = {};
    let y = 22;
    const lane = (name, height, caption, has) => {
      if (!has) return;
      y += label;
      this.lanes[name] = { y, height, caption };
      y += height + (label ? 3 : 7);
    };
    lane("states", 24, "state", data.states.t.length);
    lane("button", 10, "button", data.button.length);
    lane("mic", 56, "microphone", data.mic.q);
    lane("speaker", 56, "loudspeaker", data.speaker.q);
    lane("ring", 48, "ring", data.ring.capacity || data.ring.top);
    lane("turns", 20, "turns", this.turns.some((turn) => typeof turn.began_ms === "number"));
    lane("events", 6 + 15 * (this.isNarrow ? 5 : 4), "events", data.events.t.length);
    lane("faults", 17 * (1 + Math.max(0, ...this.faultRows)), "faults", data.faults.length);
    this.height = y;
    setSize(this.svg, this.total, this.height);
    setSize(this.whole, this.total, 34);
  }

  x(t) {
    return this.gutter + ((t - this.view[0]) / (this.view[1] - this.view[0])) * this.width;
  }

  draw() {
    const out = [this.drawAxis(), this.drawFaultShades()];
    for (const name of Object.keys(this.lanes)) {
      const lane = this.lanes[name];
      if (this.isNarrow) out.push(text(this.gutter, lane.y - 3, lane.caption, "caption"));
      else out.push(text(this.gutter - 8, lane.y + Math.min(lane.height, 40) / 2 + 4, lane.caption, "caption", "end"));
      out.push(this["draw_" + name](lane));
    }
    out.push(this.drawMarks());
    this.body.innerHTML = out.join("");
    const span = this.view[1] - this.view[0];
    this.range.textContent = `${clockText(this.view[0], span / 100)} – ${clockText(this.view[1], span / 100)}`;
    this.drawWindow();
    this.drawCursor();
  }

  drawAxis() {
    const [from, to] = this.view;
    const step = axisStep(to - from, this.width, this.isNarrow ? 64 : 92);
    const out = [`<line class="axis" x1="${this.gutter}" x2="${this.gutter + this.width}" y1="18" y2="18"/>`];
    for (let t = Math.ceil(from / step) * step; t <= to; t += step) {
      const x = this.x(t);
      out.push(`<line class="grid" x1="${x.toFixed(1)}" x2="${x.toFixed(1)}" y1="14" y2="${this.height}"/>`);
      const anchor = x < this.gutter + 20 ? "start" : x > this.gutter + this.width - 20 ? "end" : "middle";
      out.push(text(x, 10, clockText(t, step), "tick", anchor));
    }
    return out.join("");
  }

  /** Where a fault is on, the whole picture has its shade. */
  drawFaultShades() {
    const boxes = new Boxes();
    for (const [begin, end] of this.data.faults) {
      const [x0, x1] = this.inSight(begin, end);
      if (x1 >= x0) boxes.add(x0, 18, Math.max(1, x1 - x0), this.height - 18, "shade");
    }
    return boxes.html();
  }

  /** The pixels of a span that are within the picture; the second is less than the first when there are none. */
  inSight(begin, end) {
    if (end < this.view[0] || begin > this.view[1]) return [0, -1];
    return [Math.max(this.gutter, this.x(begin)), Math.min(this.gutter + this.width, this.x(end))];
  }

  draw_states(lane) {
    const { t, i, names } = this.states;
    const boxes = new Boxes();
    const labels = [];
    for (const [x0, x1, at] of blocks(t, this.end, this.view[0], this.view[1], this.width)) {
      const name = names[i[at]];
      const kind = stateClass(name);
      boxes.add(this.gutter + x0, lane.y, x1 - x0, lane.height, (x1 - x0 > 4 ? "st " : "") + kind);
      const label = x1 - x0 > 16 ? cut(name, x1 - x0 - 6) : "";
      if (label) labels.push(text(this.gutter + (x0 + x1) / 2, lane.y + 16, label, "st-name", "middle"));
    }
    return boxes.html() + labels.join("");
  }

  draw_button(lane) {
    const base = lane.y + lane.height;
    const edges = this.data.button;
    const boxes = new Boxes();
    edges.forEach(([begin, isDown], at) => {
      const [x0, x1] = this.inSight(begin, at + 1 < edges.length ? edges[at + 1][0] : this.end);
      if (isDown && x1 >= x0) boxes.add(x0, lane.y, Math.max(1, x1 - x0), lane.height, "button");
    });
    return this.drawBase(base) + boxes.html();
  }

  drawBase(y) {
    return `<line class="base" x1="${this.gutter}" x2="${this.gutter + this.width}" y1="${y}" y2="${y}"/>`;
  }

  draw_mic(lane) {
    return this.drawEnvelope(lane, this.mic, this.data.mic.step, "mic");
  }

  draw_speaker(lane) {
    return this.drawEnvelope(lane, this.speaker, this.data.speaker.step, "speaker") + this.drawUnderruns(lane);
  }

  drawEnvelope(lane, levels, step, kind) {
    const middle = lane.y + lane.height / 2;
    const half = lane.height / 2 - 1;
    const heights = columns(levels, this.start, step, this.view[0], this.view[1], this.width);
    const path = [];
    for (let x = 0; x < this.width; x++) {
      if (!heights[x]) continue;
      let last = x;
      while (last + 1 < this.width && heights[last + 1] === heights[x]) last++;
      const h = (heights[x] / TOP) * half;
      const wide = last + 1 - x;
      path.push(`M${this.gutter + x} ${(middle - h).toFixed(1)}h${wide}v${(2 * h).toFixed(1)}h${-wide}z`);
      x = last;
    }
    return this.drawBase(middle) + `<path class="${kind}" d="${path.join("")}"/>`;
  }

  /** Seen from afar they are short ticks, one a pixel, lest they hide the sound. */
  drawUnderruns(lane) {
    const boxes = new Boxes();
    const isFar = (this.view[1] - this.view[0]) / this.width > FAR_MS_PER_PX;
    let lastPixel = -1;
    for (const [t, ms] of this.data.underruns) {
      const [x0, x1] = this.inSight(t, t + ms);
      if (x1 < x0 || Math.floor(x0) === lastPixel) continue;
      lastPixel = Math.floor(x0);
      boxes.add(x0, lane.y, Math.max(isFar ? 1 : 2, x1 - x0), isFar ? 7 : lane.height, "underrun");
    }
    return boxes.html();
  }

  draw_ring(lane) {
    const ring = this.ring;
    const { low, high } = heldColumns(ring.t, ring.low, ring.high, this.view[0], this.view[1], this.width);
    const base = lane.y + lane.height;
    const y = (n) => (base - (Math.min(n, ring.scale) / ring.scale) * (lane.height - 2)).toFixed(1);
    const upper = [];
    const back = [];
    for (let x = 0; x < this.width; x++) {
      upper.push(`L${this.gutter + x} ${y(high[x])}`);
      if (high[x] !== low[x]) back.push(`M${this.gutter + x + 0.5} ${y(high[x])}V${y(low[x])}`);
    }
    const right = this.gutter + this.width;
    const area = `<path class="ring" d="M${this.gutter} ${base}${upper.join("")}L${right} ${base}z"/>`;
    const share = (ring.scale === this.data.ring.capacity ? "of " : "up to ") + bytesText(ring.scale);
    const note = this.isNarrow ? [right, lane.y - 3] : [this.gutter - 8, lane.y + 38];
    const line = `<path class="ring-line" d="${back.join("")}"/>`;
    return this.drawBase(base) + area + line + this.drawUnderruns(lane) + text(...note, share, "note", "end");
  }

  draw_turns(lane) {
    const boxes = new Boxes();
    const bad = new Boxes();
    const labels = [];
    for (const turn of this.turns) {
      if (turn.t_ms < this.view[0] || turn.began_ms > this.view[1]) continue;
      const spans = turnSpans(turn);
      if (!spans.length) continue;
      const isBad = turn.outcome === "failed" || turn.outcome === "cut";
      const [left, right] = this.inSight(turn.began_ms, spans[spans.length - 1][1]);
      if (right - left < 3) {
        // Too small for its parts; what failed is drawn over the others.
        (isBad ? bad : boxes).add(left, lane.y, 1, lane.height - 3, isBad ? "turn bad" : "turn answer");
        continue;
      }
      for (const [begin, end, kind] of spans) {
        const [x0, x1] = this.inSight(begin, end);
        if (x1 > x0) boxes.add(x0, lane.y, Math.max(0.7, x1 - x0), lane.height - 6, "turn " + kind);
      }
      (isBad ? bad : boxes).add(left, lane.y + lane.height - 5, right - left, 3, isBad ? "turn bad" : "turn under");
      const heard = between(turn, "release_ms", "first_sample_ms");
      const label = cut(`${turn.turn === undefined ? "" : turn.turn + " "}${turn.outcome || ""}`
        + (heard === null ? "" : `, heard after ${heard} ms`), right - left - 8);
      if (label) labels.push(text(left + 4, lane.y + 11, label, "turn-name"));
    }
    return boxes.html() + bad.html() + labels.join("");
  }

  draw_events(lane) {
    const { t, i, names } = this.events;
    const seen = [];
    const ticks = new Map(); // pixel -> the event there that matters most
    for (let at = firstAfter(t, this.view[0] - 1); at < t.length && t[at] <= this.view[1]; at++) {
      const name = names[i[at]];
      const kind = eventKind(name);
      const event = { x: this.x(t[at]), name, kind, rank: kind ? EVENT_KINDS.indexOf(kind) : EVENT_KINDS.length };
      const other = ticks.get(Math.floor(event.x));
      if (!other || event.rank < other.rank) ticks.set(Math.floor(event.x), event);
      seen.push(event);
    }
    const boxes = new Boxes();
    for (const { x, kind } of ticks.values()) boxes.add(x - 0.5, lane.y, 1, 6, "tip-of " + kind);
    return boxes.html() + this.drawEventTexts(lane, seen);
  }

  /** As many texts as find room; of very many only what went wrong, and a hint that there is more. */
  drawEventTexts(lane, seen) {
    const right = this.gutter + this.width;
    const isMany = seen.length > MANY_EVENTS;
    const rows = this.isNarrow ? 5 : 4;
    let wishes = isMany ? seen.filter((event) => event.kind === "error" || event.kind === "warning") : seen;
    if (isMany) wishes = wishes.filter((_, at) => at % Math.ceil(wishes.length / 40) === 0);
    wishes.sort((a, b) => a.rank - b.rank || a.x - b.x);
    for (const wish of wishes) {
      wish.text = cut(wish.name, Math.min(this.isNarrow ? 230 : 400, this.width - 40));
      wish.wide = textWidth(wish.text) * BOLD + 10;
      wish.isLeft = wish.x + wish.wide > right && wish.x - wish.wide >= this.gutter;
      wish.left = wish.isLeft ? wish.x - wish.wide : Math.max(this.gutter, Math.min(wish.x, right - wish.wide));
    }
    const places = placeTexts(wishes.map((wish) => [wish.left, wish.wide]), isMany ? rows - 1 : rows);
    const threads = [];
    const texts = [];
    wishes.forEach((wish, at) => {
      if (places[at] < 0) return;
      const y = lane.y + 16 + 15 * places[at];
      const kind = "event-name " + wish.kind;
      threads.push(`<path class="thread" d="M${wish.x.toFixed(1)} ${lane.y + 6}V${y - 4}"/>`);
      texts.push(wish.isLeft ? text(wish.x - 3, y, wish.text, kind, "end") : text(wish.left + 3, y, wish.text, kind));
    });
    if (isMany) {
      const hint = `${seen.length} events: zoom in to read them`;
      texts.push(text(this.gutter + 3, lane.y + 1 + 15 * rows, hint, "note"));
    }
    return threads.join("") + texts.join("");
  }

  draw_faults(lane) {
    const boxes = new Boxes();
    const labels = [];
    this.data.faults.forEach(([begin, end, name, note], at) => {
      const [x0, x1] = this.inSight(begin, end);
      if (x1 < x0) return;
      const y = lane.y + 17 * this.faultRows[at];
      boxes.add(x0, y, Math.max(2, x1 - x0), 15, "fault");
      const label = cut(faultText(name, note), x1 - x0 - 8);
      if (label) labels.push(text(x0 + 4, y + 11, label, "fault-name"));
    });
    return boxes.html() + labels.join("");
  }

  drawMarks() {
    return this.data.violations.map(([t, number]) => {
      if (t < this.view[0] || t > this.view[1]) return "";
      const x = this.x(t);
      return `<line class="violation" x1="${x.toFixed(1)}" x2="${x.toFixed(1)}" y1="14" y2="${this.height}"/>`
        + `<path class="violation-flag" d="M${x.toFixed(1)} 12l-6 8h12z"/>`
        + text(x + 8, 21, "invariant " + number, "violation-name");
    }).join("");
  }

  /** The strip below: the whole run, with a window where the picture is. */
  drawWhole() {
    const { t, i, names } = this.states;
    const boxes = new Boxes();
    const scale = this.width / (this.end - this.start);
    const x = (time) => this.gutter + (time - this.start) * scale;
    for (const [x0, x1, at] of blocks(t, this.end, this.start, this.end, this.width)) {
      boxes.add(this.gutter + x0, 20, x1 - x0, 6, stateClass(names[i[at]]));
    }
    for (const [levels, kind] of [[this.mic, "mic"], [this.speaker, "speaker"]]) {
      const step = this.data[kind].step;
      columns(levels, this.start, step, this.start, this.end, this.width).forEach((level, at) => {
        const height = Math.round((level / TOP) * 140) / 10;
        if (height) boxes.add(this.gutter + at, 18 - height, 1, height, kind);
      });
    }
    for (const [begin, end] of this.data.faults) {
      boxes.add(x(begin), 27, Math.max(1, (end - begin) * scale), 3, "fault");
    }
    for (const [at] of this.data.underruns) boxes.add(x(at), 1, 1, 5, "underrun");
    for (const [at] of this.data.violations) boxes.add(x(at) - 1, 0, 2, 34, "violation-line");
    const caption = this.isNarrow ? "" : text(this.gutter - 8, 18, "whole run", "caption", "end");
    this.whole.innerHTML = boxes.html() + caption + "<g></g>";
  }

  drawWindow() {
    const scale = this.width / (this.end - this.start);
    const x0 = this.gutter + (this.view[0] - this.start) * scale;
    const x1 = Math.max(x0 + 2, this.gutter + (this.view[1] - this.start) * scale);
    this.whole.lastElementChild.innerHTML = rect(this.gutter, 0, x0 - this.gutter, 34, "veil")
      + rect(x1, 0, this.gutter + this.width - x1, 34, "veil") + rect(x0 + 0.5, 0.5, x1 - x0 - 1, 33, "window");
  }

  // -- the cross-hair

  hover(event) {
    this.cursor = event === null ? null : this.timeAt(event);
    this.drawCursor();
  }

  drawCursor() {
    const t = this.cursor;
    this.tip.hidden = t === null || t < this.view[0] || t > this.view[1];
    if (this.tip.hidden) {
      this.over.innerHTML = "";
      return;
    }
    const x = this.x(t);
    this.over.innerHTML = `<path class="cursor" d="M${x.toFixed(1)} 14V${this.height}"/>`;
    this.tip.replaceChildren();
    for (const [name, value, kind] of this.facts(t)) {
      const line = element("div", kind || "");
      line.append(element("b", "", name), element("span", "", value));
      this.tip.append(line);
    }
    // On the other half of the picture, so that it hides nothing near the hair.
    const isLeft = x < this.gutter + this.width / 2;
    this.tip.style.left = this.isNarrow || isLeft ? "auto" : `${this.gutter + 6}px`;
    this.tip.style.right = !this.isNarrow && isLeft ? "6px" : "auto";
  }

  facts(t) {
    const span = this.view[1] - this.view[0];
    const perPixel = span / this.width;
    const data = this.data;
    const found = [["time", clockText(t, perPixel)]];
    const last = (times) => firstAfter(times, t) - 1;
    const state = last(this.states.t);
    if (state >= 0) {
      const since = t - this.states.t[state];
      found.push(["state", `${this.states.names[this.states.i[state]]} for ${clockText(since, perPixel)}`]);
    }
    const edge = last(data.button.map((one) => one[0]));
    if (edge >= 0 && data.button[edge][1]) found.push(["button", "down"]);
    const level = (levels, step) => {
      const [most] = columns(levels, this.start, step, t - perPixel / 2, t + perPixel / 2, 1);
      return levelText(most);
    };
    if (data.mic.q) found.push(["microphone", level(this.mic, data.mic.step)]);
    if (data.speaker.q) found.push(["loudspeaker", level(this.speaker, data.speaker.step)]);
    const at = last(this.ring.t);
    if (at >= 0) {
      const all = data.ring.capacity ? ` of ${bytesText(data.ring.capacity)}` : "";
      found.push(["ring", bytesText(this.ring.high[at]) + all]);
    }
    const turn = this.turns.find((one) => one.began_ms <= t && t <= one.t_ms);
    if (turn) {
      const since = clockText(t - turn.began_ms, perPixel);
      found.push(["turn", `${turn.turn} ${turn.outcome}, ${since} after it began`]);
    }
    for (const [begin, end, name, note] of data.faults) {
      if (begin <= t && t <= end) found.push(["fault", faultText(name, note), "fault-fact"]);
    }
    const near = 5 * perPixel;
    for (const [begin, ms] of data.underruns) {
      if (begin - near <= t && t <= begin + ms + near) found.push(["underrun", `${ms} ms of silence`, "bad"]);
    }
    for (const [when, number, note] of data.violations) {
      if (Math.abs(when - t) <= near) found.push([`invariant ${number}`, note, "bad"]);
    }
    const events = this.events;
    for (let i = firstAfter(events.t, t - near - 1), n = 0; i < events.t.length && events.t[i] <= t + near; i++) {
      if (++n > 6) {
        found.push(["", "and more"]);
        break;
      }
      found.push([clockText(events.t[i], 1), events.names[events.i[i]]]);
    }
    return found;
  }
}

/** The ring's fill as times with lowest and highest values, and what the top of its lane stands for. */
function readRing(data) {
  const ring = data.ring;
  const isLow = ring.top < ring.capacity / 4;
  const scale = isLow || !ring.capacity ? Math.max(1, ring.top) : ring.capacity;
  if (ring.points) {
    const values = ring.points.map((point) => point[1]);
    return { t: ring.points.map((point) => point[0]), low: values, high: values, scale };
  }
  const bytes = (levels) => Array.from(levels, (level) => (level / TOP) * ring.top);
  const high = bytes(decode(ring.high));
  return { t: high.map((_, i) => data.start + i * ring.step), low: bytes(decode(ring.low)), high, scale };
}

function svgElement(kind) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  made.setAttribute("class", kind);
  return made;
}

function setSize(svg, width, height) {
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
}

/** Where the wait for the cloud begins: with the last byte sent or, in free talk, with the end of speech. */
function asked(turn) {
  return turn.complete_ms >= 0 ? "complete_ms" : "release_ms";
}

function beganAt(turn) {
  return typeof turn.began_ms === "number" ? turn.began_ms : turn.t_ms;
}

// Column of the turns' table: heading, what it means, its value out of a turn (null: none), how it is written.
const plain = (value) => (value === null ? "–" : String(value));
const TURN_COLUMNS = [
  ["turn", "number of the turn", (turn) => turn.turn, plain],
  ["began", "on the time axis", beganAt, (t) => clockText(t, 10)],
  ["outcome", "how it ended", (turn) => turn.outcome, plain],
  ["question ms", "from its beginning to the release of the button, or to the end of speech that the cloud saw",
    (turn) => (turn.release_ms >= 0 ? turn.release_ms : null), plain],
  ["sent +ms", "from there until its last byte was handed to the socket",
    (turn) => between(turn, "release_ms", "complete_ms"), plain],
  ["cloud +ms", "from there until the first audio of the answer came: the cloud and the way there and back",
    (turn) => between(turn, asked(turn), "first_delta_ms"), plain],
  ["prebuffer +ms", "from there until its first sample was played",
    (turn) => between(turn, "first_delta_ms", "first_sample_ms"), plain],
  ["heard after ms", "from the end of the question to the first sample of the answer: what the person waits",
    (turn) => between(turn, "release_ms", "first_sample_ms"), plain],
  ["answer ms", "from its first sample to its last",
    (turn) => between(turn, "first_sample_ms", "last_sample_ms"), plain],
  ["underruns", "silences inside the answer", (turn) => turn.underruns, plain],
  ["silent ms", "how long they were together", (turn) => turn.underrun_ms, plain],
  ["cut bytes", "given up because the ring was full", (turn) => turn.bytes_cut, plain],
  ["heap free", "after the turn, on interpreters that tell",
    (turn) => (turn.heap_free_bytes >= 0 ? turn.heap_free_bytes : null), bytesText],
];
const BAD_IF_ANY = ["underruns", "silent ms", "cut bytes"];

class TurnTable {
  constructor(box, chart) {
    this.box = box;
    this.chart = chart;
    this.columns = TURN_COLUMNS.map(([name, help, of, write]) => ({
      name, help, write,
      of: (turn) => {
        const value = of(turn);
        return value === undefined ? null : value;
      },
    })).filter((column) => chart.turns.some((turn) => column.of(turn) !== null));
    this.order = 1;
    this.by = -1;
    this.most = FIRST_ROWS;
    this.draw();
  }

  draw() {
    this.box.replaceChildren();
    if (!this.chart.turns.length) return;
    this.box.append(element("h3", "", "Turns"));
    const scroll = element("div", "scroll");
    const table = element("table");
    const head = table.createTHead().insertRow();
    this.columns.forEach((column, at) => {
      const cell = element("th", at === 2 ? "" : "n");
      cell.title = column.help;
      const button = element("button", "", column.name);
      button.type = "button";
      button.addEventListener("click", () => this.sort(at));
      cell.append(button);
      if (at === this.by) cell.setAttribute("aria-sort", this.order > 0 ? "ascending" : "descending");
      head.append(cell);
    });
    const body = table.createTBody();
    const turns = this.sorted();
    for (const turn of turns.slice(0, this.most)) this.row(body, turn);
    scroll.append(table);
    this.box.append(scroll);
    if (turns.length > this.most) {
      const more = element("button", "more", `show all ${turns.length} turns`);
      more.type = "button";
      more.addEventListener("click", () => {
        this.most = turns.length;
        this.draw();
      });
      this.box.append(more);
    }
  }

  row(body, turn) {
    const row = body.insertRow();
    row.tabIndex = 0;
    row.title = "show this turn";
    this.columns.forEach((column, at) => {
      const value = column.of(turn);
      const cell = row.insertCell();
      cell.className = at === 2 ? "outcome o-" + (/^[a-z]+$/.test(value) ? value : "x") : "n";
      if (BAD_IF_ANY.includes(column.name) && value > 0) cell.className += " bad";
      cell.textContent = value === null ? "–" : column.write(value);
    });
    const go = () => {
      this.chart.show(Math.min(beganAt(turn), turn.t_ms - 1000) - 500, turn.t_ms + 500);
      this.chart.frame.scrollIntoView({ block: "nearest" });
    };
    row.addEventListener("click", go);
    row.addEventListener("keydown", (event) => event.key === "Enter" && go());
  }

  sorted() {
    if (this.by < 0) return this.chart.turns;
    const of = this.columns[this.by].of;
    return [...this.chart.turns].sort((a, b) => {
      const [x, y] = [of(a), of(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      return this.order * (x < y ? -1 : x > y ? 1 : 0);
    });
  }

  sort(at) {
    this.order = this.by === at ? -this.order : at < 3 ? 1 : -1;
    this.by = at;
    this.draw();
  }
}

let lastScroll = -1e9;
const charts = [];

/** The chart of a run, made when it is first seen: a page of a hundred runs opens at once. */
function chartOf(number, all) {
  const run = document.getElementById("r" + number);
  if (!run || !all[number]) return null;
  if (!charts[number]) {
    charts[number] = new Chart(run.querySelector(".chart"), all[number]);
    new TurnTable(run.querySelector(".turns"), charts[number]);
    if (all[number].events_left_out) {
      const note = `${all[number].events_left_out} of the most frequent events are left out`;
      run.querySelector(".chart").append(element("p", "small", note));
    }
  }
  return charts[number];
}

function follow(hash, all) {
  const link = parseLink(hash);
  const run = link && document.getElementById("r" + link.run);
  if (!run) return;
  run.open = true;
  const chart = chartOf(link.run, all);
  if (!chart) return;
  if (link.from !== null) {
    chart.show(link.from, link.to);
    if (link.at !== undefined) chart.mark = chart.cursor = link.at;
  }
  if (link.from === null) run.scrollIntoView();
  else chart.frame.scrollIntoView({ block: "nearest" });
}

async function copyText(button, content) {
  try {
    await navigator.clipboard.writeText(content);
  } catch {
    const area = element("textarea");
    area.value = content;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "copied";
  setTimeout(() => (button.textContent = "copy"), 1500);
}

function start() {
  const all = JSON.parse(document.getElementById("data").textContent);
  const runs = [...document.querySelectorAll("details.run")];
  runs.forEach((run, number) => {
    if (run.open) chartOf(number, all);
    run.addEventListener("toggle", () => {
      const chart = run.open && chartOf(number, all);
      if (chart) chart.resize();
    });
  });
  document.querySelectorAll(".command .copy").forEach((button) =>
    button.addEventListener("click", () => copyText(button, button.previousElementSibling.textContent)));
  let timer = 0;
  addEventListener("resize", () => {
    clearTimeout(timer);
    timer = setTimeout(() => charts.forEach((chart) => chart && chart.box.clientWidth && chart.resize()), 80);
  });
  addEventListener("scroll", () => (lastScroll = performance.now()), { passive: true });
  addEventListener("hashchange", () => follow(location.hash, all));
  // A link to where one already is changes no hash, yet it is meant.
  document.addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest('a[href^="#r"]');
    if (link && link.getAttribute("href") === location.hash) follow(location.hash, all);
  });
  addEventListener("beforeprint", () => charts.forEach((chart) => chart && chart.hover(null)));
  follow(location.hash, all);
}

start();
