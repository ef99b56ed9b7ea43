// Addresses, names and leases: the network's pure parts.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cidrContains, cidrsOverlap, formatCidr, parseCidr, parseIpv4 } from "./cidr.ts";
import { Ipam } from "./ipam.ts";
import { clusterNames, podNamespace } from "./names.ts";
import { planNetwork } from "./node-network.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "fairlead-ipam-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("addresses of a plan", () => {
  expect(planNetwork({ cluster: "fairlead" })).toMatchObject({
    hostAddress: "10.250.0.2",
    nodeAddress: "10.250.0.1",
    gateway: "10.244.0.1",
    nodeNamespacePath: "/run/netns/fl-fairlead",
  });
});

test.each([
  [{ podCidr: "10.244.0.0" }, "podCidr"],
  [{ podCidr: "10.244.0.0/31" }, "podCidr"],
  [{ serviceCidr: "10.244.0.0/16" }, "overlaps"],
  [{ linkCidr: "300.0.0.0/30" }, "linkCidr"],
  [{ cluster: "No_Label" }, "cluster name"],
])("a bad plan %j names its field", (change, word) => {
  expect(() => planNetwork({ cluster: "fairlead", ...change })).toThrow(word);
});

test("prefixes", () => {
  expect(formatCidr(parseCidr("10.244.0.77/24"))).toBe("10.244.0.0/24");
  expect(cidrContains(parseCidr("10.244.0.0/24"), parseIpv4("10.244.0.255"))).toBe(true);
  expect(cidrContains(parseCidr("10.244.0.0/24"), parseIpv4("10.244.1.0"))).toBe(false);
  expect(cidrsOverlap(parseCidr("0.0.0.0/0"), parseCidr("192.0.2.0/24"))).toBe(true);
  expect(cidrsOverlap(parseCidr("10.0.0.0/9"), parseCidr("10.128.0.0/9"))).toBe(false);
  expect(() => parseIpv4("10.0.0.01")).toThrow("10.0.0.01");
});

test("names fit the kernel and cannot be taken for another cluster's", () => {
  expect(clusterNames("a-cluster-with-a-rather-long-name").hostLink.length).toBeLessThanOrEqual(15);
  expect(clusterNames("a").podNamespacePrefix).toBe("fl-a.");
  const name = podNamespace("a", { namespace: "n", name: "p".repeat(253), uid: "0123456789" });
  expect(name.length).toBeLessThanOrEqual(255);
  expect(name.endsWith(".01234567")).toBe(true);
});

test("leases are kept, rest before they are used again, and run out with a message", () => {
  const file = join(directory, "ipam.json");
  const ipam = new Ipam({ cidr: "10.1.0.0/29", file });
  expect(["a", "b", "a"].map((owner) => ipam.allocate(owner))).toEqual(["10.1.0.2", "10.1.0.3", "10.1.0.2"]);
  ipam.release("a");
  expect(ipam.allocate("c")).toBe("10.1.0.4");
  const again = new Ipam({ cidr: "10.1.0.0/29", file });
  expect(again.leases).toEqual({ b: "10.1.0.3", c: "10.1.0.4" });
  expect(["d", "e", "f"].map((owner) => again.allocate(owner))).toEqual(["10.1.0.5", "10.1.0.6", "10.1.0.2"]);
  expect(() => again.allocate("g")).toThrow("no free address: all 5");
});

test("a damaged file of leases counts as empty", () => {
  const file = join(directory, "ipam.json");
  writeFileSync(file, "{");
  expect(new Ipam({ cidr: "10.1.0.0/29", file }).allocate("a")).toBe("10.1.0.2");
});
