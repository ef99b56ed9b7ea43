// The objects of the mesh's end-to-end test, as values.
import { stringify } from "yaml";

type Manifest = Record<string, unknown>;
type Annotations = Readonly<Record<string, string>>;

/** Documents of one stream. */
export const documents = (...items: (Manifest | Manifest[])[]): string =>
  items
    .flat()
    .map((item) => `---\n${stringify(item, { version: "1.1" })}`)
    .join("");

export const namespace = (name: string, annotations: Annotations = {}): Manifest => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name, annotations },
});

/** The image name of `programs/echo.ts`. */
export const ECHO_IMAGE = "test/echo";

/** A service account, and a Deployment of one pod that runs as it. Without an image it sleeps, for `kubectl exec`. */
export function workload({
  namespace,
  name,
  image = "local/sleep",
  annotations = {},
}: {
  namespace: string;
  name: string;
  image?: string;
  annotations?: Annotations;
}): Manifest[] {
  const container =
    image === ECHO_IMAGE
      ? {
          ports: [
            { name: "http", containerPort: 8080 },
            { name: "raw", containerPort: 9000 },
          ],
          readinessProbe: { exec: { command: ["bash", "-c", ": < /dev/tcp/127.0.0.1/8080"] }, periodSeconds: 1 },
        }
      : { args: ["infinity"] };
  return [
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { namespace, name } },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { namespace, name },
      spec: {
        selector: { matchLabels: { app: name } },
        template: {
          metadata: { labels: { app: name }, annotations },
          spec: {
            serviceAccountName: name,
            terminationGracePeriodSeconds: image === ECHO_IMAGE ? 10 : 1,
            containers: [{ name, image, ...container }],
          },
        },
      },
    },
  ];
}

export const echoService = (namespace: string, name: string): Manifest => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { namespace, name },
  spec: {
    selector: { app: name },
    ports: [
      { name: "http", port: 80, targetPort: "http" },
      { name: "raw", port: 9000, targetPort: "raw" },
    ],
  },
});

export const server = ({
  namespace,
  name,
  app,
  port,
  protocol,
}: {
  namespace: string;
  name: string;
  app?: string;
  port: string;
  protocol: string;
}): Manifest => ({
  apiVersion: "policy.linkerd.io/v1beta1",
  kind: "Server",
  metadata: { namespace, name },
  spec: { podSelector: { matchLabels: app ? { app } : {} }, port, proxyProtocol: protocol },
});

/** Named as its Server. `account` may be of another namespace: `namespace/name`; without one, everyone may. */
export function authorization({ namespace, server, account }: { namespace: string; server: string; account?: string }): Manifest {
  const [name, accountNamespace] = (account ?? "").split("/").reverse();
  const everyone = { unauthenticated: true, networks: [{ cidr: "0.0.0.0/0" }, { cidr: "::/0" }] };
  return {
    apiVersion: "policy.linkerd.io/v1beta1",
    kind: "ServerAuthorization",
    metadata: { namespace, name: server },
    spec: {
      server: { name: server },
      client: account
        ? { meshTLS: { serviceAccounts: [{ name, ...(accountNamespace ? { namespace: accountNamespace } : {}) }] } }
        : everyone,
    },
  };
}

/** The kubelet's probes have no identity: whatever the default policy, they may ask the proxies. */
export const adminPolicy = (namespace: string): Manifest[] => [
  server({ namespace, name: "admin", port: "linkerd-admin", protocol: "HTTP/1" }),
  authorization({ namespace, server: "admin" }),
];
