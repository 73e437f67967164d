// The npm packages laravel-echo and pusher (the server library), unmodified. It prints what they met, as one JSON object.
import { createRequire } from "node:module";
const { key, secret, appId, port, auths, folder } = JSON.parse(process.argv[2]);
const require = createRequire(folder + "/");
const { default: Echo } = await import(folder + "/node_modules/laravel-echo/dist/echo.js");
const [Pusher, Server] = [require("pusher-js"), require("pusher")];
const echo = (auth) =>
  new Echo({
    broadcaster: "pusher", Pusher, key, cluster: "", wsHost: "127.0.0.1", wsPort: port, forceTLS: false, enabledTransports: ["ws"],
    authEndpoint: `http://127.0.0.1:${port}/api/v1/integration/realtime/auth`, auth: { headers: { Authorization: `Bearer ${auth}` } },
  });
const [ann, bob] = auths.map(echo);
const server = new Server({ appId, key, secret, host: "127.0.0.1", port: String(port), useTLS: false, timeout: 10000 });
const heard = (begin) => Promise.race([new Promise(begin), new Promise((_, no) => setTimeout(() => no(new Error(`${begin}`)), 15000))]);
const found = {};
await heard((done) => ann.channel("news").subscribed(done));
const shipped = heard((done) => ann.channel("news").listen("OrderShipped", done));
await server.trigger("news", "App\\Events\\OrderShipped", { id: 1 });
found.event = await shipped;
for (const one of [ann, bob]) await heard((done) => one.private("orders").subscribed(done));
const typing = heard((done) => ann.private("orders").listenForWhisper("typing", done));
bob.private("orders").whisper("typing", { by: "bob" });
found.whisper = await typing;
found.here = await heard((done) => ann.join("room").here(done));
const [joining, leaving] = ["joining", "leaving"].map((what) => heard((done) => ann.join("room")[what](done)));
await heard((done) => bob.join("room").here(done));
found.joining = await joining;
bob.leave("room");
found.leaving = await leaving;
found.refused = (await heard((done) => ann.private("person-bob").error(done))).status;
found.info = await (await server.trigger("news", "n", {}, { info: "subscription_count" })).json();
found.users = await (await server.get({ path: "/channels/presence-room/users" })).json();
found.long = await server.trigger("news", "n", "x".repeat(11000)).catch((error) => error.status);
console.log(JSON.stringify(found));
process.exit(0);
