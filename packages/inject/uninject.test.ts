import { expect, test } from "bun:test";
import { uninject } from "./index.ts";

test("the workload's own metadata is cleaned as its pods' is; overrides and a refusal to be injected stay", () => {
  const { object } = uninject({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: {
      name: "web",
      annotations: { "linkerd.io/inject": "enabled", "config.linkerd.io/proxy-cpu-request": "10m", other: "kept" },
      labels: { "linkerd.io/workload-ns": "shop", app: "web" },
    },
    spec: {
      template: {
        metadata: { annotations: { "linkerd.io/inject": "disabled" } },
        spec: { containers: [{ name: "web" }, { name: "linkerd-proxy" }] },
      },
    },
  });
  expect(object.metadata).toEqual({
    name: "web",
    annotations: { "config.linkerd.io/proxy-cpu-request": "10m", other: "kept" },
    labels: { app: "web" },
  });
  expect(object.spec).toEqual({
    template: { metadata: { annotations: { "linkerd.io/inject": "disabled" } }, spec: { containers: [{ name: "web" }] } },
  });
});

test("a component of the control plane keeps its metadata", () => {
  const labels = { "linkerd.io/control-plane-component": "identity" };
  const { object } = uninject({
    kind: "Deployment",
    metadata: { name: "linkerd-identity", labels },
    spec: { template: { metadata: { labels }, spec: { containers: [] } } },
  });
  expect(object.metadata).toEqual({ name: "linkerd-identity", labels });
});
