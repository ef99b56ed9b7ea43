// Credentials of a kubeconfig.
import { expect, test } from "bun:test";
import { parseKubeconfig } from "./index.ts";

test("basic authentication is UTF-8 in base64 (RFC 7617 §2.1)", async () => {
  const text = `
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: "https://a:6443"}}]
users: [{name: u, user: {username: jürgen, password: "pass€"}}]`;
  const { credentials } = parseKubeconfig({ text, file: "config", env: {} });
  const { authorization = "" } = (await credentials?.()) ?? {};
  expect(authorization).toStartWith("Basic ");
  expect(Buffer.from(authorization.slice(6), "base64").toString("utf8")).toBe("jürgen:pass€");
});
