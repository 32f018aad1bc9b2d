// The page: which zone is chosen, what is followed, and whether the agent is there.

import { address, follow, get, onReach, tryNow } from './agent.js';
import { AskPanel } from './ask.js';
import { FunctionsPanel } from './functions.js';
import { HealthPanel } from './health.js';
import * as history from './history.js';
import { SAMPLE_MS, ZONES_HELD, ZONES_OPEN } from './limits.js';
import { count, make, plain, seconds, timeOfDay, write } from './text.js';
import { members, Tree } from './tree.js';
import { sample, ZonePanel } from './zone.js';

const at = (id) => document.getElementById(id);

/** By path: the table that came last, what its children said last, and when they went as far as this page saw it. */
const zones = new Map();
const open = new Set(['/']);
let chosen = null;
let awaySince = null;

const tree = new Tree(at('tree'), {
  choose: (path) => { location.hash = encodeURI(path); },
  open: (path, is) => {
    if (is) open.add(path);
    // Whoever closes a zone closes those in it.
    else [...open].filter((other) => other === path || other.startsWith(path === '/' ? path : `${path}/`)).forEach((other) => open.delete(other));
    followed();
  },
});
const table = new ZonePanel();
const functions = new FunctionsPanel();
const ask = new AskPanel(() => functions.shown(shownPanel === 'functions'));

/** What is shown of a zone. Another one is a line here. */
const PANELS = [
  { id: 'table', title: 'Table', panel: table },
  { id: 'ask', title: 'Ask', panel: ask },
  { id: 'functions', title: 'Functions', panel: functions },
  { id: 'health', title: 'Health', panel: new HealthPanel() },
];
let shownPanel = 'table';

function tabs() {
  const buttons = PANELS.map(({ id, title, panel }) => {
    at('panels').append(make('section', { id: `panel-${id}`, role: 'tabpanel', 'aria-labelledby': `tab-${id}`, hidden: true }, panel.element));
    return make('button', { id: `tab-${id}`, type: 'button', role: 'tab', 'aria-controls': `panel-${id}`, click: () => show(id) }, title);
  });
  at('tabs').append(...buttons);
  at('tabs').addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const now = PANELS.findIndex(({ id }) => id === shownPanel);
    show(PANELS[(now + step + PANELS.length) % PANELS.length].id);
    at(`tab-${shownPanel}`).focus();
  });
  show('table');
}

function show(id) {
  shownPanel = id;
  for (const of of PANELS) {
    const is = of.id === id;
    at(`panel-${of.id}`).hidden = !is;
    at(`tab-${of.id}`).setAttribute('aria-selected', String(is));
    at(`tab-${of.id}`).tabIndex = is ? 0 : -1;
    of.panel.shown?.(is);
  }
  if (id === 'table') redraw();
}

/** The zone that the address names. */
function fromAddress() {
  let path = '/';
  try {
    path = decodeURI(location.hash.slice(1)) || '/';
  } catch {
    // Half an escape is no zone.
  }
  if (!path.startsWith('/') || path === chosen) return;
  chosen = path;
  // The zones around it are open.
  const parts = path.split('/').filter(Boolean);
  parts.forEach((_, n) => open.add(n === 0 ? '/' : `/${parts.slice(0, n).join('/')}`));
  document.title = `${plain(path)} – gcs-monitor`;
  write(at('zone'), plain(path));
  PANELS.forEach(({ panel }) => panel.choose(path));
  followed();
}

let ends = () => {};
let follows = '';
let paths = [];

/** Follows the zones that are seen: the root, the chosen one, the open ones, and those with charts; all in one stream. */
function followed() {
  paths = [...new Set(['/', chosen, ...open, ...history.zones()])].slice(0, ZONES_OPEN).sort();
  // What was known of others is kept a while: who comes back sees what those that are gone said last.
  for (const path of zones.keys()) if (zones.size > ZONES_HELD && !paths.includes(path)) zones.delete(path);
  redraw();
  const key = document.hidden ? '' : address('/v1/zones', paths.map((path) => ['path', path]));
  if (key === follows) return;
  follows = key;
  ends();
  ends = key ? follow(key, heard, (e) => lost(chosen, e.message)) : () => {};
}

const fresh = () => ({ table: null, lost: null, skew: 0, last: new Map(), goneAt: new Map() });

function heard(event, data) {
  const says = JSON.parse(data);
  if (event === 'lost') return lost(says.zone, says.message);
  if (event !== 'zone') return;
  const state = zones.get(says.zone) ?? fresh();
  zones.set(says.zone, state);
  const before = state.table !== null;
  state.table = says;
  state.lost = null;
  state.skew = says.now_s - Date.now() / 1000;
  for (const { child, attributes } of says.rows) {
    state.last.set(child, attributes);
    state.goneAt.delete(child);
  }
  for (const child of says.gone) {
    // The agent knows it of its own zones, to a second; of others, who was there a moment ago has gone now.
    const since = says.gone_since_s[child] ?? (before && state.last.has(child) ? says.now_s : undefined);
    if (since !== undefined && !state.goneAt.has(child)) state.goneAt.set(child, since);
  }
  // What is neither there nor gone is forgotten, here too.
  const known = new Set([...says.rows.map((row) => row.child), ...says.gone]);
  for (const of of [state.last, state.goneAt]) for (const child of of.keys()) if (!known.has(child)) of.delete(child);
  redraw();
}

function lost(zone, message) {
  const state = zones.get(zone) ?? fresh();
  zones.set(zone, state);
  state.lost = message;
  redraw();
}

let drawing = false;

/** Draws what has changed, once a frame. */
function redraw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    tree.draw(zones, open, chosen);
    const state = zones.get(chosen);
    if (state?.table) {
      if (shownPanel === 'table') table.show(state);
      ask.offer([...new Set(state.table.rows.flatMap((row) => Object.keys(row.attributes)))].sort().slice(0, 64));
    }
    complete();
  });
}

/** How much of the zone is there, and how old it is. */
function complete() {
  const state = zones.get(chosen);
  const says = (counted, missing, rest) => {
    write(at('counted'), counted);
    write(at('missing'), missing);
    write(at('oldest'), rest);
  };
  at('main').classList.toggle('lost', Boolean(state?.lost));
  if (state?.lost) return says('', plain(state.lost), '');
  if (!state?.table) return says('', '', awaySince ? '' : 'Asking …');
  const { members: there, expected } = members(state);
  const oldest = state.table.rows.map((row) => row.attributes.oldest).filter((s) => typeof s === 'number');
  const age = Date.now() / 1000 + state.skew - Math.min(...oldest);
  says(`${count(there, expected)} agents`, expected > there ? ` · ${expected - there} gone` : '', oldest.length ? ` · oldest row ${seconds(age)}` : '');
}

function reach(since) {
  awaySince = since;
  document.body.classList.toggle('stale', since !== null);
  at('away').hidden = since === null;
  write(at('reach'), since ? 'not reached' : document.hidden ? '' : 'live');
  at('reach').className = since ? 'off' : 'on';
  if (since) write(at('away-text'), `The agent at ${location.host} cannot be reached since ${timeOfDay(since / 1000)}. What is shown is from before; it is tried again.`);
  else whoami();
}

async function whoami() {
  try {
    const agent = await get('/v1/agent');
    write(at('agent'), `${plain(agent.name)} at ${plain(agent.contact)}`);
    at('agent').title = `version ${plain(agent.version)}`;
  } catch {
    // It is told of where the zones are followed.
  }
}

/** The next point of every chart, also of zones that were looked at before. */
function points(now) {
  for (const path of paths) {
    const state = zones.get(path);
    if (!state?.table || state.lost) continue;
    const kept = history.of(path);
    if (path === chosen) table.sample(now);
    else if (kept) sample(state, [...kept.series.keys()], now);
  }
}

function begin() {
  tabs();
  onReach(reach);
  at('away-now').addEventListener('click', tryNow);
  window.addEventListener('hashchange', fromAddress);
  // Nobody looks: nothing is asked. A browser has six connections to an address, in all of its windows together.
  document.addEventListener('visibilitychange', () => {
    followed();
    PANELS.find(({ id }) => id === shownPanel).panel.shown?.(!document.hidden);
  });
  window.addEventListener('resize', () => table.drawCharts());
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => table.drawCharts());
  document.addEventListener('keydown', (event) => {
    if (event.key !== '/' || event.target.closest('input, textarea')) return;
    event.preventDefault();
    show('table');
    table.filter.focus();
  });
  setInterval(() => {
    complete();
    if (!awaySince && !document.hidden) points(Date.now());
  }, SAMPLE_MS);
  fromAddress();
  reach(null);
}

begin();
