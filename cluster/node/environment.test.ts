// What a container is given: images, environment, command, user, files of /etc, capabilities, launch scripts.
import { describe, expect, test } from "bun:test";
import type { Service } from "#kube";
import { fieldValue, resourceValue } from "./downward.ts";
import { buildCommand, buildEnvironment, expand, type Sources, serviceVariables } from "./environment.ts";
import { ImageTable, ImageTableError } from "./images.ts";
import { capabilitiesOf, capabilityNames, chooseCapabilities, hostMountPoints, quote, setprivArguments } from "./launch.ts";
import { etcFiles, userOf } from "./pod-sandbox.ts";
import { parseQuantity } from "./quantity.ts";
import { isUnscheduled, unschedulableReason } from "./scheduler.ts";
import type { ContainerSpec, NodePod } from "./types.ts";

const pod = {
  metadata: { name: "web-0", namespace: "shop", uid: "u-1", labels: { b: "2", a: 'say "x"' }, annotations: { "x.y/z": "1" } },
  spec: { nodeName: "n", serviceAccountName: "sa", containers: [] },
} as unknown as NodePod;
const addresses = { podIP: "10.0.0.5", hostIP: "10.0.0.1", nodeName: "n" };
const capacity = { cpu: 4, memory: 1024 ** 3 };
const sources: Sources = {
  configMap: (_, name) => (name === "cm" ? { metadata: {}, data: { k: "v", "odd.key": "o" }, binaryData: { b: "AAE=" } } : undefined),
  secret: (_, name) => (name === "s" ? { metadata: {}, data: { k: "c2VjcmV0" } } : undefined),
  services: () => [],
};
const environment = (container: Partial<ContainerSpec>, image = {}) =>
  buildEnvironment({ pod, container: { name: "c", ...container }, image, addresses, capacity, sources });

describe("images", () => {
  const table = ImageTable.parse(
    'images:\n  example.org/a/b: {command: [one]}\n  "example.org/a/b:2": {command: [two]}\n  example.org/a/*: {command: [star]}\n  nginx: {command: [web], user: 33}\n',
    "images.yaml",
  );
  test.each([
    ["example.org/a/b", "one"],
    ["example.org/a/b:1", "one"],
    ["example.org/a/b:2", "two"],
    ["example.org/a/b@sha256:00", "one"],
    ["example.org/a/c/d:1", "star"],
    ["nginx:1.25", "web"],
    ["docker.io/library/nginx", "web"],
    ["library/nginx", "web"],
    ["local/sh:any", "/bin/sh"],
    ["local/bin/sh", "/bin/sh"],
  ])("%s", (image, command) => {
    expect(table.resolve(image).command![0]!.replace("/usr/bin/sh", "/bin/sh")).toBe(command);
  });

  test("what is not there is named, with the table", () => {
    expect(() => table.resolve("example.org:5000/none:1")).toThrow('no entry for image "example.org:5000/none:1" in images.yaml');
    expect(() => table.resolve("local/no-such-command")).toThrow('this machine has no command "no-such-command"');
    expect(table.resolve("nginx").user).toBe("33");
  });

  test.each([
    ["[]", "must be a mapping"],
    ["a: 1", "images.yaml: a: must be a mapping"],
    ["a: {comand: [x]}", "unknown field comand"],
    ["a: {command: x}", "command has the wrong form"],
    ["a: {root: tmp}", "root has the wrong form"],
    ["a: {commands: {/x: []}}", "commands has the wrong form"],
    ["{", "images.yaml:"],
  ])("a table such as %j is refused", (text, message) => {
    expect(() => ImageTable.parse(text, "images.yaml")).toThrow(ImageTableError);
    expect(() => ImageTable.parse(text, "images.yaml")).toThrow(message);
  });
});

describe("environment", () => {
  test("later wins; references see what stands before", () => {
    const result = environment(
      {
        envFrom: [
          { configMapRef: { name: "cm" }, prefix: "CM_" },
          { secretRef: { name: "s" } },
          { configMapRef: { name: "gone", optional: true } },
        ],
        env: [
          { name: "A", value: "$(LATER) $(CM_k) $$(k) $(k)" },
          { name: "LATER", value: "x" },
          { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
          { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu" } } },
          { name: "PATH", value: "/mine" },
        ],
      },
      { env: { PATH: "/image", FROM: "image" } },
    );
    expect(Object.fromEntries(result)).toMatchObject({
      A: "$(LATER) v $(k) secret",
      IP: "10.0.0.5",
      CPU: "4",
      PATH: "/mine",
      FROM: "image",
      HOSTNAME: "web-0",
      "CM_odd.key": "o",
    });
  });

  test.each<[Partial<ContainerSpec>, string]>([
    [{ env: [{ name: "A", valueFrom: { configMapKeyRef: { name: "gone", key: "k" } } }] }, 'configmap "gone" not found'],
    [{ env: [{ name: "A", valueFrom: { secretKeyRef: { name: "s", key: "gone" } } }] }, "couldn't find key gone in Secret shop/s"],
    [{ envFrom: [{ secretRef: { name: "gone" } }] }, 'secret "gone" not found'],
    [{ env: [{ name: "A", valueFrom: { fieldRef: { fieldPath: "spec.gone" } } }] }, "unsupported field path"],
  ])("%j is an error that names it", (container, message) => {
    expect(() => environment(container)).toThrow(message);
  });

  test("command and arguments replace the image's as documented", () => {
    const image = { command: ["entry"], args: ["default"] };
    const of = (container: Partial<ContainerSpec>) => buildCommand({ name: "c", ...container }, image, new Map([["V", "1"]])).join(" ");
    expect(of({})).toBe("entry default");
    expect(of({ args: ["$(V)"] })).toBe("entry 1");
    expect(of({ command: ["own"] })).toBe("own");
    expect(of({ command: ["own"], args: ["x"] })).toBe("own x");
    expect(() => buildCommand({ name: "c", image: "i" }, {}, new Map())).toThrow("no command specified");
  });

  test("expansion", () => {
    expect(expand("$(A) $(B) $$(A) $$$(A) $ $( $(A", (name) => (name === "A" ? "1" : undefined))).toBe("1 $(B) $(A) $1 $ $( $(A");
  });

  test("services as variables", () => {
    const services = [
      { metadata: { name: "kubernetes", namespace: "default" }, spec: { clusterIP: "10.96.0.1", ports: [{ name: "https", port: 443 }] } },
      { metadata: { name: "my-web", namespace: "shop" }, spec: { clusterIP: "10.96.0.2", ports: [{ port: 80 }] } },
      { metadata: { name: "headless", namespace: "shop" }, spec: { clusterIP: "None", ports: [{ port: 80 }] } },
      { metadata: { name: "other", namespace: "else" }, spec: { clusterIP: "10.96.0.3", ports: [{ port: 80 }] } },
    ] as Service[];
    const linked = Object.fromEntries(serviceVariables(services, "shop", true));
    expect(linked).toMatchObject({
      KUBERNETES_SERVICE_HOST: "10.96.0.1",
      KUBERNETES_SERVICE_PORT_HTTPS: "443",
      KUBERNETES_PORT: "tcp://10.96.0.1:443",
      MY_WEB_SERVICE_HOST: "10.96.0.2",
      MY_WEB_PORT_80_TCP_ADDR: "10.96.0.2",
    });
    expect(Object.keys(linked).some((name) => name.startsWith("OTHER") || name.startsWith("HEADLESS"))).toBe(false);
    expect(Object.keys(Object.fromEntries(serviceVariables(services, "shop", false))).every((name) => name.startsWith("KUBERNETES_"))).toBe(
      true,
    );
  });

  test("downward API", () => {
    expect(fieldValue(pod, "metadata.labels", addresses)).toBe('a="say \\"x\\""\nb="2"');
    expect(fieldValue(pod, "metadata.annotations['x.y/z']", addresses)).toBe("1");
    expect(fieldValue(pod, "spec.serviceAccountName", addresses)).toBe("sa");
    const container = { name: "c", resources: { limits: { cpu: "250m", memory: "64Mi" } } } as ContainerSpec;
    expect(resourceValue(pod, container, { resource: "limits.cpu" }, capacity)).toBe("1");
    expect(resourceValue(pod, container, { resource: "limits.cpu", divisor: "1m" }, capacity)).toBe("250");
    expect(resourceValue(pod, container, { resource: "requests.memory", divisor: "1Mi" }, capacity)).toBe("64");
    expect(parseQuantity("1.5Gi")).toBe(1.5 * 1024 ** 3);
    expect(parseQuantity("2e3")).toBe(2_000);
    expect(() => parseQuantity("1 GB")).toThrow("not a quantity");
  });
});

describe("user and files", () => {
  const of = (context: object, image = {}) =>
    userOf({ ...pod, spec: { ...pod.spec, securityContext: context } } as NodePod, { name: "c", image: "i" }, image, "/nowhere");
  test("the pod's, the container's, the image's user", () => {
    expect(of({})).toMatchObject({ uid: 0, gid: 0, groups: [] });
    expect(of({}, { user: "7:8" })).toMatchObject({ uid: 7, gid: 8 });
    expect(of({ runAsUser: 9, runAsGroup: 10, fsGroup: 11, supplementalGroups: [12, 11] }, { user: "7:8" })).toMatchObject({
      uid: 9,
      gid: 10,
      groups: [11, 12],
    });
    expect(() => of({ runAsNonRoot: true })).toThrow("container has runAsNonRoot and image will run as root");
    expect(() => of({ runAsNonRoot: true, runAsUser: 0 })).toThrow("breaks non-root policy");
    expect(() => of({}, { user: "nobody-knows" })).toThrow('user "nobody-knows" is unknown');
  });

  test("hosts and resolver", () => {
    const spec = {
      ...pod.spec,
      hostname: "h",
      subdomain: "sub",
      hostAliases: [{ ip: "1.2.3.4", hostnames: ["x", "y"] }],
      dnsConfig: { searches: ["extra"], options: [{ name: "ndots", value: "1" }, { name: "edns0" }] },
    };
    const files = etcFiles({ ...pod, spec } as NodePod, "10.0.0.5", { address: "10.96.0.10", domain: "cluster.local" });
    expect(files["hosts"]).toContain("10.0.0.5\th.sub.shop.svc.cluster.local\th\n1.2.3.4\tx\ty\n");
    expect(files["resolv.conf"]).toBe(
      "search shop.svc.cluster.local svc.cluster.local cluster.local extra\nnameserver 10.96.0.10\noptions ndots:1 edns0\n",
    );
    const none = etcFiles(
      { ...pod, spec: { ...pod.spec, dnsPolicy: "None", dnsConfig: { nameservers: ["9.9.9.9"] } } } as NodePod,
      "10.0.0.5",
      { address: "10.96.0.10", domain: "cluster.local" },
    );
    expect(none["resolv.conf"]).toBe("nameserver 9.9.9.9\n");
  });

  test("capabilities", () => {
    const all = [...capabilityNames];
    expect(chooseCapabilities(undefined, undefined, all)).toHaveLength(14);
    expect(chooseCapabilities(["NET_ADMIN"], ["ALL"], all)).toEqual(["net_admin"]);
    expect(chooseCapabilities(["CAP_NET_ADMIN"], ["CHOWN"], all)).toContain("net_admin");
    expect(chooseCapabilities([], ["CHOWN"], all)).not.toContain("chown");
    expect(chooseCapabilities(["ALL"], [], ["kill"])).toEqual(["kill"]);
    expect(capabilitiesOf("0000000000003000")).toEqual(["net_admin", "net_raw"]);
    const base = { gid: 1, groups: [], capabilities: ["net_admin"], ambientCapabilities: ["net_admin"], noNewPrivileges: true };
    expect(setprivArguments({ ...base, uid: 1 })).toContain("--ambient-caps=-all,+net_admin");
    expect(setprivArguments({ ...base, uid: 0 })).toContain("--ambient-caps=-all");
  });

  test("words for the shell, and the machine's file systems", () => {
    expect(quote("it's $(x) `y`")).toBe(`'it'\\''s $(x) \`y\`'`);
    const line = (point: string, type: string) => `1 1 0:1 / ${point} rw - ${type} src rw`;
    const mounts = [
      line("/", "ext4"),
      line("/proc", "proc"),
      line("/home", "ext4"),
      line("/my\\040disk", "xfs"),
      line("/run/user/0", "tmpfs"),
      line("/state/pods/1", "tmpfs"),
      line("/var/lib/docker/x/merged", "overlay"),
    ].join("\n");
    expect(hostMountPoints(mounts, "/state")).toEqual(["/home", "/my disk"]);
  });
});

describe("scheduler", () => {
  const waiting = { metadata: { name: "p" }, spec: { containers: [] } } as unknown as NodePod;
  test("who is waiting, and who cannot be placed", () => {
    expect(isUnscheduled(waiting)).toBe(true);
    expect(isUnscheduled({ ...waiting, spec: { ...waiting.spec, nodeName: "n" } })).toBe(false);
    expect(isUnscheduled({ ...waiting, spec: { ...waiting.spec, schedulerName: "other" } })).toBe(false);
    const node = { labels: { disk: "ssd" }, podCount: 0, isUnschedulable: false };
    const picky = { ...waiting, spec: { ...waiting.spec, nodeSelector: { disk: "hdd" } } };
    expect(unschedulableReason(waiting, node)).toBeUndefined();
    expect(unschedulableReason(picky, node)).toContain("didn't match");
    expect(unschedulableReason(waiting, { ...node, podCount: 110 })).toContain("Too many pods");
    expect(unschedulableReason(waiting, { ...node, isUnschedulable: true })).toContain("unschedulable");
  });
});
