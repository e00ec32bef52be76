// Azure's client for registries in JavaScript, unmodified.
//
//   azure_registries.mjs BASE TENANT CLIENT SECRET     (NODE_EXTRA_CA_CERTS names the server's authority)
//
// It asks for a token whose audience is the endpoint itself, as Terraform's provider does for a cloud of one's own.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";

const [base, tenant, client, secret] = process.argv.slice(2);
// Its packages stand where the program was started, not beside this file.
const load = createRequire(join(process.cwd(), "packages.txt"));
const { ClientSecretCredential } = load("@azure/identity");
const { ContainerRegistryManagementClient } = load("@azure/arm-containerregistry");

const credential = new ClientSecretCredential(tenant, client, secret, {
  authorityHost: base,
  disableInstanceDiscovery: true,
});
const token = await credential.getToken("https://management.azure.com/.default");
const answer = await fetch(`${base}/subscriptions?api-version=2022-12-01`, {
  headers: { Authorization: `Bearer ${token.token}` },
});
const subscription = (await answer.json()).value[0].subscriptionId;

for (const endpoint of [base, `${base}/`]) {
  const registries = new ContainerRegistryManagementClient(credential, subscription, { endpoint }).registries;
  const names = [];
  for await (const registry of registries.list()) names.push(registry.name);
  assert.ok(names.includes("lazaret"), names.join());
}

const { registries, webhooks, scopeMaps, tokens } = new ContainerRegistryManagementClient(credential, subscription, {
  endpoint: base,
});
const made = await registries.create("default", "script1", { location: "local", sku: { name: "Basic" }, tags: { a: "b" } });
assert.equal(made.provisioningState, "Succeeded");
assert.deepEqual(made.tags, { a: "b" });
const changed = await registries.update("default", "script1", { tags: { a: "c" }, adminUserEnabled: true });
assert.deepEqual(changed.tags, { a: "c" });
const credentials = await registries.listCredentials("default", "script1");
assert.equal(credentials.passwords.length, 2);
await assert.rejects(
  registries.update("default", "script1", { networkRuleBypassOptions: "AzureServices", encryption: { status: "enabled" } }),
  (error) => error.statusCode === 400 && error.code === "UnsupportedProperty",
);
const hook = await webhooks.create("default", "script1", "script1hook", {
  location: "local",
  serviceUri: "https://hooks.example.com/x",
  actions: ["push"],
});
assert.equal(hook.provisioningState, "Succeeded");
const map = await scopeMaps.create("default", "script1", "readers", { actions: ["repositories/app/content/read"] });
await tokens.create("default", "script1", "reader1", { scopeMapId: map.id, status: "enabled" });
await registries.delete("default", "script1");
await assert.rejects(registries.get("default", "script1"), (error) => error.statusCode === 404);
