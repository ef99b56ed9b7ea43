// What the data plane reports, as the stacks see it: each call gives counters for one set of labels, to be kept and used per
// event. The families, labels and their order (spec proxy §9) are the business of the implementation.
import type { SocketAddr } from "#addr";
import type { ErrorLabel } from "./http/errors.ts";
import type { ResponseScope } from "./http/meter.ts";
import type { TransportCounters } from "./transport/index.ts";

/** How a connection that was accepted is secured (spec proxy §9.2 "server TLS"). */
export type ServerTls =
  | { readonly kind: "disabled" }
  | { readonly kind: "none"; readonly reason: "loopback" | "port_skipped" | "no_tls_from_remote" }
  | { readonly kind: "established"; readonly clientId: string | null }
  | { readonly kind: "opaque"; readonly sni: string };

/** How a connection that is dialed is secured (spec proxy §9.2 "client TLS"). */
export type ClientTls =
  | { readonly kind: "disabled" }
  | { readonly kind: "none"; readonly reason: "loopback" | "not_provided_by_service_discovery" | "ingress_without_override" }
  | { readonly kind: "established"; readonly serverId: string };

export type Labels = ReadonlyArray<readonly [key: string, value: string]>;

/** A connection opens: counters for its life. */
export interface TransportScope {
  open(): TransportCounters;
}

export type InboundTarget = { readonly target: SocketAddr; readonly tls: ServerTls; readonly serverName: string };

/** `pending`: somebody waits for it; `error`: it has not been ready for too long. */
export type Readiness = "ready" | "pending" | "error";
export type StackProtocol = "http" | "tcp";
/** `accept`: of an original destination; `logical`: of a name; `concrete`: of a leg of its split; `endpoint`: of an address. */
export type StackName = "accept" | "logical" | "concrete" | "endpoint";

/** One stack, counted when it is made (spec proxy §9.8). */
export interface StackScope {
  /** Its readiness has changed. */
  poll(readiness: Readiness): void;
  /** It is gone; calling it twice is harmless. */
  drop(): void;
}

/** Retries of one route. */
export interface RetryableScope {
  count(): void;
  countNoBudget(): void;
  /** The route is gone. */
  release(): void;
}

export interface InboundTelemetry {
  /** `peer="src"`. */
  accept(labels: InboundTarget): TransportScope;
  /** `peer="dst"`: the application. */
  connect(): TransportScope;
  /** `authority` null: no logical name. */
  endpoint(labels: InboundTarget & { readonly authority: string | null; readonly authorizationName: string }): ResponseScope;
  route(dst: string, labels: Labels): ResponseScope;
  /** `inbound_{http,tcp}_authz_allow_total`. */
  allow(protocol: "http" | "tcp", labels: InboundTarget & { readonly authorizationName: string }): Counter;
  deny(protocol: "http" | "tcp", labels: InboundTarget): Counter;
  /** `inbound_tcp_authz_terminate_total`. */
  terminate(labels: InboundTarget): Counter;
  httpError(error: ErrorLabel, target: SocketAddr, serverName: string): void;
  tcpError(error: ErrorLabel, target: SocketAddr): void;
  stack(protocol: StackProtocol, name: StackName): StackScope;
}

export interface OutboundTelemetry {
  /** `peer="src"`, by original destination. */
  accept(target: SocketAddr): TransportScope;
  /** `peer="dst"`. */
  connect(labels: OutboundTarget): TransportScope;
  endpoint(labels: OutboundTarget): ResponseScope;
  route(dst: string, labels: Labels): ResponseScope;
  routeActual(dst: string, labels: Labels): ResponseScope;
  retryable(dst: string, labels: Labels): RetryableScope;
  httpError(error: ErrorLabel): void;
  tcpError(error: ErrorLabel, target: SocketAddr): void;
  stack(protocol: StackProtocol, name: StackName): StackScope;
}

export type OutboundTarget = {
  readonly authority: string | null;
  readonly target: SocketAddr;
  readonly tls: ClientTls;
  /** Endpoint metadata, for `dst_*`. */
  readonly labels: Labels;
};

export interface Counter {
  add(): void;
}

export type Telemetry = { readonly inbound: InboundTelemetry; readonly outbound: OutboundTelemetry };
