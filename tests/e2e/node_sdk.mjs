// The Node SDK with remote and with local evaluation, which fetches after each event of the stream, since it has no stream
// of its own. It prints what it has as a line of JSON: [[enabled, value], [enabled, value]].
import { Flagsmith } from "flagsmith-nodejs";

const [server, key, serverKey, feature, identity, traits] = JSON.parse(process.argv[2]);
const options = {
  apiUrl: `${server}/api/v1/`,
  defaultFlagHandler: () => ({ enabled: false, value: null, isDefault: true }),
};
const remote = new Flagsmith({ ...options, environmentKey: key });
const local = new Flagsmith({
  ...options,
  environmentKey: serverKey,
  enableLocalEvaluation: true,
  environmentRefreshIntervalSeconds: 86_400,
});

async function print() {
  await local.updateEnvironment();
  const seen = [];
  for (const client of [remote, local]) {
    const flags = await client.getIdentityFlags(identity, traits);
    seen.push([flags.isFeatureEnabled(feature), flags.getFeatureValue(feature)]);
  }
  console.log(JSON.stringify(seen));
}

const stream = await fetch(`${server}/sse/environments/${key}/stream`);
await print();
let text = "";
for await (const bytes of stream.body) {
  text += new TextDecoder().decode(bytes);
  const events = text.split("\n\n");
  text = events.pop();
  if (events.some((event) => event.includes("event: environment_updated"))) {
    await print();
  }
}
