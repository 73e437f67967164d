// The client of components in node, against a server. It reads commands from its input and prints what it shows, one JSON a line.
import { createInterface } from "node:readline";
const { module, url, key, component } = JSON.parse(process.argv[2]);
const { UISync } = await import(module);
const say = (what, data) => console.log(JSON.stringify([what, data ?? null]));
let online = true;
const guarded = (address, options) => (online ? fetch(address, options) : Promise.reject(new Error("offline")));
const sync = new UISync(component, { url, headers: { Authorization: `Bearer ${key}` }, retrySeconds: 0.1, fetch: guarded });
sync.onState = (state, { version, pending }) => say("state", { state, version, pending });
await sync.start();
say("started", { version: sync.version });
const functions = { like: (state) => { state.likes = (state.likes ?? 0) + 1; } };
const commands = {
  patch: (patch) => sync.mutate(patch).then((done) => say("applied", done), (error) => say("rejected", { reason: error.reason })),
  call: (name) => sync.mutate(functions[name]).then((done) => say("applied", done), (error) => say("rejected", { reason: error.reason })),
  offline() { online = false; sync.streaming?.abort(); say("offline", {}); },
  online() { online = true; },
};
createInterface({ input: process.stdin })
  .on("line", (line) => { const [name, argument] = JSON.parse(line); commands[name](argument); })
  .on("close", () => process.exit(0));
