// The cluster's names, and the server that answers for them.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import dnsPacket, { type Packet } from "dns-packet";
import fc from "fast-check";
import type { EndpointSlice, Service } from "#kube";
import { maxQueryBytes, respond } from "./message.ts";
import { Zone } from "./records.ts";
import { type DnsServer, startDnsServer } from "./server.ts";

const meta = (name: string) => ({ name, namespace: "shop" });
const services = [
  {
    metadata: meta("web"),
    spec: {
      clusterIP: "10.96.0.7",
      ports: [
        { name: "http", port: 80 },
        { name: "admin", port: 81 },
      ],
    },
  },
  { metadata: meta("db"), spec: { clusterIP: "None", ports: [{ name: "sql", port: 5432 }] } },
  { metadata: meta("idle"), spec: { clusterIP: "None" } },
  { metadata: meta("away"), spec: { type: "ExternalName", externalName: "example.org" } },
  { metadata: meta("alias"), spec: { type: "ExternalName", externalName: "web.shop.svc.cluster.local" } },
  { metadata: meta("loop"), spec: { type: "ExternalName", externalName: "loop.shop.svc.cluster.local" } },
] as Service[];
const slices = [
  {
    metadata: { ...meta("db-1"), labels: { "kubernetes.io/service-name": "db" } },
    addressType: "IPv4",
    ports: [{ name: "sql", port: 5433 }],
    endpoints: [
      { addresses: ["10.244.0.5"] },
      { addresses: ["10.244.0.6"], hostname: "db-0" },
      { addresses: ["10.244.0.9"], conditions: { ready: false } },
    ],
  },
] as EndpointSlice[];
const zone = new Zone({ domain: "cluster.local", services, slices, namespaces: ["empty"] });
const texts = (name: string, type: string) =>
  zone
    .resolve(name, type)
    .answers.map(({ data }) => (typeof data === "string" ? data : "target" in data ? `${data.target}:${data.port}` : data.mname));

describe("Zone", () => {
  test.each([
    ["web.shop.svc.cluster.local", "A", ["10.96.0.7"]],
    ["WEB.Shop.svc.cluster.local.", "A", ["10.96.0.7"]],
    ["db.shop.svc.cluster.local", "A", ["10.244.0.5", "10.244.0.6"]],
    ["10-244-0-5.db.shop.svc.cluster.local", "A", ["10.244.0.5"]],
    ["db-0.db.shop.svc.cluster.local", "A", ["10.244.0.6"]],
    ["10-244-0-77.empty.pod.cluster.local", "A", ["10.244.0.77"]],
    ["_http._tcp.web.shop.svc.cluster.local", "SRV", ["web.shop.svc.cluster.local:80"]],
    ["web.shop.svc.cluster.local", "SRV", ["web.shop.svc.cluster.local:80", "web.shop.svc.cluster.local:81"]],
    ["_sql._tcp.db.shop.svc.cluster.local", "SRV", ["10-244-0-5.db.shop.svc.cluster.local:5433", "db-0.db.shop.svc.cluster.local:5433"]],
    ["away.shop.svc.cluster.local", "A", ["example.org"]],
    ["alias.shop.svc.cluster.local", "A", ["web.shop.svc.cluster.local", "10.96.0.7"]],
    ["7.0.96.10.in-addr.arpa", "PTR", ["web.shop.svc.cluster.local"]],
    ["5.0.244.10.in-addr.arpa", "PTR", ["10-244-0-5.db.shop.svc.cluster.local"]],
    ["dns-version.cluster.local", "TXT", ["1.1.0"]],
    ["localhost", "A", ["127.0.0.1"]],
  ])("%s %s", (name, type, expected) => {
    expect(texts(name, type)).toEqual(expected);
  });

  test.each([
    ["web.shop.svc.cluster.local", "AAAA"],
    ["shop.svc.cluster.local", "A"],
    ["svc.cluster.local", "A"],
    ["cluster.local", "A"],
    ["_http._tcp.web.shop.svc.cluster.local", "AAAA"],
  ])("%s %s exists and is empty", (name, type) => {
    expect(zone.resolve(name, type)).toMatchObject({ rcode: "NOERROR", answers: [], authorities: [{ type: "SOA" }] });
  });

  test.each([
    "gone.shop.svc.cluster.local",
    "web.gone.svc.cluster.local",
    "idle.shop.svc.cluster.local",
    "10-244-0-9.db.shop.svc.cluster.local",
    "_gone._tcp.web.shop.svc.cluster.local",
    "300-1-1-1.shop.pod.cluster.local",
    "a.b.c.web.shop.svc.cluster.local",
    "x.cluster.local",
  ])("%s does not exist", (name) => {
    expect(zone.resolve(name, "A")).toMatchObject({ rcode: "NXDOMAIN", authoritative: true, authorities: [{ type: "SOA" }] });
  });

  test("names outside the cluster, and unknown addresses, are denied without authority", () => {
    for (const name of ["example.org", "notcluster.local", "1.2.3.4.in-addr.arpa"])
      expect(zone.resolve(name, "A")).toMatchObject({ rcode: "NXDOMAIN", authoritative: false });
  });

  test("SRV answers bring the addresses; aliases that go round end", () => {
    expect(zone.resolve("_sql._tcp.db.shop.svc.cluster.local", "SRV").additionals.map(({ data }) => data)).toEqual([
      "10.244.0.5",
      "10.244.0.6",
    ]);
    expect(zone.resolve("loop.shop.svc.cluster.local", "A").answers.length).toBeLessThan(10);
  });
});

const query = (name: string, type: string, extra: object = {}) =>
  dnsPacket.encode({ type: "query", id: 77, flags: dnsPacket.RECURSION_DESIRED, questions: [{ type, name }], ...extra } as Packet);
const resolve = (name: string, type: string) => zone.resolve(name, type);

describe("respond", () => {
  test("repeats id and question", () => {
    const answer = dnsPacket.decode(Buffer.from(respond(query("Web.shop.svc.cluster.local", "A"), resolve, "udp")!));
    expect(answer).toMatchObject({ id: 77, type: "response", rcode: "NOERROR", questions: [{ name: "Web.shop.svc.cluster.local" }] });
  });

  test("cuts what is too long for UDP, and says so; TCP and EDNS take more", () => {
    const many = Array.from({ length: 60 }, (_, index) => ({ addresses: [`10.244.1.${index + 1}`] }));
    const big = new Zone({ domain: "cluster.local", services, slices: [{ ...slices[0]!, endpoints: many } as EndpointSlice] });
    const ask = (extra: object, transport: "udp" | "tcp") =>
      dnsPacket.decode(
        Buffer.from(respond(query("db.shop.svc.cluster.local", "A", extra), (name, type) => big.resolve(name, type), transport)!),
      ) as Packet & { flag_tc: boolean };
    expect(ask({}, "udp").flag_tc).toBe(true);
    expect(ask({}, "udp").answers?.length).toBe(11);
    expect(ask({}, "tcp").answers).toHaveLength(60);
    const opt = { additionals: [{ type: "OPT", name: ".", udpPayloadSize: 4096, flags: 0, options: [] }] };
    expect(ask(opt, "udp").answers?.length).toBe(28);
  });

  test("malformed queries are answered FORMERR or not at all, and never throw", () => {
    expect(respond(new Uint8Array(11), resolve, "udp")).toBeUndefined();
    expect(respond(Uint8Array.from([0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0]), resolve, "udp")).toBeUndefined();
    expect(respond(Uint8Array.from([0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]), resolve, "udp")?.[3]).toBe(1);
    expect(respond(new Uint8Array(maxQueryBytes + 1), resolve, "tcp")?.[3]).toBe(1);
    // A label "a.": written again its dot would end the name.
    expect(respond(Uint8Array.from([0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 97, 46, 0, 0, 1, 0, 1]), resolve, "udp")?.[3]).toBe(1);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const answer = respond(bytes, resolve, "udp");
        expect(answer === undefined || answer.length >= 12).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});

describe("server", () => {
  let server: DnsServer;
  beforeAll(async () => {
    server = await startDnsServer({ host: "127.0.0.1", resolve });
  });
  afterAll(() => server.close());

  test("UDP", async () => {
    const socket = createSocket("udp4");
    const answer = await new Promise<Packet>((done) => {
      socket.on("message", (message) => done(dnsPacket.decode(message)));
      socket.send(query("web.shop.svc.cluster.local", "A"), server.port, "127.0.0.1");
    });
    socket.close();
    expect(answer.answers).toMatchObject([{ type: "A", data: "10.96.0.7" }]);
  });

  test("TCP, two queries in pieces on one connection", async () => {
    const framed = [query("web.shop.svc.cluster.local", "A"), query("gone.shop.svc.cluster.local", "A")].map((bytes) =>
      Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]),
    );
    const socket = connect(server.port, "127.0.0.1");
    const answers = await new Promise<Packet[]>((done) => {
      let seen = Buffer.alloc(0);
      socket.on("data", (chunk) => {
        seen = Buffer.concat([seen, chunk as Buffer]);
        const found: Packet[] = [];
        for (let at = 0; at + 2 <= seen.length && at + 2 + seen.readUInt16BE(at) <= seen.length; at += 2 + seen.readUInt16BE(at))
          found.push(dnsPacket.decode(seen.subarray(at + 2, at + 2 + seen.readUInt16BE(at))));
        if (found.length === 2) done(found);
      });
      const all = Buffer.concat(framed);
      socket.write(all.subarray(0, 5), () => socket.write(all.subarray(5)));
    });
    socket.destroy();
    expect(answers.map((one) => (one as unknown as { rcode: string }).rcode)).toEqual(["NOERROR", "NXDOMAIN"]);
  });

  test("queries wait until the server is ready", async () => {
    const ready = Promise.withResolvers<void>();
    let asked = 0;
    const early = await startDnsServer({
      host: "127.0.0.1",
      ready: ready.promise,
      resolve: (name, type) => {
        asked++;
        return resolve(name, type);
      },
    });
    const socket = createSocket("udp4");
    const answers: Packet[] = [];
    const both = new Promise<void>((done) => {
      socket.on("message", (message) => {
        answers.push(dnsPacket.decode(message));
        if (answers.length === 2) done();
      });
    });
    for (const id of [1, 2])
      await new Promise((done) => socket.send(query("web.shop.svc.cluster.local", "A", { id }), early.port, "127.0.0.1", done));
    const tcp = connect(early.port, "127.0.0.1");
    await new Promise((done) => tcp.once("connect", done));
    expect(asked).toBe(0);
    ready.resolve();
    await both;
    expect(answers.map(({ id }) => id).sort()).toEqual([1, 2]);
    socket.close();
    tcp.destroy();
    await early.close();
  });

  test("a message longer than a query may be ends the connection", async () => {
    const socket = connect(server.port, "127.0.0.1");
    await new Promise((done) => {
      socket.on("close", done);
      socket.on("error", () => {});
      socket.write(Buffer.from([0xff, 0xff, 1]));
    });
  });
});
