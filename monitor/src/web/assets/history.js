// What numbers were: kept in the page, a point every SAMPLE_MS, for the zones that were looked at last.

import { SAMPLES, ZONES_KEPT } from './limits.js';

/** By zone: `{ at: [ms], series: Map(column → Map(child → [number or null])) }`, all of one length. */
const kept = new Map();

/** The history of a zone, if there is one. */
export const of = (zone) => kept.get(zone);

/** Adds a point: what the children of the zone say of these columns now. What a child does not say is null, a gap. */
export function add(zone, columns, rows, now) {
  const history = kept.get(zone) ?? { at: [], series: new Map() };
  // The zone that was looked at longest ago is the first one.
  kept.delete(zone);
  kept.set(zone, history);
  if (kept.size > ZONES_KEPT) kept.delete(kept.keys().next().value);
  history.at.push(now);
  const length = history.at.length;
  for (const name of history.series.keys()) if (!columns.includes(name)) history.series.delete(name);
  for (const name of columns) {
    if (!history.series.has(name)) history.series.set(name, new Map());
    const lines = history.series.get(name);
    for (const { key, values } of rows) {
      if (!lines.has(key)) lines.set(key, []);
      const line = lines.get(key);
      while (line.length < length - 1) line.push(null);
      line.push(typeof values[name] === 'number' ? values[name] : null);
    }
    for (const [key, line] of lines) {
      while (line.length < length) line.push(null);
      if (length > SAMPLES) line.shift();
      if (line.every((value) => value === null)) lines.delete(key);
    }
  }
  if (length > SAMPLES) history.at.shift();
}
