// Questions in SQL: asked once, watched, or installed as a function; mistakes are shown where they are.

import { address, Away, follow, get, post, Refused, remove } from './agent.js';
import { Grid } from './grid.js';
import { EVERYWHERE_MS } from './limits.js';
import { make, plain, short, write, writeCompleteness } from './text.js';

/** Characters beside a mistake that are shown of its line. */
const AROUND = 60;

/** The line with the mistake, and a mark under it. Columns count characters, from 1. */
function mark(text, line, column) {
  const all = Array.from(text.split('\n')[line - 1] ?? '');
  const at = Math.max(0, Math.min(column - 1, all.length));
  let end = at + 1;
  while (end < all.length && /[\w&]/.test(all[at]) && /[\w&]/.test(all[end])) end += 1;
  const from = Math.max(0, at - AROUND);
  const lead = plain(all.slice(from, at).join(''));
  const wrong = plain(all.slice(at, end).join('')) || ' ';
  const rest = plain(all.slice(end, end + AROUND).join(''));
  const pre = make('pre', {}, `${from ? '…' : ''}${lead}`, make('mark', {}, wrong), rest);
  pre.append(`\n${' '.repeat(Array.from(lead).length + (from ? 1 : 0))}`, make('b', {}, '^'.repeat(Array.from(wrong).length)));
  return pre;
}

/** Where the mistake is in the text: its index in UTF-16. */
function index(text, line, column) {
  const lines = text.split('\n');
  const before = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
  return before + Array.from(lines[line - 1] ?? '').slice(0, column - 1).join('').length;
}

export class AskPanel {
  #zone = '/';
  #end = null;
  #asked = 0;

  constructor(installed) {
    this.installed = installed;
    this.text = make('textarea', { id: 'sql', rows: '4', spellcheck: 'false', autocomplete: 'off', autocapitalize: 'off', 'aria-label': 'Question in SQL',
      'aria-describedby': 'mistake', keydown: (event) => {
        if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
        event.preventDefault();
        this.#ask();
      } });
    this.text.value = 'SELECT COUNT(*) AS n';
    const choice = (value, checked) => make('input', { type: 'radio', name: 'scope', value, checked, change: () => this.#stop() });
    this.children = choice('children', true);
    this.everywhere = choice('everywhere', false);
    this.whose = [make('b'), make('b')];
    const scope = make('fieldset', {}, make('legend', { class: 'unseen' }, 'Whom to ask'),
      make('label', {}, this.children, make('span', {}, 'the children of ', this.whose[0])),
      make('label', {}, this.everywhere, make('span', {}, 'all agents in ', this.whose[1])));
    this.watch = make('button', { type: 'button', id: 'watch', 'aria-pressed': 'false', click: () => (this.#end ? this.#stop() : this.#watch()) }, 'Keep watching');
    this.name = make('input', { type: 'text', id: 'function-name', maxlength: '64', placeholder: 'name', 'aria-label': 'Name of the function', autocomplete: 'off', spellcheck: 'false' });
    const install = make('form', { class: 'install', submit: (event) => {
      event.preventDefault();
      this.#install();
    } }, this.name, make('button', { type: 'submit', id: 'install' }, 'Install as function'));
    const buttons = make('div', { class: 'bar' },
      make('button', { type: 'button', id: 'ask', class: 'main', title: 'Ctrl+Enter', click: () => this.#ask() }, 'Ask'), this.watch, scope, install);
    this.columns = make('p', { class: 'columns' });
    this.mistake = make('div', { id: 'mistake', class: 'mistake', role: 'alert' });
    this.done = make('p', { class: 'done', role: 'status', id: 'done' });
    this.says = make('p', { class: 'complete', id: 'answer-complete' });
    this.faults = make('p', { class: 'faults' });
    this.grid = new Grid('The answer');
    this.result = make('div', { id: 'answer', hidden: true }, this.says, this.faults, this.grid.element);
    this.element = make('div', {}, this.text, this.columns, buttons, this.mistake, this.done, this.result);
  }

  choose(zone) {
    if (zone === this.#zone && this.whose[0].textContent) return;
    this.#zone = zone;
    this.#stop();
    this.whose.forEach((of) => write(of, plain(zone)));
    this.#clear();
    this.result.hidden = true;
  }

  /** The columns that can be asked for: a click writes one. */
  offer(names) {
    const key = names.join('\n');
    if (key === this.offered) return;
    this.offered = key;
    this.columns.replaceChildren('Columns: ', ...names.map((name) => make('button', { type: 'button', class: 'chip', click: () => {
      const bare = /^[A-Za-z_]\w*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
      this.text.setRangeText(bare, this.text.selectionStart, this.text.selectionEnd, 'end');
      this.text.focus();
    } }, short(plain(name)))));
  }

  #clear() {
    this.mistake.replaceChildren();
    this.text.removeAttribute('aria-invalid');
    write(this.done, '');
  }

  #refused(e, sql) {
    const message = e instanceof Refused || e instanceof Away ? e.message : String(e);
    const parts = [make('p', {}, plain(message))];
    if (e.line) {
      parts.push(mark(sql, e.line, e.column ?? 1));
      this.text.setAttribute('aria-invalid', 'true');
      if (this.text.value === sql) {
        const at = index(sql, e.line, e.column ?? 1);
        this.text.setSelectionRange(at, at);
      }
    }
    this.mistake.replaceChildren(...parts);
  }

  #show(answer) {
    this.result.hidden = false;
    writeCompleteness(this.says, answer);
    write(this.faults, answer.faults.length ? `Not known (–) because: ${answer.faults.map(plain).join('; ')}` : '');
    this.grid.columns = answer.columns;
    this.grid.rows = answer.rows.map((row, n) => {
      const values = Object.create(null);
      answer.columns.forEach((name, m) => { values[name] = row[m]; });
      return { key: String(n), values };
    });
  }

  /** Does something with the question; of several, only what came of the last one is shown. */
  async #with(what) {
    this.#stop();
    this.#clear();
    this.#asked += 1;
    const [asked, sql] = [this.#asked, this.text.value];
    this.element.setAttribute('aria-busy', 'true');
    try {
      await what(sql, () => asked === this.#asked);
    } catch (e) {
      if (asked === this.#asked) this.#refused(e, sql);
    } finally {
      if (asked === this.#asked) this.element.removeAttribute('aria-busy');
    }
  }

  #ask() {
    const zone = this.#zone;
    return this.#with(async (sql, current) => {
      const ask = this.everywhere.checked ? this.#askAll(sql, zone, current) : post('/v1/query', { sql, zone });
      const answer = await ask;
      if (current() && answer) this.#show(answer);
    });
  }

  /** Installs the question, waits until all have answered, and removes it. If this page ends meanwhile, it is over by itself. */
  async #askAll(sql, zone, current) {
    const name = `asked-${crypto.getRandomValues(new Uint32Array(1))[0].toString(16).padStart(8, '0')}`;
    const until = Date.now() + EVERYWHERE_MS;
    await post('/v1/functions', { name, sql, zone, for_s: Math.ceil(EVERYWHERE_MS / 1000) + 30 });
    const of = `/v1/functions/${encodeURIComponent(name)}`;
    try {
      for (;;) {
        const answer = await get(`${of}/answer`, [['zone', zone]]);
        const c = answer.completeness;
        if (!current() || c.reported >= c.members || Date.now() > until) return answer;
        this.#show(answer);
        await new Promise((go) => { setTimeout(go, 150); });
      }
    } finally {
      await remove(of, [['zone', zone]]).catch(() => {});
    }
  }

  #watch() {
    const zone = this.#zone;
    this.everywhere.checked = false;
    this.children.checked = true;
    return this.#with(async (sql, current) => {
      // A mistake is told with its place here; a stream could only break off.
      const answer = await post('/v1/query', { sql, zone });
      if (!current()) return;
      this.#show(answer);
      this.watch.setAttribute('aria-pressed', 'true');
      write(this.watch, 'Stop watching');
      this.#end = follow(address('/v1/watch', [['sql', sql], ['zone', zone]]), (event, data) => {
        if (event === 'answer') {
          this.mistake.replaceChildren();
          this.#show(JSON.parse(data));
        } else if (event === 'error') this.#refused(new Refused(data), sql);
      }, (e) => this.#refused(e, sql));
    });
  }

  #stop() {
    this.#end?.();
    this.#end = null;
    this.watch.setAttribute('aria-pressed', 'false');
    write(this.watch, 'Keep watching');
  }

  #install() {
    const [zone, name] = [this.#zone, this.name.value.trim()];
    if (!name) {
      this.name.focus();
      return null;
    }
    return this.#with(async (sql) => {
      const says = await post('/v1/functions', { name, sql, zone });
      const cost = says.cost ? `; at most ${says.cost.bytes} bytes in each zone` : '';
      write(this.done, `${plain(says.name)} is installed for ${plain(says.zone)}, until ${Math.round(says.expires_in_s / 86400)} days from now${cost}.`);
      this.name.value = '';
      this.installed();
    });
  }
}
