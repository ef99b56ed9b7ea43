import { describe, expect, test } from "bun:test";
import { Store } from "../../store/index.ts";
import type { ApiObject } from "./resource.ts";
import { firstAddress, parseIpv4Range, ServiceAddresses } from "./service-allocator.ts";

describe("ranges", () => {
  test("leave out network and broadcast", () => {
    const range = parseIpv4Range("10.96.0.7/29");
    expect(firstAddress(range)).toBe("10.96.0.1");
    expect(range.last - range.first).toBe(5);
  });
  test.each(["10.96.0.0", "10.96.0.0/31", "10.96.0/16", "x/16", "fd00::/64", "10.96.0.0/7"])("%s is refused", (text) => {
    expect(() => parseIpv4Range(text)).toThrow(`${JSON.stringify(text)} is not an IPv4 range such as 10.96.0.0/16`);
  });
});

test("a small range is given out to the last address, and given back", () => {
  const store = new Store<ApiObject>({});
  const addresses = new ServiceAddresses({ range: parseIpv4Range("10.0.0.0/29"), store, random: () => 0.99 });
  const request = addresses.forRequest();
  const given = Array.from({ length: 6 }, () => request.nextAddress());
  expect([...given].sort()).toEqual(["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
  expect(request.nextAddress()).toBeUndefined();
  // another request under way may not have them
  const other = addresses.forRequest();
  expect(other.nextAddress()).toBeUndefined();
  expect(other.reserveAddress("10.0.0.3")).toBe("taken");
  expect(other.reserveAddress("10.0.1.3")).toBe("out-of-range");
  request.release();
  store.create(
    { bucket: "services", namespace: "a", name: "s" },
    { metadata: { name: "s" }, spec: { clusterIP: "10.0.0.3", ports: [{ nodePort: 30000 }] } },
  );
  const third = addresses.forRequest();
  expect(third.reserveAddress("10.0.0.3")).toBe("taken");
  expect(third.reserveAddress("10.0.0.4")).toBe("ok");
  expect([third.reserveNodePort(30000), third.reserveNodePort(29999), third.reserveNodePort(30001)]).toEqual([
    "taken",
    "out-of-range",
    "ok",
  ]);
});
