// Service rules as text.
import { describe, expect, test } from "bun:test";
import type { EndpointSlice, Service } from "#kube";
import { lostUdpTargets, parseInstalled, renderRules, resolveServices } from "./rules.ts";

const service = (spec: object, name = "web"): Service =>
  ({
    metadata: { name, namespace: "shop" },
    spec: { clusterIP: "10.96.0.7", ports: [{ name: "http", port: 80, targetPort: 8080 }], ...spec },
  }) as Service;
const slice = (endpoints: object[], ports: object[] = [{ name: "http", port: 8080 }], name = "web"): EndpointSlice =>
  ({
    metadata: { name: `${name}-1`, namespace: "shop", labels: { "kubernetes.io/service-name": name } },
    addressType: "IPv4",
    endpoints,
    ports,
  }) as EndpointSlice;
const render = (services: Service[], slices: EndpointSlice[]) =>
  renderRules({ services, slices, serviceCidr: "10.96.0.0/16", nodeAddress: "10.250.0.1" }).text;

describe("resolveServices", () => {
  test("ready endpoints, ordered and without duplicates", () => {
    const [state] = resolveServices(
      [service({})],
      [
        slice([{ addresses: ["10.244.0.9"] }, { addresses: ["10.244.0.5"], conditions: { ready: true } }]),
        slice([{ addresses: ["10.244.0.9"] }, { addresses: ["10.244.0.7"], conditions: { ready: false } }]),
      ],
    );
    expect(state?.targets).toEqual([
      { ip: "10.244.0.5", port: 8080 },
      { ip: "10.244.0.9", port: 8080 },
    ]);
  });

  test("without a ready one, those that still serve while they end", () => {
    const [state] = resolveServices(
      [service({})],
      [
        slice([
          { addresses: ["10.244.0.5"], conditions: { ready: false, serving: true, terminating: true } },
          { addresses: ["10.244.0.6"], conditions: { ready: false, serving: false } },
        ]),
      ],
    );
    expect(state?.targets).toEqual([{ ip: "10.244.0.5", port: 8080 }]);
  });

  test("headless, external and malformed services have no rules", () => {
    expect(
      resolveServices(
        [
          service({ clusterIP: "None" }),
          service({ type: "ExternalName" }),
          service({ clusterIP: "x" }),
          service({ ports: [{ port: 0 }, { port: 80, protocol: "SCTP" }] }),
        ],
        [],
      ),
    ).toEqual([]);
  });
});

describe("renderRules", () => {
  test("shares connections among endpoints and masquerades hairpins", () => {
    const text = render(
      [service({})],
      [slice([{ addresses: ["10.244.0.5"] }, { addresses: ["10.244.0.6"] }, { addresses: ["10.244.0.7"] }])],
    );
    expect(text).toMatch(
      /-A FAIRLEAD-SERVICES -d 10\.96\.0\.7\/32 -p tcp -m tcp --dport 80 -m comment --comment "shop\/web:http" -j (FAIRLEAD-SVC-\w{14})\n/,
    );
    expect([...text.matchAll(/--probability (\S+)/g)].map((match) => match[1])).toEqual(["0.33333333333", "0.50000000000"]);
    expect(text).toMatch(
      /-A (FAIRLEAD-SEP-\w{14}) -s 10\.244\.0\.5\/32 -j MARK --set-xmark 0x4000\/0x4000\n-A \1 -p tcp -m tcp -j DNAT --to-destination 10\.244\.0\.5:8080\n/,
    );
    // The kernel's limit for the name of a chain.
    for (const [, name] of text.matchAll(/^:(\S+)/gm)) expect(name!.length).toBeLessThanOrEqual(28);
  });

  test("a service without endpoints refuses", () => {
    const text = render([service({ ports: [{ name: "http", port: 80, nodePort: 30_080 }] })], []);
    expect(text).toContain(
      '-A FAIRLEAD-SERVICES -d 10.96.0.7/32 -p tcp -m tcp --dport 80 -m comment --comment "shop/web:http has no endpoints" -j REJECT',
    );
    expect(text).toContain("-d 10.250.0.1/32 -p tcp -m tcp --dport 30080");
    expect(text).not.toContain("FAIRLEAD-SVC-");
  });

  test("node ports and client affinity", () => {
    const text = render(
      [service({ sessionAffinity: "ClientIP", ports: [{ name: "http", port: 80, nodePort: 30_080 }] })],
      [slice([{ addresses: ["10.244.0.5"] }])],
    );
    expect(text).toContain("-A FAIRLEAD-NODEPORTS -p tcp -m tcp --dport 30080");
    expect(text).toMatch(/-m recent --rcheck --seconds 10800 --reap --name (FAIRLEAD-SEP-\w+) --rsource -j \1/);
    expect(text).toMatch(/-m recent --set --name FAIRLEAD-SEP-\w+ --rsource -m tcp -j DNAT/);
  });

  test("the same objects in another order give the same text; nothing of a name is taken as a rule", () => {
    const [one, two] = [service({}), service({ clusterIP: "10.96.0.8" }, 'evil" -j ACCEPT')];
    expect(render([one, two], [])).toBe(render([two, one], []));
    expect(render([two], [])).toContain('--comment "shop/evil_ -j ACCEPT:http has no endpoints" -j REJECT');
  });
});

test("an update leaves the built-in chains alone and removes what is not needed any more", () => {
  const dump = [
    "*nat",
    ":PREROUTING ACCEPT [0:0]",
    ":FAIRLEAD-SERVICES - [0:0]",
    ":FAIRLEAD-SVC-old - [0:0]",
    "-A PREROUTING -j FAIRLEAD-SERVICES",
    "-A OUTPUT -j FAIRLEAD-SERVICES",
    "-A POSTROUTING -j FAIRLEAD-POSTROUTING",
    "COMMIT",
    "*filter",
    ":FAIRLEAD-SERVICES - [0:0]",
    ...["INPUT", "FORWARD", "OUTPUT"].map((chain) => `-A ${chain} -j FAIRLEAD-SERVICES`),
    "COMMIT",
  ].join("\n");
  const installed = parseInstalled(dump);
  expect(installed).toEqual({ chains: ["FAIRLEAD-SERVICES", "FAIRLEAD-SVC-old"], hasJumps: true });
  const { text } = renderRules({ services: [], slices: [], serviceCidr: "10.96.0.0/16", nodeAddress: "10.250.0.1" }, installed);
  expect(text).not.toMatch(/-A (PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) /);
  expect(text).toContain(":FAIRLEAD-SVC-old - [0:0]");
  expect(text).toContain("-X FAIRLEAD-SVC-old");
  expect(parseInstalled("").hasJumps).toBe(false);
});

test("UDP endpoints that are gone are found", () => {
  const udp = { ports: [{ name: "dns", port: 53, protocol: "UDP" }] };
  const states = (ips: string[]) =>
    resolveServices(
      [service(udp)],
      [
        slice(
          ips.map((ip) => ({ addresses: [ip] })),
          [{ name: "dns", port: 53, protocol: "UDP" }],
        ),
      ],
    );
  expect(lostUdpTargets(states(["10.244.0.5", "10.244.0.6"]), states(["10.244.0.6"]))).toEqual([
    { clusterIP: "10.96.0.7", port: 53, target: { ip: "10.244.0.5", port: 53 } },
  ]);
});
