// The functions of a zone, and what they say of it.

import { get, remove } from './agent.js';
import { Grid } from './grid.js';
import { FUNCTIONS_MS } from './limits.js';
import { make, plain, seconds, short, write, writeCompleteness } from './text.js';

/** One function. */
class Card {
  constructor(name, removed) {
    this.sql = make('code');
    this.about = make('p', { class: 'about' });
    this.says = make('p', { class: 'complete' });
    this.error = make('p', { class: 'mistake' });
    this.grid = new Grid(`What ${short(plain(name))} says`);
    // Asked again before anything is done: it is everybody's.
    const sure = make('button', { type: 'button', class: 'danger', hidden: true, click: () => removed(this) }, 'Remove for all');
    const keep = make('button', { type: 'button', hidden: true, click: () => ask(false) }, 'Keep');
    const begin = make('button', { type: 'button', class: 'begin', 'aria-label': `Remove ${short(plain(name))}`, click: () => ask(true) }, 'Remove');
    const ask = (is) => {
      [sure.hidden, keep.hidden, begin.hidden] = [!is, !is, is];
      (is ? keep : begin).focus();
    };
    const head = make('div', { class: 'head' }, make('h3', {}, short(plain(name))), this.about, sure, keep, begin);
    this.element = make('article', { 'data-name': name }, head, this.sql, this.grid.element, this.says, this.error);
  }

  show(of) {
    write(this.sql, plain(of.sql));
    const strong = of.strong ? 'strong, ' : '';
    write(this.about, `${strong}ends in ${seconds(of.expires_in_s)}`);
    write(this.error, of.error ? plain(of.error) : '');
    const answer = of.answer;
    this.grid.element.hidden = !answer;
    if (!answer) return write(this.says, of.error ? '' : 'No answer yet.');
    writeCompleteness(this.says, answer);
    this.grid.columns = answer.columns;
    this.grid.rows = answer.rows.map((row, n) => {
      const values = Object.create(null);
      answer.columns.forEach((name, m) => { values[name] = row[m]; });
      return { key: String(n), values };
    });
  }
}

export class FunctionsPanel {
  #zone = '/';
  #cards = new Map();
  #timer = null;
  #look = 0;

  constructor() {
    this.list = make('div', { class: 'functions' });
    this.none = make('p', { class: 'none' });
    this.error = make('p', { class: 'mistake', role: 'alert' });
    this.element = make('div', {}, this.error, this.none, this.list);
  }

  choose(zone) {
    if (zone === this.#zone) return;
    this.#zone = zone;
    this.#cards.clear();
    this.list.replaceChildren();
    write(this.none, '');
    write(this.error, '');
    if (this.#timer !== null) this.shown(true);
  }

  /** Asks for them for as long as they are seen. */
  shown(is) {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#look += 1;
    if (is) this.#again(this.#look);
  }

  async #again(look) {
    this.#timer = 0;
    try {
      const says = await get('/v1/functions', [['zone', this.#zone]]);
      if (look !== this.#look) return;
      write(this.error, '');
      this.#show(says.functions);
    } catch (e) {
      if (look !== this.#look) return;
      write(this.error, plain(e.message));
    }
    this.#timer = setTimeout(() => this.#again(look), FUNCTIONS_MS);
  }

  #show(functions) {
    const names = new Set(functions.map((of) => of.name));
    for (const [name, card] of this.#cards) {
      if (names.has(name)) continue;
      card.element.remove();
      this.#cards.delete(name);
    }
    write(this.none, functions.length ? '' : `${plain(this.#zone)} has no functions. A question that is installed as one is answered from then on, for all agents in the zone.`);
    functions.forEach((of, n) => {
      const card = this.#cards.get(of.name) ?? new Card(of.name, (card) => this.#remove(of.name, card));
      this.#cards.set(of.name, card);
      if (this.list.children[n] !== card.element) this.list.insertBefore(card.element, this.list.children[n] ?? null);
      card.show(of);
    });
  }

  async #remove(name, card) {
    card.element.setAttribute('aria-busy', 'true');
    try {
      await remove(`/v1/functions/${encodeURIComponent(name)}`, [['zone', this.#zone]]);
      this.shown(true);
    } catch (e) {
      write(this.error, plain(e.message));
      card.element.removeAttribute('aria-busy');
    }
  }
}
