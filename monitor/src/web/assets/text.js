// Values as text, and elements that hold text. What is shown came from the network: nothing here reads text as HTML.

import { CELL_CHARS, WHOLE_CHARS } from './limits.js';

/** What is not known. Never zero. */
export const UNKNOWN = '–';

// Controls, and marks that turn the direction of writing or have no width.
const STEERS = /[\p{Cc}\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu;

/** Text whose characters are what they look like. */
export function plain(text) {
  return String(text).replace(STEERS, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

/** Text of so many characters at most. */
export function cut(text, chars) {
  if (text.length <= chars) return text;
  const end = /[\ud800-\udbff]/.test(text[chars - 1]) ? chars - 1 : chars;
  return `${text.slice(0, end)}…`;
}

const fixed = (digits) => new Intl.NumberFormat('en-GB', { maximumFractionDigits: digits });
const [whole, tenths, hundredths] = [fixed(0), fixed(1), fixed(2)];
const small = new Intl.NumberFormat('en-GB', { maximumSignificantDigits: 3 });

/** A number with as many digits as can be taken in at a glance. */
export function number(value) {
  if (!Number.isFinite(value)) return String(value);
  if (Number.isInteger(value)) return whole.format(value);
  const size = Math.abs(value);
  if (size < 0.0001 || size >= 1e15) return value.toExponential(2);
  return (size < 1 ? small : size < 100 ? hundredths : size < 1000 ? tenths : whole).format(value);
}

const SIZES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** A size as people say it; given in the unit of this power of 1024. */
const size = (given) => (value) => {
  if (value === 0) return `0 ${SIZES[0]}`;
  const more = Math.floor(Math.log2(Math.abs(value)) / 10);
  const power = Math.max(0, Math.min(SIZES.length - 1, given + Math.max(-given, more)));
  const scaled = value * 1024 ** (given - power);
  return `${Math.abs(scaled) < 10 && !Number.isInteger(scaled) ? scaled.toFixed(1) : whole.format(scaled)} ${SIZES[power]}`;
};

/** Seconds as people say them. */
export function seconds(value) {
  const s = Math.max(0, Math.round(value));
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} days`;
}

/** The time of day of a second since 1970; with its day if that is another one than today. */
export function timeOfDay(second) {
  const at = new Date(second * 1000);
  if (Number.isNaN(at.getTime())) return UNKNOWN;
  const clock = at.toLocaleTimeString('en-GB');
  return at.toDateString() === new Date().toDateString() ? clock : `${at.toLocaleDateString('en-CA')} ${clock}`;
}

const rate = size(1);

/** How to say what the agent itself says of its machine (docs/attributes.md), and what names tell of others. */
const UNITS = new Map([
  ['mem_total', size(2)], ['mem_used', size(2)], ['swap_used', size(2)], ['disk_free', size(3)],
  ['net_rx', (value) => `${rate(value)}/s`], ['net_tx', (value) => `${rate(value)}/s`],
  ['cpu', (value) => `${number(value)} %`], ['uptime', (value) => seconds(value * 60)], ['oldest', timeOfDay],
]);
const ENDINGS = [[/_bytes$/, size(0)], [/_percent$/, (value) => `${number(value)} %`], [/_(s|seconds)$/, (value) => `${number(value)} s`], [/_ms$/, (value) => `${number(value)} ms`]];

/** How numbers of this attribute are said. */
export function unit(name) {
  return UNITS.get(name) ?? ENDINGS.find(([ending]) => ending.test(name))?.[1] ?? number;
}

/** A value of the API (see docs/monitor.md) as the text of a cell: at most WHOLE_CHARS characters. */
export function shown(value, name = '') {
  if (value === null || value === undefined) return UNKNOWN;
  if (typeof value === 'number') return unit(name)(value);
  if (typeof value === 'string') return plain(cut(value, WHOLE_CHARS));
  if (Array.isArray(value)) {
    // A list of any length: what would not be shown is not put together either.
    const parts = value.slice(0, 64).map((part) => shown(part));
    return cut(parts.join(', ') + (value.length > 64 ? ', …' : ''), WHOLE_CHARS);
  }
  if (typeof value === 'object' && typeof value.hex === 'string') return cut(`x'${value.hex}'`, WHOLE_CHARS);
  return plain(cut(JSON.stringify(value) ?? '', WHOLE_CHARS));
}

/** The same, cut to what fits into a cell. */
export function short(text) {
  return cut(text, CELL_CHARS);
}

/** An element with attributes and children: text stays text. A function among the attributes listens. */
export function make(kind, attributes = {}, ...children) {
  const element = document.createElement(kind);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Writes text where another one is: what stays the same is not drawn again, and no selection in it is lost. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The path of a child. */
export function below(zone, child) {
  return zone === '/' ? `/${child}` : `${zone}/${child}`;
}

/** "29 of 30", or "30" if none is missing. */
export function count(members, expected) {
  return expected > members ? `${whole.format(members)} of ${whole.format(expected)}` : whole.format(members);
}

/** Writes how much of a zone is in an answer: always of how many, who is gone, and how old it is. */
export function writeCompleteness(element, { completeness: c, zone }) {
  const gone = c.expected > c.members ? `, ${whole.format(c.expected - c.members)} gone` : '';
  const silent = c.members - c.reported;
  const word = silent > 0 ? `, ${whole.format(silent)} without a word on this` : '';
  const age = c.oldest_s === null || c.oldest_s === undefined ? '' : `; the oldest row is ${seconds(c.oldest_s)} old`;
  element.classList.toggle('missing', c.reported < c.expected);
  write(element, `${whole.format(c.reported)} of ${whole.format(c.expected)} agents in ${plain(zone)}${gone}${word}${age}`);
}
