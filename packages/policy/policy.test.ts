import { describe, expect, test } from "bun:test";
import {
  type Authorization,
  authorize,
  contains,
  defaultPolicy,
  LOCALHOST,
  type Network,
  parseAddress,
  parseNetwork,
  type ServerPolicy,
  samePolicy,
} from "./index.ts";

const net = (text: string) => parseNetwork(text) as Network;

describe("networks", () => {
  test.each([
    ["10.0.0.0/8", "10.255.1.2", true],
    ["10.0.0.0/8", "11.0.0.1", false],
    ["192.168.1.7/24", "192.168.1.200", true],
    ["0.0.0.0/0", "203.0.113.9", true],
    ["0.0.0.0/0", "fd00::1", false],
    ["10.1.2.3", "10.1.2.3", true],
    ["10.1.2.3", "10.1.2.4", false],
    ["255.255.255.255/32", "255.255.255.255", true],
    ["128.0.0.0/1", "200.0.0.1", true],
    ["fd00::/8", "fdff:1::2", true],
    ["fd00::/8", "fe00::1", false],
    ["2001:db8::/33", "2001:db8:7fff::1", true],
    ["2001:db8::/33", "2001:db8:8000::1", false],
    ["::1/128", "::1", true],
    ["::/0", "10.0.0.1", false],
  ])("%s contains %s: %p", (network, ip, expected) => {
    expect(contains(net(network), parseAddress(ip))).toBe(expected);
  });

  test.each(["10.0.0.0/33", "fd00::/129", "10.0.0/8", "web/8", "10.0.0.0/", "10.0.0.0/-1", ""])("%p is no network", (text) => {
    expect(parseNetwork(text)).toBeNull();
  });
});

const policy = (...authorizations: Authorization[]): ServerPolicy => ({ name: "web", protocol: { kind: "http1" }, authorizations });
const everywhere = [{ net: net("0.0.0.0/0"), except: [] }];
const meshed = (exact: string[], suffixes: string[] = [], networks: Authorization["networks"] = everywhere): Authorization => ({
  name: "saz",
  networks,
  authentication: { kind: "identities", exact: new Set(exact), suffixes },
});

describe("authorize", () => {
  const web = { ip: "10.0.0.1", tls: true, id: "web.ns.serviceaccount.identity.linkerd.cluster.local" };
  test.each([
    ["the named identity", meshed([web.id]), web, true],
    ["another identity", meshed([`x${web.id}`]), web, false],
    ["a suffix", meshed([], [".ns.serviceaccount.identity.linkerd.cluster.local"]), web, true],
    ["a suffix is not a whole name", meshed([], [`.${web.id}`]), web, false],
    ["any identity", meshed([], [""]), web, true],
    ["TLS without a certificate is no identity", meshed([], [""]), { ...web, id: null }, false],
    ["no TLS is no identity", meshed([web.id]), { ...web, tls: false }, false],
    ["a dot in a name is a dot", meshed(["webXns.serviceaccount.identity.linkerd.cluster.local"]), web, false],
    ["outside the network", meshed([web.id], [], [{ net: net("10.1.0.0/16"), except: [] }]), web, false],
    ["in an exception", meshed([web.id], [], [{ net: net("10.0.0.0/8"), except: [net("10.0.0.0/24")] }]), web, false],
    ["in a second network", meshed([web.id], [], [{ net: net("10.1.0.0/16"), except: [] }, ...everywhere]), web, true],
  ] as const)("%s", (_, authorization, client, allowed) => {
    expect(authorize(policy(authorization), client)).toBe(allowed ? authorization : null);
  });

  test("the first authorization that fits gives its name; none denies", () => {
    const first = { ...meshed(["other"]), name: "first" };
    const second = { ...meshed([web.id]), name: "second" };
    expect(authorize(policy(first, second, { ...second, name: "third" }), web)?.name).toBe("second");
    expect(authorize(policy(), web)).toBeNull();
  });

  test("TLS without certificate passes where it is enough", () => {
    const authorization: Authorization = { name: "tls", networks: everywhere, authentication: { kind: "tls" } };
    expect(authorize(policy(authorization), { ...web, id: null })?.name).toBe("tls");
    expect(authorize(policy(authorization), { ...web, tls: false, id: null })).toBeNull();
  });
});

describe("default policies", () => {
  const options = { clusterNetworks: [net("10.0.0.0/8")], detectTimeoutMs: 10_000 };
  const inCluster = { ip: "10.9.9.9", tls: false, id: null };
  const outside = { ip: "203.0.113.1", tls: false, id: null };
  const identified = { tls: true, id: "a.b" };
  test.each([
    ["all-unauthenticated", true, true, true, true],
    ["all-authenticated", false, false, true, true],
    ["cluster-unauthenticated", true, false, true, false],
    ["cluster-authenticated", false, false, true, false],
    ["deny", false, false, false, false],
  ] as const)("%s", (name, a, b, c, d) => {
    const verdict = (client: object) => authorize(defaultPolicy(name, options), client as never) !== null;
    expect([
      verdict(inCluster),
      verdict(outside),
      verdict({ ...inCluster, ...identified }),
      verdict({ ...outside, ...identified }),
    ]).toEqual([a, b, c, d]);
    expect(defaultPolicy(name, options).name).toBe(`default:${name}`);
  });

  test("a pod may always talk to itself", () => {
    expect(authorize(policy(LOCALHOST), { ip: "127.0.0.1", tls: false, id: null })?.name).toBe("default:localhost");
    expect(authorize(policy(LOCALHOST), { ip: "::1", tls: false, id: null })?.name).toBe("default:localhost");
    expect(authorize(policy(LOCALHOST), outside)).toBeNull();
  });
});

test("the same policy said again is no change", () => {
  expect(samePolicy(policy(meshed(["a", "b"])), policy(meshed(["b", "a"])))).toBe(true);
  expect(samePolicy(policy(meshed(["a"])), policy(meshed(["b"])))).toBe(false);
});
