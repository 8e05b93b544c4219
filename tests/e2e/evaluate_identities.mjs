// Evaluates identities with the Node SDK, locally, and with the JavaScript SDK, which asks the server. It prints the flags
// of each identity as JSON: {"node": [{feature: [enabled, value]}, …], "javascript": […]}.
import { createFlagsmithInstance } from "@flagsmith/flagsmith/isomorphic";
import { Flagsmith } from "flagsmith-nodejs";

const [server, key, serverKey, identities] = JSON.parse(process.argv[2]);
const api = `${server}/api/v1/`;
const local = new Flagsmith({
  apiUrl: api,
  environmentKey: serverKey,
  enableLocalEvaluation: true,
  environmentRefreshIntervalSeconds: 86_400,
});

async function ofNode([identifier, traits]) {
  const flags = await local.getIdentityFlags(identifier, traits);
  return Object.fromEntries(flags.allFlags().map((flag) => [flag.featureName, [flag.enabled, flag.value]]));
}

async function ofJavaScript([identity, traits]) {
  const remote = createFlagsmithInstance();
  await remote.init({ environmentID: key, api, identity, traits, cacheFlags: false });
  const flags = Object.entries(remote.getAllFlags());
  return Object.fromEntries(flags.map(([name, flag]) => [name, [flag.enabled, flag.value]]));
}

const found = { node: [], javascript: [] };
for (const identity of identities) {
  found.node.push(await ofNode(identity));
  found.javascript.push(await ofJavaScript(identity));
}
process.stdout.write(JSON.stringify(found), () => process.exit(0));
