// A column over time, on a canvas: a line for each child, or a band where there are many.

import { SAMPLE_MS } from './limits.js';
import { make, plain, seconds, short, shown, UNKNOWN, unit, write } from './text.js';

const HEIGHT = 96;
/** Beside and below the lines, for what the axes say. */
const LEFT = 58;
const BELOW = 16;
const ABOVE = 6;

/** The step between two of at most three rules: 1, 2 or 5, and some zeros. */
function step(range) {
  const power = 10 ** Math.floor(Math.log10(range / 2));
  return [1, 2, 5, 10].map((of) => of * power).find((of) => range / of <= 2.000001);
}

/** Whether it can only go from 0 to 100. */
const percent = (name) => name === 'cpu' || name.endsWith('_percent');

/** From where to where the axis goes, and its rules: round numbers. */
function axis(lines, name) {
  let low = Infinity;
  let high = -Infinity;
  for (const line of lines) {
    for (const value of line) {
      if (value === null) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  if (low > high) return null;
  if (percent(name) && low >= 0 && high <= 100) return { low: 0, high: 100, rules: [0, 50, 100] };
  // From zero, unless all of it is far from there: then what differs would not be seen.
  if (low >= 0 && low < high / 2) low = 0;
  // What differs by a little only is not to look like a mountain.
  const by = step(Math.max(high - low, Math.abs(high) / 20) || 1);
  const from = Math.floor(low / by + 1e-9) * by;
  const to = Math.max(Math.ceil(high / by - 1e-9) * by, from + by);
  const rules = [];
  for (let n = Math.round(from / by); n * by <= to + by / 2 && rules.length < 4; n += 1) rules.push(n * by);
  return { low: from, high: to, rules };
}

export class Chart {
  constructor(name) {
    this.name = name;
    this.canvas = make('canvas', { role: 'img' });
    this.legend = make('ul', { class: 'legend' });
    this.title = make('figcaption', {}, short(plain(name)));
    this.element = make('figure', { class: 'chart' }, this.title, this.canvas, this.legend);
    this.shown = [];
  }

  /** Draws it as it is in the history of the zone. */
  draw(history) {
    const series = history?.series.get(this.name) ?? { band: [[], [], []], lines: new Map(), of: 0 };
    const lines = [...series.lines].sort(([a], [b]) => (a < b ? -1 : 1));
    const many = lines.length === 0;
    const width = this.canvas.clientWidth;
    if (!width) return;
    const pixels = window.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * pixels)) this.canvas.width = Math.round(width * pixels);
    if (this.canvas.height !== Math.round(HEIGHT * pixels)) this.canvas.height = Math.round(HEIGHT * pixels);
    const pen = this.canvas.getContext('2d');
    pen.setTransform(pixels, 0, 0, pixels, 0, 0);
    pen.clearRect(0, 0, width, HEIGHT);
    const style = getComputedStyle(this.canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    pen.font = `11px ${style.fontFamily}`;
    const at = history?.at ?? [];
    const values = lines.map(([, line]) => line);
    const range = axis(series.band, this.name);
    this.#legend(lines, series, colour);
    if (!range || at.length < 2) {
      pen.fillStyle = colour('--faint');
      pen.fillText('The first points come within some seconds.', LEFT, HEIGHT / 2);
      return;
    }
    const { low, high } = range;
    const last = at[at.length - 1];
    const span = Math.max(last - at[0], 30 * SAMPLE_MS);
    const x = (ms) => LEFT + ((ms - (last - span)) / span) * (width - LEFT - 4);
    const y = (value) => ABOVE + (1 - (value - low) / (high - low)) * (HEIGHT - ABOVE - BELOW);
    this.#axes(pen, { rules: range.rules, span, width, y, colour });
    pen.lineJoin = 'round';
    if (many) {
      const [least, middle, most] = series.band;
      this.#area(pen, at, least, most, { x, y, colour: colour('--band') });
      this.#line(pen, at, middle, { x, y, colour: colour('--line0') });
    } else {
      values.forEach((line, n) => this.#line(pen, at, line, { x, y, colour: colour(`--line${n}`) }));
    }
  }

  #axes(pen, { rules, span, width, y, colour }) {
    pen.textBaseline = 'middle';
    pen.lineWidth = 1;
    for (const value of rules) {
      const at = Math.round(y(value)) + 0.5;
      pen.strokeStyle = colour('--rule');
      pen.beginPath();
      pen.moveTo(LEFT, at);
      pen.lineTo(width - 4, at);
      pen.stroke();
      pen.fillStyle = colour('--faint');
      pen.textAlign = 'right';
      pen.fillText(unit(this.name)(value), LEFT - 6, at);
    }
    pen.textBaseline = 'alphabetic';
    pen.textAlign = 'left';
    pen.fillText(`${seconds(span / 1000)} ago`, LEFT, HEIGHT - 2);
    pen.textAlign = 'right';
    pen.fillText('now', width - 4, HEIGHT - 2);
    pen.textAlign = 'left';
  }

  /** A line, with a gap where nothing was said or nobody looked. */
  #line(pen, at, line, { x, y, colour }) {
    pen.strokeStyle = colour;
    pen.lineWidth = 1.4;
    pen.beginPath();
    let before = null;
    line.forEach((value, n) => {
      const gap = before === null || at[n] - at[before] > 3 * SAMPLE_MS;
      if (value !== null) {
        if (gap) pen.moveTo(x(at[n]), y(value));
        pen.lineTo(x(at[n]) + (gap ? 1 : 0), y(value));
      }
      before = value === null ? null : n;
    });
    pen.stroke();
  }

  /** What is between two lines, from one gap to the next. */
  #area(pen, at, least, most, { x, y, colour }) {
    pen.fillStyle = colour;
    const fill = (from, to) => {
      pen.beginPath();
      for (let n = from; n < to; n += 1) pen.lineTo(x(at[n]), y(most[n]));
      for (let n = to - 1; n >= from; n -= 1) pen.lineTo(x(at[n]), y(least[n]));
      pen.fill();
    };
    let from = null;
    for (let n = 0; n <= at.length; n += 1) {
      const here = n < at.length && least[n] !== null;
      const joined = here && from !== null && at[n] - at[n - 1] <= 3 * SAMPLE_MS;
      if (from !== null && !joined) {
        fill(from, n);
        from = null;
      }
      if (here && from === null) from = n;
    }
  }

  /** Which line is whose, and what it says now. */
  #legend(lines, series, colour) {
    const now = (line) => line[line.length - 1] ?? null;
    const [least, middle, most] = series.band.map(now);
    const many = lines.length === 0;
    const says = many ? [['--band', 'least', least], ['--line0', 'median', middle], ['--band', 'most', most]]
      : lines.map(([key, line], n) => [`--line${n}`, plain(key), now(line)]);
    while (this.shown.length > says.length) this.shown.pop().item.remove();
    while (this.shown.length < says.length) {
      const [swatch, name, value] = [make('i', { 'aria-hidden': 'true' }), make('span'), make('b')];
      const item = make('li', {}, swatch, name, value);
      this.legend.append(item);
      this.shown.push({ item, swatch, name, value });
    }
    says.forEach(([key, name, value], n) => {
      const { swatch, name: label, value: number } = this.shown[n];
      swatch.style.background = colour(key);
      write(label, short(name));
      write(number, value === null ? UNKNOWN : shown(value, this.name));
    });
    const whose = says.map(([, name, value]) => `${name} ${shown(value, this.name)}`).join(', ') + (many ? ` of ${series.of} children` : '');
    this.canvas.setAttribute('aria-label', short(plain(this.name)) + (whose ? `: ${whose}` : ''));
  }
}
