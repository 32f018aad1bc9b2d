// The agent that serves this page: requests, streams of events, and whether it can be reached at all.

import { ANSWER_CHARS, PATIENCE_MS, RETRY_MAX_MS, RETRY_MS, SILENCE_MS } from './limits.js';

/** A request that the agent does not answer as asked; `line` and `column` where a text has a mistake. */
export class Refused extends Error {
  constructor(message, at = {}) {
    super(message);
    this.line = at.line ?? null;
    this.column = at.column ?? null;
  }
}

/** The agent cannot be reached. */
export class Away extends Error {}

let awaySince = null;
let told = () => {};

/** Calls `tell(since)` when the agent goes away (a Date) and when it is back (null). */
export function onReach(tell) {
  told = tell;
}

function reached(is) {
  if (is === (awaySince === null)) return;
  awaySince = is ? null : new Date();
  told(awaySince);
}

async function request(path, options) {
  try {
    return await fetch(path, { ...options, cache: 'no-store', credentials: 'omit' });
  } catch (e) {
    if (options.aside?.aborted) throw e;
    reached(false);
    throw new Away('the agent cannot be reached');
  }
}

async function refusal(response) {
  const says = await response.json().catch(() => null);
  const error = says?.error;
  return new Refused(error?.message ?? `the agent answers ${response.status}`, error ?? {});
}

async function answer(path, options = {}) {
  const aside = options.signal;
  const patience = AbortSignal.timeout(PATIENCE_MS);
  const signal = aside ? AbortSignal.any([aside, patience]) : patience;
  const response = await request(path, { ...options, aside, signal });
  reached(true);
  if (!response.ok) throw await refusal(response);
  return response.json();
}

/** A path with parameters: pairs, because a name may come several times. */
export function address(path, parameters) {
  return parameters.length ? `${path}?${new URLSearchParams(parameters)}` : path;
}

export const get = (path, parameters = [], signal) => answer(address(path, parameters), { signal });
export const remove = (path, parameters = []) => answer(address(path, parameters), { method: 'DELETE' });
export const post = (path, body) =>
  answer(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });

/** Reads one stream of server-sent events up to its end: `on(event, data)` for each. */
async function read(path, on, signal) {
  const head = new AbortController();
  const patience = setTimeout(() => head.abort(), PATIENCE_MS);
  const both = { signal: AbortSignal.any([signal, head.signal]), aside: signal };
  const response = await request(path, both).finally(() => clearTimeout(patience));
  reached(true);
  if (!response.ok) throw await refusal(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  signal.addEventListener('abort', () => reader.cancel().catch(() => {}), { once: true });
  let held = '';
  for (;;) {
    // The agent says something every 15 s, if only that it is there.
    let timer;
    const silence = new Promise((_, fail) => {
      timer = setTimeout(() => fail(new Away('the agent says nothing any more')), SILENCE_MS);
    });
    const { done, value } = await Promise.race([reader.read(), silence]).finally(() => clearTimeout(timer));
    if (done || signal.aborted) return;
    held += value;
    if (held.length > ANSWER_CHARS) throw new Refused('the agent says more than this page can hold');
    for (let end = held.indexOf('\n\n'); end >= 0; end = held.indexOf('\n\n')) {
      event(held.slice(0, end), on);
      held = held.slice(end + 2);
    }
  }
}

function event(text, on) {
  let name = 'message';
  const data = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('event:')) name = line.slice(6).trim();
    else if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''));
  }
  if (data.length) on(name, data.join('\n'));
}

/**
 * Follows a stream of events, and begins again when it breaks off, later each time. What the agent refuses is told to `refused` and not
 * tried again, unless there was no place.
 * @returns what ends it.
 */
export function follow(path, on, refused) {
  const end = new AbortController();
  (async () => {
    for (let wait = RETRY_MS; !end.signal.aborted; wait = Math.min(2 * wait, RETRY_MAX_MS)) {
      try {
        await read(path, (name, data) => {
          wait = RETRY_MS;
          on(name, data);
        }, end.signal);
        if (!end.signal.aborted) reached(false);
      } catch (e) {
        if (end.signal.aborted) return;
        if (e instanceof Refused) {
          refused(e);
          if (e.line !== null) return;
        } else reached(false);
      }
      await pause(wait, end.signal);
    }
  })();
  return () => end.abort();
}

const waiting = new Set();

/** Tries again at once what waits. */
export function tryNow() {
  [...waiting].forEach((go) => go());
}

function pause(ms, signal) {
  return new Promise((done) => {
    const go = () => {
      clearTimeout(timer);
      waiting.delete(go);
      signal.removeEventListener('abort', go);
      done();
    };
    const timer = setTimeout(go, ms);
    waiting.add(go);
    signal.addEventListener('abort', go);
  });
}
