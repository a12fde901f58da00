"use strict";
// What the charts of a time line compute: pure functions that run in node too. page.js, behind this in the page, draws.

const LEVELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const TOP = LEVELS.length - 1;
const MIN_SPAN_MS = 50;
const NEAR_MS = 2000; // what a link to an instant shows before and after it
const STEPS_MS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5,
  108e5, 216e5, 432e5, 864e5,
];

/** Levels 0..63 out of the text that page.py packed them into. */
function decode(text) {
  const whole = text.replace(/(.)~([0-9a-f]+)\./g, (_, c, n) => c.repeat(parseInt(n, 16)));
  const levels = new Uint8Array(whole.length);
  for (let i = 0; i < whole.length; i++) levels[i] = LEVELS.indexOf(whole[i]);
  return levels;
}

/** The loudest level in each of `width` columns of the view [from, to); steps are stepMs long, the first at startMs. */
function columns(levels, startMs, stepMs, from, to, width) {
  const out = new Uint8Array(width);
  const perColumn = (to - from) / width;
  for (let x = 0; x < width; x++) {
    let i = Math.floor((from + x * perColumn - startMs) / stepMs);
    const last = Math.max(i, Math.ceil((from + (x + 1) * perColumn - startMs) / stepMs) - 1);
    let most = 0;
    for (i = Math.max(0, i); i <= last && i < levels.length; i++) if (levels[i] > most) most = levels[i];
    out[x] = most;
  }
  return out;
}

/** Lowest and highest value in each column of a value that holds from times[i] on: {low, high}. */
function heldColumns(times, low, high, from, to, width) {
  const outLow = new Float64Array(width);
  const outHigh = new Float64Array(width);
  const perColumn = (to - from) / width;
  let at = firstAfter(times, from);
  for (let x = 0; x < width; x++) {
    const until = from + (x + 1) * perColumn;
    let least = at > 0 ? low[at - 1] : 0;
    let most = at > 0 ? high[at - 1] : 0;
    while (at < times.length && times[at] < until) {
      if (low[at] < least) least = low[at];
      if (high[at] > most) most = high[at];
      at++;
    }
    outLow[x] = least;
    outHigh[x] = most;
  }
  return { low: outLow, high: outHigh };
}

/** Index of the first element that is later than t. */
function firstAfter(times, t) {
  let a = 0;
  let b = times.length;
  while (a < b) {
    const middle = (a + b) >> 1;
    if (times[middle] <= t) a = middle + 1;
    else b = middle;
  }
  return a;
}

/** The view nearest to [from, to) that lies within [start, end) and is not narrower than MIN_SPAN_MS. */
function clampView(from, to, start, end) {
  const whole = end - start;
  let span = Math.min(Math.max(to - from, Math.min(MIN_SPAN_MS, whole)), whole);
  if (!(span > 0)) span = whole;
  const middle = (from + to) / 2;
  const begin = Math.min(Math.max(middle - span / 2, start), end - span);
  return [begin, begin + span];
}

/** The view after zooming by `factor` (less than 1: closer) that keeps t where it is. */
function zoomView(view, t, factor, start, end) {
  let [from, to] = view;
  const span = Math.min(Math.max((to - from) * factor, Math.min(MIN_SPAN_MS, end - start)), end - start);
  const share = (t - from) / (to - from);
  from = t - share * span;
  from = Math.min(Math.max(from, start), end - span);
  return [from, from + span];
}

/** A step of the axis so that marks lie at least `least` pixels apart. */
function axisStep(span, width, least) {
  const wanted = (span * least) / Math.max(1, width);
  return STEPS_MS.find((step) => step >= wanted) || Math.ceil(wanted / 864e5) * 864e5;
}

/** 3.25 s, 2:05, 1:02:05; as exact as step asks for. */
function clockText(ms, step) {
  const sign = ms < 0 ? "-" : "";
  ms = Math.round(Math.abs(ms));
  const digits = step >= 1000 ? 0 : step >= 100 ? 1 : step >= 10 ? 2 : 3;
  if (ms < 60000) return sign + (ms / 1000).toFixed(digits) + " s";
  const scale = 10 ** digits;
  const rest = (Math.floor((ms % 60000) / (1000 / scale)) / scale).toFixed(digits);
  const seconds = rest.padStart(digits ? 3 + digits : 2, "0");
  const minutes = Math.floor(ms / 60000);
  if (minutes < 60) return sign + minutes + ":" + seconds;
  return sign + Math.floor(minutes / 60) + ":" + String(minutes % 60).padStart(2, "0") + ":" + seconds;
}

/**
 * What is on from when to when, as blocks [x0, x1, index] of pixels. Blocks under a pixel are drawn together, as that
 * one of them that lasted longest, so a view of hours has no more blocks than pixels.
 */
function blocks(times, end, from, to, width) {
  const out = [];
  const scale = width / (to - from);
  let pixel = -1;
  let longest = 0;
  for (let i = Math.max(0, firstAfter(times, from) - 1); i < times.length && times[i] < to; i++) {
    const until = i + 1 < times.length ? times[i + 1] : end;
    const x0 = Math.max(0, (times[i] - from) * scale);
    const x1 = Math.min(width, (until - from) * scale);
    if (x1 <= x0) continue;
    if (x1 - x0 >= 1) {
      out.push([x0, x1, i]);
      pixel = -1;
    } else if (Math.floor(x0) !== pixel) {
      pixel = Math.floor(x0);
      longest = x1 - x0;
      out.push([pixel, pixel + 1, i]);
    } else if (x1 - x0 > longest) {
      longest = x1 - x0;
      out[out.length - 1][2] = i;
    }
  }
  return out;
}

/** A row for each span [begin, end, ...] so that none lies over another; with more than `most` the last is shared. */
function stack(spans, most) {
  const ends = [];
  return spans.map(([begin, end]) => {
    let row = ends.findIndex((busyUntil) => busyUntil <= begin);
    if (row < 0) row = Math.min(ends.length, most - 1);
    ends[row] = Math.max(ends[row] || 0, end);
    return row;
  });
}

/** Places for texts of the given pixel widths at the given x: a row of each, -1 where there is no room. */
function placeTexts(wishes, rows) {
  const taken = Array.from({ length: rows }, () => []);
  return wishes.map(([x, wide]) => {
    for (let row = 0; row < rows; row++) {
      if (taken[row].every(([a, b]) => b <= x || a >= x + wide)) {
        taken[row].push([x, x + wide]);
        return row;
      }
    }
    return -1;
  });
}

/** Ms between two marks of a turn, null when one of them never came. */
function between(turn, first, last) {
  const a = turn[first];
  const b = turn[last];
  return typeof a === "number" && typeof b === "number" && a >= 0 && b >= 0 ? b - a : null;
}

/** What one turn looked like: [[begin, end, kind]] in ms of the line's clock, in order and without overlap. */
function turnSpans(turn) {
  if (typeof turn.began_ms !== "number") return [];
  const marks = [["release_ms", "ask"], ["complete_ms", "send"], ["first_delta_ms", "wait"],
    ["first_sample_ms", "hold"], ["last_sample_ms", "answer"]];
  const spans = [];
  let at = 0;
  for (const [key, kind] of marks) {
    if (typeof turn[key] === "number" && turn[key] > at) {
      spans.push([turn.began_ms + at, turn.began_ms + turn[key], kind]);
      at = turn[key];
    }
  }
  const rest = typeof turn.t_ms === "number" ? turn.t_ms - turn.began_ms : 0;
  if (rest > at) spans.push([turn.began_ms + at, turn.began_ms + rest, turn.first_sample_ms >= 0 ? "answer" : "rest"]);
  return spans;
}

/** Level 0..63 as dB of full scale; the levels are square roots. */
function levelText(level) {
  return level ? (40 * Math.log10(level / TOP)).toFixed(0) + " dB" : "silence";
}

function bytesText(n) {
  return n < 1024 ? Math.round(n) + " B" : (n / 1024).toFixed(n < 10240 ? 1 : 0) + " KB";
}

function escapeText(text) {
  return String(text).replace(/[&<>"']/g, (c) => "&#" + c.charCodeAt(0) + ";");
}

/** {t: absolute times, i: index of the name} out of page.py's differences. */
function unfold(packed) {
  let t = 0;
  return { names: packed.names, i: packed.i, t: packed.t.map((ms) => (t += ms)) };
}

/** #r2@1500 or #r2@1000-2000: {run, from, to}; from is null for a run as a whole, null for anything else. */
function parseLink(hash) {
  const found = /^#r(\d+)(?:@(-?\d+)(?:-(\d+))?)?$/.exec(hash);
  if (!found) return null;
  const run = Number(found[1]);
  if (found[2] === undefined) return { run, from: null, to: null };
  const from = Number(found[2]);
  if (found[3] !== undefined) return { run, from, to: Number(found[3]) };
  return { run, from: from - NEAR_MS, to: from + NEAR_MS, at: from };
}

if (typeof module !== "undefined" && module.exports) {
  module.exports = {
    decode, columns, heldColumns, firstAfter, clampView, zoomView, axisStep, clockText, blocks, stack, placeTexts,
    between, turnSpans, levelText, bytesText, escapeText, unfold, parseLink,
  };
}
