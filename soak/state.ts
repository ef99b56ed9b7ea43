// What the control plane of a soak says: services, the instances that are up, who may call, how long certificates live.

export type Service = {
  /** Of the service's address. */
  readonly port: number;
  /** Fully qualified, without port. */
  readonly name: string;
  readonly opaque: boolean;
  /** Of each instance. */
  readonly targetPort: number;
  /** Paths that are retried (a regular expression). */
  readonly retryable?: string;
  /** Its only instance has the pod's own address, and stays. */
  readonly onPod?: true;
};

export type Server = {
  readonly name: string;
  readonly opaque: boolean;
  /** Identities that may call, an authorization each. */
  readonly clients: readonly string[];
  /** Also without an identity. */
  readonly everyone?: true;
};

export type State = {
  readonly serviceAddress: string;
  readonly podAddress: string;
  readonly services: readonly Service[];
  /** Addresses of instances that take requests. */
  readonly instances: readonly string[];
  /** Identity of the proxy in front of all of them. */
  readonly serverIdentity: string;
  /** By port; other ports have no policy of their own. */
  readonly servers: Readonly<Record<number, Server>>;
  readonly certificateLifetimeMs: number;
};

export const PORTS = { http: 8080, guarded: 8081, upload: 8082, grpc: 50_051, tcp: 7000 } as const;

/** The services of a soak, each on the port its applications listen on. */
export const SERVICES: readonly Service[] = [
  { port: PORTS.http, name: "web.soak.svc.cluster.local", opaque: false, targetPort: PORTS.http },
  { port: PORTS.guarded, name: "guarded.soak.svc.cluster.local", opaque: false, targetPort: PORTS.guarded },
  { port: PORTS.upload, name: "upload.soak.svc.cluster.local", opaque: false, targetPort: PORTS.upload },
  { port: PORTS.grpc, name: "grpc.soak.svc.cluster.local", opaque: false, targetPort: PORTS.grpc, retryable: "/soak\\.Echo/Flaky" },
  { port: PORTS.tcp, name: "tcp.soak.svc.cluster.local", opaque: true, targetPort: PORTS.tcp },
];
