// What numbers were: kept in the page, a point every SAMPLE_MS, for the zones that were looked at last.

import { LINES, SAMPLES, ZONES_KEPT } from './limits.js';

/**
 * By zone: `{ at: [ms], series: Map(column → { band, lines, of }) }`. A band is the least, the middle and the most of all children; lines are
 * of each child, where they are few; `of` how many children say something now. All are as long as `at`; null is a gap.
 */
const kept = new Map();

/** The history of a zone, if there is one. */
export const of = (zone) => kept.get(zone);

/** The zones that have one. */
export const zones = () => [...kept.keys()];

/** Adds a point: what the children of the zone say of these columns now. */
export function add(zone, columns, rows, now) {
  const history = kept.get(zone) ?? { at: [], series: new Map() };
  // The zone that was looked at longest ago is the first one.
  kept.delete(zone);
  kept.set(zone, history);
  if (kept.size > ZONES_KEPT) kept.delete(kept.keys().next().value);
  const before = history.at.length;
  for (const name of history.series.keys()) if (!columns.includes(name)) history.series.delete(name);
  for (const name of columns) {
    const series = history.series.get(name) ?? { band: [gap(before), gap(before), gap(before)], lines: new Map(), of: 0 };
    history.series.set(name, series);
    const said = rows.filter((row) => typeof row.values[name] === 'number');
    const sorted = Float64Array.from(said, (row) => row.values[name]).sort();
    [0, sorted.length >> 1, sorted.length - 1].forEach((at, n) => series.band[n].push(sorted[at] ?? null));
    series.of = said.length;
    lines(series.lines, said.length > LINES ? null : said, name, before);
    if (before === SAMPLES) [...series.band, ...series.lines.values()].forEach((line) => line.shift());
  }
  history.at.push(now);
  if (before === SAMPLES) history.at.shift();
}

const gap = (length) => new Array(length).fill(null);

/** The lines of those few who say something; where there are many there are none. */
function lines(all, said, name, before) {
  if (said === null) return all.clear();
  for (const { key, values } of said) {
    if (!all.has(key)) all.set(key, gap(before));
    all.get(key).push(values[name]);
  }
  for (const [key, line] of all) {
    if (line.length === before) line.push(null);
    // Those who said something last go before those who still do, if there are too many.
    const quiet = line[before] === null;
    if (quiet && (all.size > LINES || line.every((value) => value === null))) all.delete(key);
  }
}
