// The heartbeat's figures, and that one that is missing does not hold the others back.
import { expect, test } from "bun:test";
import { collectHeartbeat, heartbeatQueries } from "./heartbeat.ts";

test("what is known is told, what is not is named and left out", async () => {
  const missing: string[] = [];
  const values = await collectHeartbeat({
    version: "stable-1.2.3",
    installation: async () => ({ uid: "u", createdAt: "2021-09-30T00:00:00Z" }),
    kubernetesVersion: () => Promise.reject(new Error("away")),
    extensions: async () => ["viz", "jaeger"],
    serviceProfiles: async () => 3,
    query: async (expression) =>
      expression === heartbeatQueries()["total-rps"]
        ? 12.6
        : expression === heartbeatQueries()["p95-cpu-destination"]
          ? 0.12345
          : undefined,
    onMissing: (what, error) => void missing.push(`${what}: ${error.message}`),
  });
  expect(Object.fromEntries(values)).toEqual({
    version: "stable-1.2.3",
    source: "heartbeat",
    uuid: "u",
    "install-time": "1632960000",
    "ext-viz": "1",
    "ext-jaeger": "1",
    "service-profile-count": "3",
    "total-rps": "13",
    "p95-cpu-destination": "0.123",
  });
  expect(missing).toEqual(["k8s-version: away"]);
});
