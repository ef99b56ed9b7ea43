import { describe, expect, test } from "bun:test";
import type { ApiObject } from "../kinds/resource.ts";
import { age, humanDuration } from "./duration.ts";
import { evaluate, JsonPathError, maxSteps, parseJsonPath } from "./json-path.ts";
import { printers } from "./printers.ts";
import { tableRow } from "./render.ts";

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;
const now = Date.parse("2026-01-01T01:00:00Z");

test.each([
  [-5 * second, "<invalid>"],
  [-second / 2, "0s"],
  [119 * second, "119s"],
  [2 * minute, "2m"],
  [3 * minute + 20 * second, "3m20s"],
  [47 * minute, "47m"],
  [179 * minute, "179m"],
  [3 * hour, "3h"],
  [5 * hour + 10 * minute, "5h10m"],
  [31 * hour, "31h"],
  [4 * day + 3 * hour, "4d3h"],
  [90 * day, "90d"],
  [3 * 365 * day + 40 * day, "3y40d"],
  [9 * 365 * day, "9y"],
])("%d ms is %s", (ms, text) => {
  expect(humanDuration(ms)).toBe(text);
});
test("ages", () => {
  expect(age("2026-01-01T00:00:00Z", now)).toBe("60m");
  expect(age(undefined, now)).toBe("<unknown>");
});

describe("JSONPath", () => {
  const object = {
    spec: {
      a: 1,
      "b.c": 2,
      list: [
        { n: "x", v: 1 },
        { n: "y", v: 2 },
      ],
    },
    status: { conditions: [{ type: "Ready", status: "True" }] },
  };
  test.each([
    [".spec.a", [1]],
    ["{.spec.a}", [1]],
    [".spec['b.c']", [2]],
    [".spec.b\\.c", [2]],
    [".spec.list[*].n", ["x", "y"]],
    [".spec.list[1].n", ["y"]],
    [".spec.list[-1].n", ["y"]],
    [".spec.list[-1:].n", ["y"]],
    ['.status.conditions[?(@.type=="Ready")].status', ["True"]],
    [".spec.list[?(@.v>1)].n", ["y"]],
    [".spec.none.deep", []],
    [".constructor", []],
  ])("%s", (path, values) => {
    expect(evaluate(parseJsonPath(path), object)).toEqual(values);
  });
  test.each(["spec", ".a..b", ".a[", ".a[?(1)]"])("refuses %s", (path) => {
    expect(() => parseJsonPath(path)).toThrow(JsonPathError);
  });
  test("at its bound and past it", () => {
    expect(parseJsonPath(".a".repeat(maxSteps))).toHaveLength(maxSteps);
    expect(() => parseJsonPath(".a".repeat(maxSteps + 1))).toThrow("too many steps");
  });
});

describe("rows", () => {
  const row = (kind: string, object: object) => {
    const printer = printers[kind];
    if (!printer) throw new Error(kind);
    return Object.fromEntries(
      printer
        .cells({ metadata: { name: "n", creationTimestamp: "2026-01-01T00:00:00Z" }, ...object } as ApiObject, now)
        .map((cell, index) => [printer.columns[index]?.name, cell]),
    );
  };
  const running = (ready: boolean) => ({ name: "c", ready, restartCount: 0, state: { running: {} } });
  test.each([
    ["pending", { spec: { containers: [{}] }, status: { phase: "Pending" } }, "0/1", "Pending", "0"],
    [
      "running",
      { spec: { containers: [{}, {}] }, status: { phase: "Running", containerStatuses: [running(true), running(false)] } },
      "1/2",
      "Running",
      "0",
    ],
    [
      "crashing",
      {
        spec: { containers: [{}] },
        status: {
          phase: "Running",
          containerStatuses: [
            {
              ready: false,
              restartCount: 3,
              state: { waiting: { reason: "CrashLoopBackOff" } },
              lastState: { terminated: { finishedAt: "2026-01-01T00:59:30Z" } },
            },
          ],
        },
      },
      "0/1",
      "CrashLoopBackOff",
      "3 (30s ago)",
    ],
    [
      "in init",
      {
        spec: { initContainers: [{ name: "i" }, { name: "j" }], containers: [{}] },
        status: {
          phase: "Pending",
          initContainerStatuses: [
            { name: "i", state: { terminated: { exitCode: 0 } } },
            { name: "j", state: { running: {} } },
          ],
        },
      },
      "0/1",
      "Init:1/2",
      "0",
    ],
    [
      "failing in init",
      {
        spec: { initContainers: [{ name: "i" }], containers: [{}] },
        status: {
          phase: "Pending",
          initContainerStatuses: [{ name: "i", restartCount: 1, state: { terminated: { exitCode: 2, reason: "Error" } } }],
        },
      },
      "0/1",
      "Init:Error",
      "1",
    ],
    [
      "with a sidecar",
      {
        spec: { initContainers: [{ name: "p", restartPolicy: "Always" }], containers: [{}] },
        status: {
          phase: "Running",
          initContainerStatuses: [{ name: "p", ready: true, started: true, state: { running: {} } }],
          containerStatuses: [running(true)],
        },
      },
      "2/2",
      "Running",
      "0",
    ],
    [
      "completed",
      {
        spec: { containers: [{}] },
        status: { phase: "Succeeded", containerStatuses: [{ ready: false, state: { terminated: { exitCode: 0, reason: "Completed" } } }] },
      },
      "0/1",
      "Completed",
      "0",
    ],
    [
      "terminating",
      {
        metadata: { name: "n", deletionTimestamp: "2026-01-01T00:59:00Z" },
        spec: { containers: [{}] },
        status: { phase: "Running", containerStatuses: [running(true)] },
      },
      "1/1",
      "Terminating",
      "0",
    ],
  ])("a pod %s", (_, pod, ready, status, restarts) => {
    expect(row("Pod", pod)).toMatchObject({ Ready: ready, Status: status, Restarts: restarts });
  });
  test("services, endpoints, jobs, nodes, events", () => {
    expect(
      row("Service", {
        spec: {
          type: "NodePort",
          clusterIP: "10.96.0.9",
          ports: [
            { port: 80, nodePort: 30080, protocol: "TCP" },
            { port: 53, protocol: "UDP" },
          ],
          selector: { a: "b" },
        },
      }),
    ).toMatchObject({
      Type: "NodePort",
      "Cluster-IP": "10.96.0.9",
      "External-IP": "<none>",
      "Port(s)": "80:30080/TCP,53/UDP",
      Age: "60m",
      Selector: "a=b",
    });
    expect(row("Service", { spec: { type: "LoadBalancer" } })["External-IP"]).toBe("<pending>");
    expect(
      row("Endpoints", { subsets: [{ addresses: [{ ip: "1" }, { ip: "2" }, { ip: "3" }, { ip: "4" }], ports: [{ port: 80 }] }] })[
        "Endpoints"
      ],
    ).toBe("1:80,2:80,3:80 + 1 more...");
    expect(
      row("Job", {
        spec: { completions: 1 },
        status: {
          succeeded: 1,
          startTime: "2026-01-01T00:00:00Z",
          completionTime: "2026-01-01T00:00:05Z",
          conditions: [{ type: "Complete", status: "True" }],
        },
      }),
    ).toMatchObject({ Status: "Complete", Completions: "1/1", Duration: "5s" });
    expect(
      row("Node", {
        metadata: { name: "n", labels: { "node-role.kubernetes.io/control-plane": "" } },
        spec: { unschedulable: true },
        status: { conditions: [{ type: "Ready", status: "True" }] },
      }),
    ).toMatchObject({ Status: "Ready,SchedulingDisabled", Roles: "control-plane" });
    expect(
      row("Event", {
        involvedObject: { kind: "Pod", name: "p" },
        lastTimestamp: "2026-01-01T00:59:00Z",
        reason: "Started",
        message: "up\n",
        type: "Normal",
      }),
    ).toMatchObject({ "Last Seen": "60s", Object: "pod/p", Message: "up", Count: "1" });
  });
  test("an object of an impossible shape costs only its own row", () => {
    const pod = { metadata: { name: "odd" }, status: { containerStatuses: 7 } } as unknown as ApiObject;
    expect(tableRow(pod, printers["Pod"] as never, now, "None")["cells"]).toEqual(["odd", ...Array(8).fill("<invalid>")]);
  });
  test("no object, however empty, breaks a row", () => {
    for (const kind of Object.keys(printers)) expect(() => row(kind, {})).not.toThrow();
  });
});
