// A client of the npm package pusher-js, unmodified. It prints what happens, one JSON a line, and reads commands from its input.
const Pusher = require("pusher-js");
const { key, port, auth, name } = JSON.parse(process.argv[2]);
const say = (what, data) => console.log(JSON.stringify([what, data ?? null]));
const sign = (params, callback, path, more) =>
  fetch(`http://127.0.0.1:${port}${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/x-www-form-urlencoded", Authorization: `Bearer ${auth}` },
    body: new URLSearchParams(more),
  })
    .then(async (answer) => (answer.ok ? callback(null, await answer.json()) : callback(new Error(await answer.text()), null)))
    .catch((error) => callback(error, null));
const pusher = new Pusher(key, {
  cluster: "",
  wsHost: "127.0.0.1",
  wsPort: port,
  forceTLS: false,
  enabledTransports: ["ws"],
  disableStats: true,
  channelAuthorization: {
    customHandler: (params, callback) =>
      sign(params, callback, "/api/v1/integration/realtime/auth", { socket_id: params.socketId, channel_name: params.channelName }),
  },
  userAuthentication: {
    customHandler: (params, callback) =>
      sign(params, callback, "/api/v1/integration/realtime/user-auth", { socket_id: params.socketId }),
  },
});
const channels = {};
pusher.connection.bind("state_change", (states) => say("state", states.current));
pusher.connection.bind("error", (error) => say("error", error?.data ?? error?.error?.data ?? String(error)));
pusher.bind("pusher:signin_success", () => say("signed_in", pusher.user.user_data));
const members = (channel) => {
  const found = [];
  channel.members.each((one) => found.push(one.id));
  return { count: channel.members.count, ids: found.sort(), me: channel.members.myID };
};
const commands = {
  subscribe(channel) {
    const made = (channels[channel] = pusher.subscribe(channel));
    made.bind("pusher:subscription_succeeded", () => say("subscribed", { channel, ...(made.members ? members(made) : {}) }));
    made.bind("pusher:subscription_error", (error) => say("refused", { channel, error: String(error.error ?? error) }));
    made.bind("pusher:member_added", (member) => say("added", { channel, id: member.id, ...members(made) }));
    made.bind("pusher:member_removed", (member) => say("removed", { channel, id: member.id, ...members(made) }));
    made.bind("pusher:subscription_count", (data) => say("count", { channel, told: data.subscription_count, known: made.subscriptionCount }));
    made.bind("pusher:cache_miss", () => say("cache_miss", channel));
    made.bind("client-typing", (data, metadata) => say("typed", metadata));
    made.bind_global((event, data) => {
      if (!event.startsWith("pusher")) say("event", { channel, event, data });
    });
  },
  unsubscribe: (channel) => pusher.unsubscribe(channel),
  trigger: ([channel, event, data]) => channels[channel].trigger(event, data),
  signin() {
    pusher.user.bind_global((event, data) => say("user_event", { event, data }));
    pusher.signin();
  },
  end() {
    pusher.disconnect();
    process.exit(0);
  },
};
require("readline")
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const [command, argument] = JSON.parse(line);
    commands[command](argument);
  })
  .on("close", () => commands.end());
