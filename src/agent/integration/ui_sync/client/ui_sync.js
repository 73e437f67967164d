// The state of one component, in a browser or in node: shown at once, confirmed by the server, the same everywhere in the end.
//
//   const card = new UISync("card-1", { url: "", headers: {} });
//   card.onState = (state) => draw(state);
//   await card.start();
//   card.mutate([{ op: "replace", path: "/title", value: "New" }]).catch((rejected) => tell(rejected.reason));
//   card.mutate((state) => { state.likes += 1; });          // made anew from the newest state if others were faster
//
// A mutation is shown before the server has it. The server puts it on top of what others changed, or rejects it: then it is rolled back,
// and its promise rejects. Without a connection mutations wait; after it is back, the client takes what it missed and sends them, each once.

const clone = (value) => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)));
const parts = (pointer) =>
  pointer.split("/").slice(1).map((part) => part.replace(/~1/g, "/").replace(/~0/g, "~"));
const escaped = (part) => String(part).replace(/~/g, "~0").replace(/\//g, "~1");
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const fail = (text) => { throw new Error(text); };
const own = (value, key) => Object.prototype.hasOwnProperty.call(value, key);

const index = (part, most) => {
  if (!/^(0|[1-9][0-9]*)$/.test(part) || Number(part) > most) fail(`${part} is no index`);
  return Number(part);
};

const get = (state, path) =>
  path.reduce((value, part) => {
    if (Array.isArray(value)) return value[index(part, value.length - 1)];
    return isObject(value) && own(value, part) ? value[part] : fail(`nothing at ${part}`);
  }, state);

const put = (holder, key, value) =>
  Object.defineProperty(holder, key, { value, writable: true, enumerable: true, configurable: true });

const add = (state, path, value) => {
  if (!path.length) return value;
  const parent = get(state, path.slice(0, -1));
  const last = path[path.length - 1];
  if (Array.isArray(parent)) parent.splice(last === "-" ? parent.length : index(last, parent.length), 0, value);
  else if (isObject(parent)) put(parent, last, value);
  else fail("nothing can be added there");
  return state;
};

const remove = (state, path) => {
  get(state, path);
  if (!path.length) return null;
  const parent = get(state, path.slice(0, -1));
  const last = path[path.length - 1];
  if (Array.isArray(parent)) parent.splice(index(last, parent.length - 1), 1);
  else delete parent[last];
  return state;
};

const same = (one, other) => {
  if (one === other) return true;
  if (Array.isArray(one) || Array.isArray(other))
    return Array.isArray(one) && Array.isArray(other) && one.length === other.length && one.every((item, n) => same(item, other[n]));
  if (!isObject(one) || !isObject(other)) return false;
  const keys = Object.keys(one);
  return keys.length === Object.keys(other).length && keys.every((key) => own(other, key) && same(one[key], other[key]));
};

const operations = {
  add: (state, path, operation) => add(state, path, clone(operation.value)),
  remove: (state, path) => remove(state, path),
  replace: (state, path, operation) => {
    get(state, path);
    if (!path.length) return clone(operation.value);
    const parent = get(state, path.slice(0, -1));
    if (Array.isArray(parent)) parent[Number(path[path.length - 1])] = clone(operation.value);
    else put(parent, path[path.length - 1], clone(operation.value));
    return state;
  },
  move: (state, path, operation) => {
    const source = parts(operation.from);
    if (path.length > source.length && source.every((part, n) => part === path[n])) fail("a value cannot be moved into itself");
    const value = get(state, source);
    return same(path, source) ? state : add(remove(state, source), path, value);
  },
  copy: (state, path, operation) => add(state, path, clone(get(state, parts(operation.from)))),
  test: (state, path, operation) => (same(get(state, path), operation.value) ? state : fail("test failed")),
};

/** Return the state after a JSON Patch (RFC 6902); the given one stays as it is. */
export function applyPatch(state, patch) {
  const pointer = (text) => (typeof text === "string" && (text === "" || text.startsWith("/")) && !/~(?![01])/.test(text) ? text : fail("no JSON Pointer"));
  return patch.reduce((value, operation) => {
    if (!own(operations, operation.op)) fail(`no operation ${operation.op}`);
    if (["add", "replace", "test"].includes(operation.op) && !own(operation, "value")) fail("a value is missing");
    if (["move", "copy"].includes(operation.op)) pointer(operation.from);
    return operations[operation.op](value, parts(pointer(operation.path)), operation);
  }, clone(state));
}

/** Return a JSON Patch that makes `after` of `before`. */
export function difference(before, after, path = "") {
  if (same(before, after)) return [];
  if (isObject(before) && isObject(after)) {
    const gone = Object.keys(before).filter((key) => !own(after, key));
    const changes = Object.keys(after).flatMap((key) =>
      own(before, key)
        ? difference(before[key], after[key], `${path}/${escaped(key)}`)
        : [{ op: "add", path: `${path}/${escaped(key)}`, value: after[key] }]);
    return [...gone.map((key) => ({ op: "remove", path: `${path}/${escaped(key)}` })), ...changes];
  }
  return [{ op: "replace", path, value: after }];
}

/** Return the patch that a function makes of a state. */
const made = (before, change) => {
  const state = clone(before);
  const returned = change(state);
  return difference(before, returned === undefined ? state : returned);
};

export class Rejected extends Error {}

export class UISync {
  constructor(component, { url = "", headers = {}, retrySeconds = 1, fetch: fetcher = globalThis.fetch.bind(globalThis) } = {}) {
    this.component = component;
    this.path = `${url}/api/v1/integration/ui/components/${encodeURIComponent(component)}`;
    this.headers = headers;
    this.retry = retrySeconds * 1000;
    this.fetch = fetcher;
    this.version = 0; // of what the server has confirmed
    this.confirmed = null;
    this.state = null; // with what is still to be confirmed on top
    this.pending = [];
    this.onState = () => {};
    this.onConnection = () => {};
    this.stopped = false;
  }

  /** Take the present state, and follow it until `stop`. */
  async start() {
    await this.reconcile();
    this.following = this.follow();
  }

  stop() {
    this.stopped = true;
    this.streaming?.abort();
  }

  /** Show a change at once, and send it. It resolves when the server has it, and rejects when it was rolled back. */
  mutate(change) {
    const patch = typeof change === "function" ? made(this.state, change) : change;
    applyPatch(this.state, patch); // what does not fit is refused before it is shown
    return new Promise((resolve, reject) => {
      // `base` is the version that its author saw, `own` what they changed themselves after that.
      this.pending.push({ id: crypto.randomUUID(), patch, change, base: this.version, own: [], resolve, reject, tries: 0 });
      this.show();
      this.send();
    });
  }

  /** Put what is not confirmed on top of what is: functions are called anew, and a patch that does not fit any more is rolled back. */
  show() {
    let state = clone(this.confirmed);
    for (const mutation of [...this.pending]) {
      try {
        if (typeof mutation.change === "function" && mutation.base !== this.version)
          Object.assign(mutation, { patch: made(state, mutation.change), base: this.version, own: [] });
        state = applyPatch(state, mutation.patch);
      } catch (error) {
        this.drop(mutation, error.message);
      }
    }
    this.state = state;
    this.onState(state, { version: this.version, pending: this.pending.length });
  }

  /** A mutation is in what is confirmed: those that its author made after it know of it. */
  confirm(mutation, version) {
    this.pending = this.pending.filter((one) => one !== mutation);
    for (const one of this.pending) if (one.base < version) one.own.push(mutation.id);
    mutation.resolve({ version });
  }

  drop(mutation, reason) {
    this.pending = this.pending.filter((one) => one !== mutation);
    mutation.reject(Object.assign(new Rejected(reason), { reason, patch: mutation.patch }));
  }

  /** Take changes of the server that come after what is confirmed. Returns whether none was missed. */
  take(changes) {
    for (const change of changes) {
      if (change.version <= this.version) continue;
      if (change.version !== this.version + 1) return false;
      this.confirmed = applyPatch(this.confirmed, change.patch);
      this.version = change.version;
      const mine = this.pending.find((one) => one.id === change.mutation_id);
      if (mine) this.confirm(mine, change.version);
    }
    this.show();
    return true;
  }

  /** Take what was missed, or the whole state where that is not kept any more. */
  async reconcile() {
    const answer = await this.fetch(`${this.path}/changes?after=${this.version}`, { headers: this.headers });
    if (answer.status === 404) return this.show();
    if (!answer.ok) throw new Error(`The server answers ${answer.status}.`);
    const missed = await answer.json();
    if (missed.reset) {
      this.confirmed = missed.state;
      this.version = missed.version;
      this.show();
    } else this.take(missed.changes);
  }

  /** Send what is pending, one after the other. */
  async send() {
    if (this.sending) return;
    this.sending = true;
    try {
      while (this.pending.length && !this.stopped) await this.sendOne(this.pending[0]);
    } catch {
      setTimeout(() => this.send(), this.retry); // the server is away: the same mutation again, which it takes once
    } finally {
      this.sending = false;
    }
  }

  async sendOne(mutation) {
    const { id, patch, base, own: mine } = mutation;
    const body = JSON.stringify({ mutation_id: id, base_version: base, own: mine.slice(-100), patch });
    const headers = { "Content-Type": "application/json", ...this.headers };
    const answer = await this.fetch(`${this.path}/mutations`, { method: "POST", headers, body });
    if (answer.status >= 500 || answer.status === 429) throw new Error(`The server answers ${answer.status}.`);
    const outcome = await answer.json();
    if (!this.pending.includes(mutation)) return; // the stream was faster
    if (answer.ok && outcome.status === "applied") {
      const change = { version: outcome.version, mutation_id: id, patch: outcome.patch };
      if (!this.take([change])) await this.reconcile();
      if (this.pending.includes(mutation)) {
        this.confirm(mutation, outcome.version);
        this.show();
      }
      return;
    }
    if (outcome.status === "rejected") await this.reconcile();
    if (outcome.status === "rejected" && typeof mutation.change === "function" && mutation.tries++ < 5) return;
    this.drop(mutation, outcome.reason ?? outcome.detail ?? `The server answers ${answer.status}.`);
    this.show();
  }

  async follow() {
    while (!this.stopped) {
      try {
        await this.stream();
      } catch {
        // it is tried again
      }
      if (this.stopped) return;
      this.onConnection(false);
      await new Promise((resolve) => setTimeout(resolve, this.retry));
      await this.reconcile().then(() => this.send()).catch(() => {});
    }
  }

  async stream() {
    this.streaming = new AbortController();
    const headers = { Accept: "text/event-stream", ...this.headers };
    const answer = await this.fetch(`${this.path}/stream?after=${this.version}`, { headers, signal: this.streaming.signal });
    if (!answer.ok) throw new Error(`The server answers ${answer.status}.`);
    this.onConnection(true);
    const decoder = new TextDecoder();
    let text = "";
    for await (const chunk of answer.body) {
      text += decoder.decode(chunk, { stream: true });
      const blocks = text.split(/\r?\n\r?\n/);
      text = blocks.pop();
      for (const block of blocks) {
        const data = block.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim()).join("\n");
        if (!data) continue;
        const message = JSON.parse(data);
        if (message.reset) {
          this.confirmed = message.state;
          this.version = message.version;
          this.show();
        } else if (!this.take(message.changes)) await this.reconcile();
      }
    }
  }
}
