// Events are changed or left out before they are queued; `stats()` says what became of them.
const { init } = require("../dist/node.cjs");

const client = init({
  key: "wk_demo",
  endpoint: process.env.TIDEGATE_ENDPOINT ?? "http://127.0.0.1:8080",
  beforeSend(event) {
    if (event.props.path?.startsWith("/internal")) return null;
    const { email, ...props } = event.props;
    return { ...event, props };
  },
});

client.track("page.view", { path: "/", email: "someone@example.com" });
client.track("page.view", { path: "/internal/health" });

client.close().then((complete) => {
  const { acked, pre } = client.stats();
  console.log(`complete: ${complete}, acknowledged ${acked}, not queued ${JSON.stringify(pre)}`);
  process.exitCode = complete && acked === 1 ? 0 : 1;
});
