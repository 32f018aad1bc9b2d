// A table that is drawn again and again: a row stays the same element for as long as its key is there, so that nothing jumps, and what
// is selected or has the focus stays so.

import { ROWS_DRAWN } from './limits.js';
import { make, plain, short, shown, write } from './text.js';

const ORDER = new Intl.Collator('en', { numeric: true });

/** Numbers before text, what is not known at the end. */
function compare(a, b) {
  const rank = (value) => (value === null || value === undefined ? 2 : typeof value === 'number' ? 0 : 1);
  if (rank(a) !== rank(b)) return rank(a) - rank(b);
  return rank(a) === 0 ? a - b : ORDER.compare(shown(a), shown(b));
}

/**
 * A row: `key` (text), `values` (by column), and if there are such `gone` (a note), `open` (where the first cell leads), `notes` (by
 * column, small and beside the value), `kind` (a class).
 */
export class Grid {
  #columns = [];
  #rows = [];
  #drawn = new Map();
  #sort;
  #filter = '';
  #limit = ROWS_DRAWN;

  /** @param label for those who do not see it; `sortable`: whether the order is the reader's, and each row is of something with a name. */
  constructor(label, { sortable = false, sort = null } = {}) {
    this.#sort = sort;
    this.sortable = sortable;
    this.head = make('tr');
    this.body = make('tbody');
    this.table = make('table', { 'aria-label': label }, make('thead', {}, this.head), this.body);
    this.more = make('button', { class: 'more', type: 'button', hidden: true, click: () => {
      this.#limit += ROWS_DRAWN;
      this.draw();
    } });
    this.none = make('p', { class: 'none', hidden: true });
    const scroll = make('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': label }, this.table);
    this.element = make('div', { class: 'grid' }, scroll, this.none, this.more);
  }

  set filter(text) {
    this.#filter = text.trim().toLowerCase();
    this.draw();
  }

  /** Shows other columns, by name. */
  set columns(names) {
    if (names.length === this.#columns.length && names.every((name, n) => name === this.#columns[n].name)) return;
    this.#columns = names.map((name) => ({ name, width: 0, numeric: false, head: null }));
    this.#drawn.clear();
    this.body.replaceChildren();
    this.head.replaceChildren(...this.#columns.map((column) => this.#heading(column)));
  }

  /** Shows nothing: it is not known yet whether there are rows. */
  clear() {
    this.rows = [];
    this.element.hidden = true;
  }

  set rows(rows) {
    this.element.hidden = false;
    this.#rows = rows;
    this.draw();
  }

  #heading(column) {
    const name = short(plain(column.name));
    const inside = this.sortable
      ? make('button', { type: 'button', title: `Sort by ${name}`, click: () => this.#sortBy(column.name) }, name)
      : name;
    column.head = make('th', { scope: 'col' }, inside);
    return column.head;
  }

  #sortBy(name) {
    const same = this.#sort?.name === name;
    this.#sort = { name, down: same ? !this.#sort.down : typeof this.#rows[0]?.values[name] === 'number' };
    this.draw();
  }

  #chosen() {
    let rows = this.#rows;
    if (this.#filter) {
      const has = (row) => this.#columns.some(({ name }) => shown(row.values[name], name).toLowerCase().includes(this.#filter));
      rows = rows.filter(has);
    }
    if (this.sortable && this.#sort) {
      const { name, down } = this.#sort;
      const known = (row) => row.values[name] !== null && row.values[name] !== undefined;
      rows = [...rows].sort((a, b) => {
        const order = compare(a.values[name], b.values[name]);
        return down && known(a) && known(b) ? -order : order;
      });
    }
    return rows;
  }

  draw() {
    const chosen = this.#chosen();
    const rows = chosen.slice(0, this.#limit);
    for (const column of this.#columns) {
      column.numeric = rows.some((row) => typeof row.values[column.name] === 'number');
      column.head.className = column.numeric ? 'number' : '';
      const sorted = this.sortable && this.#sort?.name === column.name;
      if (sorted) column.head.setAttribute('aria-sort', this.#sort.down ? 'descending' : 'ascending');
      else column.head.removeAttribute('aria-sort');
    }
    const keep = new Set(rows.map((row) => row.key));
    for (const [key, element] of this.#drawn) {
      if (keep.has(key)) continue;
      element.remove();
      this.#drawn.delete(key);
    }
    rows.forEach((row, n) => {
      const element = this.#row(row);
      if (this.body.children[n] !== element) this.body.insertBefore(element, this.body.children[n] ?? null);
    });
    const left = chosen.length - rows.length;
    this.more.hidden = left === 0;
    write(this.more, `… ${left.toLocaleString('en-GB')} more`);
    this.none.hidden = chosen.length > 0;
    write(this.none, this.#rows.length ? 'No row has this in it.' : 'There are no rows.');
    this.#widen();
  }

  #row(row) {
    let element = this.#drawn.get(row.key);
    if (!element) {
      const cells = this.#columns.map((_, n) => (this.sortable && n === 0 ? make('th', { scope: 'row' }) : make('td')));
      element = make('tr', {}, ...cells);
      this.#drawn.set(row.key, element);
    }
    element.className = row.gone ? 'gone' : row.kind ?? '';
    this.#columns.forEach((column, n) => this.#cell(element.children[n], row, column, n));
    return element;
  }

  #cell(cell, row, { name, numeric }, n) {
    const value = row.values[name];
    const text = shown(value, name);
    const note = (n === 0 && row.gone) || row.notes?.[name] || '';
    const says = `${text}\n${note}\n${n === 0 && row.open ? row.open : ''}`;
    if (cell.says === says && cell.numeric === numeric) return;
    cell.says = says;
    cell.numeric = numeric;
    const unknown = value === null || value === undefined;
    cell.className = `${numeric ? 'number' : ''}${unknown ? ' unknown' : ''}`.trim();
    const exact = typeof value === 'number' ? String(value) : text;
    const head = short(text);
    if (exact !== head) cell.title = exact;
    else cell.removeAttribute('title');
    const inside = n === 0 && row.open ? make('a', { href: row.open }, head) : head;
    const small = note ? [make('small', {}, note)] : [];
    // Numbers stay under each other.
    cell.replaceChildren(...(numeric ? [...small, inside] : [inside, ...small]));
  }

  /** Columns become wider with what is in them, and never narrower: numbers that change do not move what stands beside them. */
  #widen() {
    if (!this.element.isConnected || !this.element.offsetParent) return;
    for (const column of this.#columns) {
      const width = Math.ceil(column.head.getBoundingClientRect().width);
      if (width <= column.width) continue;
      column.width = width;
      column.head.style.minWidth = `${width}px`;
    }
  }
}
