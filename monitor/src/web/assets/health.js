// Components, how they are, and how they were: what the representatives agreed on (docs/health.md). The same in every zone.

import { get } from './agent.js';
import { Grid } from './grid.js';
import { COMPONENTS_DRAWN, HEALTH_MS } from './limits.js';
import { make, plain, short, timeOfDay, UNKNOWN, write } from './text.js';

const KINDS = ['up', 'down', 'unknown', 'gone'];
const kind = (health) => (KINDS.includes(health) ? health : 'unknown');

/** From when to when each instance was how: the verdicts are the ends of it. */
function spans(verdicts, now) {
  const open = new Map();
  const all = new Map();
  for (const { instance, health, cause, at_ms: at } of verdicts) {
    const list = all.get(instance) ?? [];
    all.set(instance, list);
    const before = open.get(instance);
    if (before) before.to = Math.max(before.from, at);
    const span = { from: at, to: now, health: kind(health), cause: String(cause) };
    open.set(instance, span);
    list.push(span);
  }
  return all;
}

/** A component with its instances. */
class Component {
  constructor(name) {
    this.name = name;
    this.position = null;
    this.verdicts = [];
    this.counts = make('p', { class: 'about' });
    this.grid = new Grid(`Instances of ${short(plain(name))}`, { sortable: true, sort: { name: 'instance', down: false } });
    this.grid.columns = ['instance', 'health', 'since', 'address', 'observers'];
    this.rows = make('div', { class: 'timeline', role: 'img' });
    this.span = make('p', { class: 'axis' }, make('span'), make('span', {}, 'now'));
    this.element = make('article', { 'data-component': name }, make('div', { class: 'head' }, make('h3', {}, short(plain(name))), this.counts),
      this.grid.element, this.rows, this.span);
  }

  show(listed) {
    const of = (health) => listed.instances.filter(({ standing }) => kind(standing.health) === health).length;
    const counts = KINDS.map((health) => [health, of(health)]).filter(([health, n]) => n > 0 || health === 'up');
    write(this.counts, `${counts.map(([health, n]) => `${n} ${health}`).join(', ')} of ${listed.instances.length}`);
    this.counts.classList.toggle('missing', of('up') < listed.instances.length);
    this.grid.rows = listed.instances.map(({ standing, held, opinions }) => ({
      key: standing.instance,
      values: {
        instance: standing.instance,
        health: held ? 'down, held: it goes up and down too often' : standing.health,
        since: timeOfDay(standing.since_ms / 1000),
        address: standing.address,
        observers: opinions.length === 0 ? null : opinions.map(({ observer, finding, evidence }) => `${observer}: ${finding}${evidence ? ` (${evidence})` : ''}`),
      },
      kind: kind(standing.health),
    }));
  }

  /** The timeline: as long ago as the verdicts reach that are kept. */
  draw(now) {
    const all = [...spans(this.verdicts, now)].sort(([a], [b]) => (a < b ? -1 : 1));
    this.rows.hidden = all.length === 0;
    this.span.hidden = all.length === 0;
    if (all.length === 0) return;
    const from = Math.min(...all.flatMap(([, list]) => list.map((span) => span.from)), now - 60000);
    const part = (ms) => `${((100 * ms) / (now - from)).toFixed(3)}%`;
    const lines = all.map(([instance, list]) => {
      const track = make('div', { class: 'track' });
      for (const span of list) {
        const bar = make('i', { class: span.health, title: `${span.health} (${plain(span.cause)}) from ${timeOfDay(span.from / 1000)}` });
        bar.style.left = part(span.from - from);
        bar.style.width = part(span.to - span.from);
        track.append(bar);
      }
      return make('div', { class: 'line' }, make('span', {}, short(plain(instance))), track);
    });
    this.rows.replaceChildren(...lines);
    const said = all.map(([instance, list]) => `${plain(instance)} ${list.map((span) => `${span.health} from ${timeOfDay(span.from / 1000)}`).slice(-4).join(', ')}`);
    this.rows.setAttribute('aria-label', `How the instances were: ${said.join('; ')}`);
    write(this.span.firstChild, timeOfDay(from / 1000));
  }
}

export class HealthPanel {
  #components = new Map();
  #timer = null;
  #look = 0;

  constructor() {
    this.list = make('div', { class: 'functions' });
    this.none = make('p', { class: 'none' });
    this.error = make('p', { class: 'mistake', role: 'alert' });
    this.element = make('div', {}, this.error, this.none, this.list);
  }

  choose() {}

  shown(is) {
    clearTimeout(this.#timer);
    this.#look += 1;
    if (is) this.#again(this.#look);
  }

  async #again(look) {
    try {
      const says = await get('/v1/health');
      if (look !== this.#look) return;
      write(this.error, '');
      await this.#show(says, look);
    } catch (e) {
      if (look !== this.#look) return;
      write(this.error, plain(e.message));
    }
    if (look === this.#look) this.#timer = setTimeout(() => this.#again(look), HEALTH_MS);
  }

  async #show({ known, components }, look) {
    const left = components.length - COMPONENTS_DRAWN;
    write(this.none, !known ? 'This agent is not told where component health is agreed on: start it with --health ADDR:PORT, the --listen of `gcs-monitor health serve`.'
      : components.length === 0 ? 'No component is registered.' : left > 0 ? `… ${left} more: gcs-monitor health list` : UNKNOWN);
    this.none.hidden = known && components.length > 0 && left <= 0;
    const drawn = components.slice(0, COMPONENTS_DRAWN);
    const names = new Set(drawn.map((listed) => listed.component));
    for (const [name, component] of this.#components) {
      if (names.has(name)) continue;
      component.element.remove();
      this.#components.delete(name);
    }
    for (const [n, listed] of drawn.entries()) {
      const component = this.#components.get(listed.component) ?? new Component(listed.component);
      this.#components.set(listed.component, component);
      if (this.list.children[n] !== component.element) this.list.insertBefore(component.element, this.list.children[n] ?? null);
      component.show(listed);
      const position = `${listed.position.history} ${listed.position.seq}`;
      if (component.position !== position) {
        component.verdicts = (await get(`/v1/health/${encodeURIComponent(listed.component)}`)).verdicts;
        if (look !== this.#look) return;
        component.position = position;
      }
      component.draw(Date.now());
    }
  }
}
