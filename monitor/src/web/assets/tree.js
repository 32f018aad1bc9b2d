// The tree of zones, opened lazily: only open zones are followed. Keys are those of every tree (WAI-ARIA: tree view).

import { CHILDREN_DRAWN } from './limits.js';
import { below, count, make, plain, short, UNKNOWN, write } from './text.js';

/** What a zone's row, or the table of the root, says of how many agents it has. */
export function members(state) {
  const rows = state?.table?.rows ?? [];
  const sum = rows.reduce((all, row) => all + (Number(row.attributes.nmembers) || 0), 0);
  return { members: sum, expected: Math.max(sum, Number(state?.table?.expected) || 0) };
}

export class Tree {
  #nodes = new Map();
  #focus = '/';

  /** @param on `choose(path)`, `open(path, whether)`. */
  constructor(element, on) {
    this.element = element;
    this.on = on;
    element.addEventListener('keydown', (event) => this.#key(event));
  }

  /** Draws it anew: `zones` by path, the paths of those that are `open`, and the one that is `chosen`. */
  draw(zones, open, chosen) {
    this.open = open;
    const seen = new Set();
    const root = this.#node('/', '/', this.element, 0, 1);
    const says = members(zones.get('/'));
    this.#show(root, { path: '/', zones, chosen, seen, deep: true, row: zones.get('/')?.table ? { nmembers: says.members, expected: says.expected } : null });
    for (const [path, node] of this.#nodes) {
      if (seen.has(path)) continue;
      node.item.remove();
      this.#nodes.delete(path);
    }
    if (!this.#nodes.has(this.#focus)) this.#focus = chosen;
    for (const [path, node] of this.#nodes) node.item.tabIndex = path === this.#focus ? 0 : -1;
  }

  #node(path, name, parent, place, level) {
    let node = this.#nodes.get(path);
    if (!node) {
      const twisty = make('span', { class: 'twisty', 'aria-hidden': 'true', click: (event) => {
        event.stopPropagation();
        this.on.open(path, !this.open.has(path));
      } });
      const [label, number] = [make('span', { class: 'name' }, short(plain(name))), make('span', { class: 'count' })];
      const line = make('div', { class: 'node', click: () => this.#choose(path) }, twisty, label, number);
      const group = make('ul', { role: 'group' });
      line.style.paddingInlineStart = `${(level - 1) * 14 + 6}px`;
      const item = make('li', { role: 'treeitem', 'aria-level': level, 'data-path': path }, line, group);
      node = { item, line, twisty, number, group, level };
      this.#nodes.set(path, node);
    }
    if (parent.children[place] !== node.item) parent.insertBefore(node.item, parent.children[place] ?? null);
    return node;
  }

  #show(node, { path, zones, chosen, seen, deep, row }) {
    seen.add(path);
    const open = this.open.has(path) && deep;
    if (deep) node.item.setAttribute('aria-expanded', String(open));
    else node.item.removeAttribute('aria-expanded');
    node.item.setAttribute('aria-selected', String(path === chosen));
    write(node.twisty, deep ? (open ? '▾' : '▸') : '');
    const known = row && typeof row.nmembers === 'number';
    const expected = known ? Math.max(row.nmembers, Number(row.expected) || 0) : 0;
    const missing = known && expected > row.nmembers;
    write(node.number, row === undefined ? 'gone' : known ? count(row.nmembers, expected) : UNKNOWN);
    node.line.className = `node${row === undefined ? ' gone' : ''}${missing ? ' missing' : ''}${path === chosen ? ' chosen' : ''}`;
    node.line.title = missing ? `${expected - row.nmembers} gone` : '';
    const children = open ? this.#children(zones.get(path)) : [];
    children.forEach(([child, attributes], n) => {
      const at = below(path, child);
      const inner = this.#node(at, child, node.group, n, node.level + 1);
      const further = attributes === undefined ? false : Number(attributes.depth) > 1;
      this.#show(inner, { path: at, zones, chosen, seen, deep: further, row: attributes });
    });
  }

  /** The zones among the children; agents are in the table. A zone that is gone was seen before. */
  #children(state) {
    const rows = (state?.table?.rows ?? []).filter((row) => row.attributes.depth !== undefined);
    const all = rows.map((row) => [row.child, row.attributes]);
    for (const child of state?.table?.gone ?? []) {
      if (state.last.get(child)?.depth !== undefined) all.push([child, undefined]);
    }
    return all.sort(([a], [b]) => (a < b ? -1 : 1)).slice(0, CHILDREN_DRAWN);
  }

  #choose(path) {
    this.#focus = path;
    this.on.choose(path);
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const shown = [...this.element.querySelectorAll('[role=treeitem]')];
    const at = shown.findIndex((item) => item.dataset.path === this.#focus);
    const path = this.#focus;
    const expandable = shown[at]?.hasAttribute('aria-expanded');
    const open = this.open.has(path) && expandable;
    const go = (item) => {
      if (!item) return;
      this.#focus = item.dataset.path;
      shown.forEach((other) => { other.tabIndex = other === item ? 0 : -1; });
      item.focus();
    };
    const keys = {
      ArrowDown: () => go(shown[at + 1]),
      ArrowUp: () => go(shown[at - 1]),
      Home: () => go(shown[0]),
      End: () => go(shown[shown.length - 1]),
      ArrowRight: () => (expandable && !open ? this.on.open(path, true) : open && go(shown[at + 1])),
      ArrowLeft: () => (open ? this.on.open(path, false) : go(shown[at]?.parentElement.closest('[role=treeitem]'))),
      Enter: () => this.on.choose(path),
      ' ': () => this.on.choose(path),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }
}
