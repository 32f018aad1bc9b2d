// The table of a zone: a row for each child, live; charts of the columns that were chosen for it.

import { Chart } from './chart.js';
import { Grid } from './grid.js';
import * as history from './history.js';
import { CHARTS, COLUMNS_FIRST, COLUMNS_MAX, REMEMBERED } from './limits.js';
import { below, make, plain, short, timeOfDay } from './text.js';

/** Columns that agents and zones show first if they have them; then others, by name. */
const FIRST = ['nmembers', 'expected', 'load1', 'cpu', 'mem_used', 'disk_used_percent', 'net_rx', 'net_tx', 'uptime'];
const CHARTED = ['load1', 'cpu'];
/** What zones say of themselves for other agents. */
const INNER = ['contacts', 'rep', 'depth', 'oldest'];
const STORE = 'gcs-monitor.columns';

/** What was chosen before, by zone: `{ shown, charted }`. Whatever is found there is checked: it may be of another version. */
function remembered() {
  try {
    const all = JSON.parse(localStorage.getItem(STORE)) ?? [];
    const names = (list) => Array.isArray(list) && list.every((name) => typeof name === 'string');
    return new Map(all.filter(([zone, of]) => typeof zone === 'string' && names(of?.shown) && names(of?.charted)));
  } catch {
    return new Map();
  }
}

function remember(zone, choice) {
  const all = remembered();
  all.delete(zone);
  all.set(zone, choice);
  try {
    localStorage.setItem(STORE, JSON.stringify([...all].slice(-REMEMBERED)));
  } catch {
    // Where nothing may be kept, nothing is remembered.
  }
}

/** The rows of a zone's table, those that are gone with what they said last. */
export function rowsOf(state) {
  const { table, last, goneAt } = state;
  const zone = table.zone;
  const functions = table.functions.filter((of) => Array.isArray(of.columns));
  const rows = table.rows.map(({ child, attributes }) => {
    const values = Object.assign(Object.create(null), attributes, { id: child });
    const inner = attributes.depth !== undefined;
    const notes = Object.create(null);
    const missing = attributes.expected - attributes.nmembers;
    if (inner && missing > 0) notes.nmembers = `${missing} gone`;
    for (const { name, columns } of inner ? functions : []) {
      const said = attributes[`&${name}`];
      const fewer = typeof said === 'number' && said < attributes.nmembers;
      // In how many agents' words a number is founded, if not in all of them.
      if (fewer) columns.forEach((column) => { notes[column] = `${said} of ${attributes.nmembers}`; });
    }
    return { key: child, values, notes, open: inner ? `#${encodeURI(below(zone, child))}` : null };
  });
  const gone = table.gone.map((child) => {
    const since = goneAt.get(child);
    const values = Object.assign(Object.create(null), last.get(child), { id: child });
    return { key: child, values, gone: since === undefined ? 'gone' : `gone since ${timeOfDay(since)}` };
  });
  return [...rows, ...gone].sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** Adds a point to the history of a zone: what these columns are now. Who is gone says nothing. */
export function sample(state, columns, now) {
  history.add(state.table.zone, columns, rowsOf(state).filter((row) => !row.gone), now);
}

export class ZonePanel {
  #choice = null;
  #all = [];
  #charts = new Map();
  #state = null;

  constructor() {
    this.grid = new Grid('The zone\'s children', { sortable: true, sort: { name: 'id', down: false } });
    this.filter = make('input', { type: 'search', id: 'filter', placeholder: 'Filter rows', 'aria-label': 'Filter rows', input: () => {
      this.grid.filter = this.filter.value;
    } });
    this.list = make('ul', {});
    const summary = make('summary', {}, 'Columns');
    this.chooser = make('details', { class: 'chooser', toggle: () => this.#choose() }, summary, this.list);
    this.charts = make('div', { class: 'charts' });
    const bar = make('div', { class: 'bar' }, this.filter, this.chooser);
    this.element = make('div', {}, this.charts, bar, this.grid.element);
    document.addEventListener('click', (event) => {
      if (!this.chooser.contains(event.target)) this.chooser.open = false;
    });
    this.chooser.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return;
      this.chooser.open = false;
      summary.focus();
    });
  }

  /** Another zone is shown. */
  choose(zone) {
    this.zone = zone;
    this.#choice = null;
    this.#state = null;
    this.chooser.open = false;
    this.filter.value = '';
    this.grid.filter = '';
    this.grid.clear();
    this.grid.columns = ['id'];
    this.#setCharts([]);
  }

  /** Its table has come. */
  show(state) {
    this.#state = state;
    const rows = rowsOf(state);
    const names = new Set(rows.flatMap((row) => Object.keys(row.values)));
    names.delete('id');
    this.#all = [...names].sort().slice(0, COLUMNS_MAX);
    this.#numeric = new Set(this.#all.filter((name) => rows.some((row) => typeof row.values[name] === 'number')));
    this.#choice ??= remembered().get(this.zone) ?? null;
    const choice = this.#choice ?? this.#first();
    this.grid.columns = ['id', ...choice.shown.filter((name) => names.has(name))];
    this.grid.rows = rows;
    this.#setCharts(choice.charted.filter((name) => names.has(name)).slice(0, CHARTS));
  }

  #numeric = new Set();

  #first() {
    const good = this.#all.filter((name) => !INNER.includes(name) && !name.startsWith('&'));
    const inner = this.#state?.table.rows.some((row) => row.attributes.depth !== undefined);
    const plainly = good.filter((name) => inner || (name !== 'nmembers' && name !== 'expected'));
    const first = FIRST.filter((name) => plainly.includes(name));
    const own = inner ? [] : ['id'];
    const others = plainly.filter((name) => !first.includes(name) && !own.includes(name));
    const shown = [...first, ...others].slice(0, COLUMNS_FIRST);
    return { shown, charted: CHARTED.filter((name) => this.#numeric.has(name)) };
  }

  #setCharts(names) {
    const same = names.length === this.#charts.size && names.every((name) => this.#charts.has(name));
    if (same) return;
    this.#charts = new Map(names.map((name) => [name, this.#charts.get(name) ?? new Chart(name)]));
    this.charts.replaceChildren(...[...this.#charts.values()].map((chart) => chart.element));
    this.drawCharts();
  }

  /** A moment later: the next point of every chart. */
  sample(now) {
    if (!this.#state || this.#charts.size === 0) return;
    sample(this.#state, [...this.#charts.keys()], now);
    this.drawCharts();
  }

  drawCharts() {
    for (const chart of this.#charts.values()) chart.draw(history.of(this.zone));
  }

  /** The list of columns, made when it is opened: with a table that changes it would not hold still. */
  #choose() {
    if (!this.chooser.open) return;
    const choice = structuredClone(this.#choice ?? this.#first());
    const box = (name, list, label, able) => {
      const input = make('input', { type: 'checkbox', 'aria-label': `${label} ${short(plain(name))}`, checked: choice[list].includes(name), disabled: !able });
      input.addEventListener('change', () => {
        choice[list] = choice[list].filter((other) => other !== name);
        if (input.checked) choice[list].push(name);
        if (list === 'charted') choice.charted = choice.charted.slice(-CHARTS);
        this.#choice = choice;
        remember(this.zone, choice);
        if (this.#state) this.show(this.#state);
      });
      return input;
    };
    const lines = this.#all.map((name) => make('li', {},
      make('label', {}, box(name, 'shown', 'Show', true), make('span', {}, short(plain(name)))),
      make('label', { class: 'draw' }, box(name, 'charted', 'Chart', this.#numeric.has(name)), 'chart')));
    this.list.replaceChildren(...lines);
  }
}
