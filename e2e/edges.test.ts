import { expect, test } from "bun:test";
import { inboundEdges, merge, parseExposition, quantile, since } from "./edges.ts";

const page = (ok: number, bad: number) => `# HELP response_total Total count of HTTP responses.
response_total{direction="inbound",target_port="8080",tls="true",client_id="web.ns.serviceaccount.identity.linkerd.cluster.local",status_code="200",classification="success"} ${ok}
response_total{direction="inbound",target_port="8080",tls="true",client_id="web.ns.serviceaccount.identity.linkerd.cluster.local",status_code="500",classification="failure"} ${bad}
response_total{direction="inbound",target_port="4191",tls="no_identity",no_tls_reason="no_tls_from_remote",classification="success"} 7
response_latency_ms_bucket{direction="inbound",target_port="8080",tls="true",client_id="web.ns.serviceaccount.identity.linkerd.cluster.local",status_code="200",le="1"} ${ok / 2}
response_latency_ms_bucket{direction="inbound",target_port="8080",tls="true",client_id="web.ns.serviceaccount.identity.linkerd.cluster.local",status_code="200",le="2"} ${ok}
response_latency_ms_bucket{direction="inbound",target_port="8080",tls="true",client_id="web.ns.serviceaccount.identity.linkerd.cluster.local",status_code="200",le="+Inf"} ${ok}
`;

test("edges between two readings, without the admin port", () => {
  const edges = since(inboundEdges("voting", parseExposition(page(10, 1))), inboundEdges("voting", parseExposition(page(30, 3))));
  expect(edges).toHaveLength(1);
  expect(edges[0]).toMatchObject({
    client: "web.ns.serviceaccount.identity.linkerd.cluster.local",
    server: "voting",
    secured: "mTLS",
    successes: 20,
    failures: 2,
  });
  expect(quantile((edges[0] as (typeof edges)[number]).buckets, 0.5)).toBe(1);
  expect(quantile((edges[0] as (typeof edges)[number]).buckets, 0.75)).toBe(1.5);
});

test("the same edge at two pods is one", () => {
  const one = inboundEdges("voting", parseExposition(page(10, 1)));
  expect(merge([...one, ...one])).toMatchObject([{ successes: 20, failures: 2 }]);
});

test("no data has no quantile", () => {
  expect(quantile(new Map(), 0.5)).toBeNull();
  expect(
    quantile(
      new Map([
        [1, 0],
        [Number.POSITIVE_INFINITY, 0],
      ]),
      0.99,
    ),
  ).toBeNull();
});
