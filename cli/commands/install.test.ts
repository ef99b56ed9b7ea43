// `install`: flags to manifests, what is refused, and the manifests on a real API server (spec cli §3.6, cases 49–52).
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { parseAllDocuments } from "yaml";
import { generateAuthority, type KeyPair } from "#identity";
import { type AnyObject, Resources } from "#kube";
import { makeCertificate } from "../testing/certificates.ts";
import { cli, startWorld, type World, writeIn } from "../testing/world.ts";

// Processes are started: a busy machine takes its time.
setDefaultTimeout(30_000);

type Manifest = AnyObject & { data?: Record<string, string>; spec?: Record<string, unknown> };

let world: World;
let authority: KeyPair;
let files: { cert: string; key: string; anchors: string };

beforeAll(async () => {
  world = await startWorld();
  authority = await generateAuthority({ commonName: "identity.linkerd.example.org" });
  files = {
    cert: writeIn(world, "issuer.crt", authority.certPem),
    key: writeIn(world, "issuer.key", authority.keyPem),
    anchors: writeIn(world, "anchors.crt", authority.certPem),
  };
});
afterAll(() => world.close());

const offline = (words: readonly string[], env = {}) => cli(["install", "--ignore-cluster", ...words], { env });

async function render(words: readonly string[], env = {}): Promise<Manifest[]> {
  const { status, stdout, stderr } = await offline(words, env);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return parseAllDocuments(stdout).flatMap((document) => (document.toJS() as Manifest | null) ?? []);
}

function find(manifests: readonly Manifest[], kind: string, name: string): Manifest {
  const found = manifests.find((manifest) => manifest.kind === kind && manifest.metadata.name === name);
  if (!found) throw new Error(`no ${kind} ${name}`);
  return found;
}

/** Values as the control plane reads them. */
function valuesOf(manifests: readonly Manifest[]): Record<string, unknown> {
  return parseAllDocuments(find(manifests, "ConfigMap", "linkerd-config").data?.["values"] ?? "")[0]?.toJS() as Record<string, unknown>;
}

const at = (values: unknown, path: string) =>
  path.split(".").reduce<unknown>((value, key) => (value as Record<string, unknown>)?.[key], values);
const identityFlags = () => [
  `--identity-issuer-certificate-file=${files.cert}`,
  `--identity-issuer-key-file=${files.key}`,
  `--identity-trust-anchors-file=${files.anchors}`,
];

describe("flags", () => {
  type Row = [words: string[], expected: Record<string, unknown>];
  const independent: Row[] = [
    [["--linkerd-cni-enabled"], { cniEnabled: true }],
    [["--cluster-domain", "example.org"], { clusterDomain: "example.org" }],
    [["--identity-trust-domain=trust.example.org"], { identityTrustDomain: "trust.example.org" }],
    [["--controller-log-level", "debug"], { controllerLogLevel: "debug" }],
    [["--controller-replicas", "2"], { controllerReplicas: 2 }],
    [["--controller-uid", "1234"], { controllerUID: 1234 }],
    [["--disable-h2-upgrade"], { enableH2Upgrade: false }],
    [["--disable-heartbeat"], { disableHeartBeat: true }],
    [["--control-plane-version", "stable-9.9.9"], { linkerdVersion: "stable-9.9.9", controllerImageVersion: "stable-9.9.9" }],
    [["--identity-issuance-lifetime", "1h"], { "identity.issuer.issuanceLifetime": "1h" }],
    [["--identity-clock-skew-allowance", "30s"], { "identity.issuer.clockSkewAllowance": "30s" }],
    [["--enable-endpoint-slices"], { enableEndpointSlices: true }],
    [["--identity-external-ca"], { "identity.externalCA": true }],
    [["--inbound-port", "5143", "--outbound-port=5140"], { "proxy.ports.inbound": 5143, "proxy.ports.outbound": 5140 }],
    [["--control-port", "5190", "--admin-port=5191"], { "proxy.ports.control": 5190, "proxy.ports.admin": 5191 }],
    [["--skip-inbound-ports", "25,443-445", "--skip-inbound-ports=9"], { "proxyInit.ignoreInboundPorts": "25,443-445,9" }],
    [["--skip-outbound-ports", ""], { "proxyInit.ignoreOutboundPorts": "" }],
    [["--proxy-uid", "2200"], { "proxy.uid": 2200 }],
    [["--proxy-log-level", "warn,linkerd=debug"], { "proxy.logLevel": "warn,linkerd=debug" }],
    [
      ["--proxy-cpu-request=10m", "--proxy-cpu-limit", "1500m"],
      { "proxy.resources.cpu": { request: "10m", limit: "1500m" }, "proxy.cores": 2 },
    ],
    [["--proxy-memory-request=10Mi", "--proxy-memory-limit", "1Gi"], { "proxy.resources.memory": { request: "10Mi", limit: "1Gi" } }],
    [["--enable-external-profiles"], { "proxy.enableExternalProfiles": true }],
    [["-v", "edge-1", "--proxy-image", "r/p"], { "proxy.image.version": "edge-1", "proxy.image.name": "r/p" }],
    [["--init-image", "r/i", "--init-image-version=v1"], { "proxyInit.image.version": "v1", "proxyInit.image.name": "r/i" }],
    [["--image-pull-policy", "Always"], { imagePullPolicy: "Always" }],
    [
      ["--registry", "reg.example.org:5000/mesh/"],
      { controllerImage: "reg.example.org:5000/mesh/fairlead", "debugContainer.image.name": "reg.example.org:5000/mesh/debug" },
    ],
  ];
  const together: Row[] = [
    [
      ["--set", "controllerReplicas=3,proxy.uid=7", "--set-string", "proxy.cores=1"],
      { controllerReplicas: 3, "proxy.uid": 7, "proxy.cores": "1" },
    ],
    [["--controller-replicas=2", "--set=controllerReplicas=5"], { controllerReplicas: 5 }],
    [["--ha"], { controllerReplicas: 3, webhookFailurePolicy: "Fail", "proxy.resources.cpu.request": "100m" }],
    [["--ha", "--controller-replicas", "2"], { controllerReplicas: 2, webhookFailurePolicy: "Fail" }],
  ];
  const expectValues = (manifests: Manifest[], expected: Record<string, unknown>) => {
    const values = valuesOf(manifests);
    for (const [path, value] of Object.entries(expected)) expect([path, at(values, path)]).toEqual([path, value]);
  };
  test("every flag has its place in the values", async () => {
    const manifests = await render(independent.flatMap(([words]) => words));
    for (const [, expected] of independent) expectValues(manifests, expected);
  });
  test.each(together)("%j", async (words, expected) => expectValues(await render(words), expected));

  test("--ha --controller-replicas 2: two destinations, webhooks that fail closed", async () => {
    const manifests = await render(["--ha", "--controller-replicas", "2"]);
    expect(find(manifests, "Deployment", "linkerd-destination").spec?.["replicas"]).toBe(2);
    const webhook = find(manifests, "MutatingWebhookConfiguration", "linkerd-proxy-injector-webhook-config") as AnyObject & {
      webhooks: { failurePolicy: string }[];
    };
    expect(webhook.webhooks[0]?.failurePolicy).toBe("Fail");
  });

  test("values come from files, URLs and the environment; the namespace from -L", async () => {
    const file = writeIn(world, "values.yaml", "controllerReplicas: 4\nproxy: {uid: 8}\n");
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: ({ url }) => (url.endsWith("/v") ? new Response("proxy: {uid: 9}") : new Response("", { status: 404 })),
    });
    try {
      const values = valuesOf(await render(["-f", `${file},http://127.0.0.1:${server.port}/v`]));
      expect([values["controllerReplicas"], at(values, "proxy.uid")]).toEqual([4, 9]);
      const missing = await offline(["--values", `http://127.0.0.1:${server.port}/none`]);
      expect(missing.stderr).toBe(`--values http://127.0.0.1:${server.port}/none: server reported 404 Not Found\n`);
    } finally {
      await server.stop(true);
    }
    const file2 = writeIn(world, "pem", "text");
    expect(at(valuesOf(await render(["--set-file", `controllerLogFormat=${file2}`])), "controllerLogFormat")).toBe("text");
    expect(valuesOf(await render([], { LINKERD_DOCKER_REGISTRY: "reg" }))["controllerImage"]).toBe("reg/fairlead");
    expect(valuesOf(await render(["--registry=flag"], { LINKERD_DOCKER_REGISTRY: "reg" }))["controllerImage"]).toBe("flag/fairlead");
    const manifests = await render(["-L", "mesh"]);
    expect(find(manifests, "Namespace", "mesh").kind).toBe("Namespace");
    expect(find(manifests, "ClusterRole", "linkerd-mesh-identity").kind).toBe("ClusterRole");
  });

  test("deprecated flags work and say so", async () => {
    const { status, stdout, stderr } = await offline(["--proxy-cpu", "20m", "--proxy-memory=30Mi"]);
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr:
        "Flag --proxy-cpu has been deprecated, use --proxy-cpu-request instead\nFlag --proxy-memory has been deprecated, use --proxy-memory-request instead\n",
    });
    expect(stdout).toContain("request: 20m");
  });
});

describe("refused values name their flag", () => {
  const usage: [words: string[], message: string][] = [
    [
      ["--controller-replicas", "two"],
      'invalid argument "two" for "--controller-replicas" flag: strconv.ParseUint: parsing "two": invalid syntax',
    ],
    [["--controller-uid", "-1"], 'invalid argument "-1" for "--controller-uid" flag: strconv.ParseInt: parsing "-1": invalid syntax'],
    [
      ["--inbound-port", "65536"],
      'invalid argument "65536" for "--inbound-port" flag: strconv.ParseUint: parsing "65536": value out of range',
    ],
    [
      ["--proxy-uid", "2147483648"],
      'invalid argument "2147483648" for "--proxy-uid" flag: strconv.ParseInt: parsing "2147483648": value out of range',
    ],
    [
      ["--identity-issuance-lifetime", "day"],
      'invalid argument "day" for "--identity-issuance-lifetime" flag: time: invalid duration "day"',
    ],
    [
      ["--skip-inbound-ports", "1,70000"],
      'invalid argument "1,70000" for "--skip-inbound-ports" flag: "70000" is neither a port nor a range low-high (0 to 65535)',
    ],
    [
      ["--skip-outbound-ports", "9-5"],
      'invalid argument "9-5" for "--skip-outbound-ports" flag: "9-5" is neither a port nor a range low-high (0 to 65535)',
    ],
    [["--proxy-cpu-limit", "much"], 'invalid argument "much" for "--proxy-cpu-limit" flag: expected a quantity, such as 100m or 64Mi'],
    [
      ["--proxy-memory-request=-1Mi"],
      'invalid argument "-1Mi" for "--proxy-memory-request" flag: expected a quantity, such as 100m or 64Mi',
    ],
    [
      ["--proxy-log-level", ""],
      'invalid argument "" for "--proxy-log-level" flag: expected a comma-separated list of level, module or module=level (levels trace, debug, info, warn, error)',
    ],
    [
      ["--proxy-log-level", "linkerd=loud"],
      'invalid argument "linkerd=loud" for "--proxy-log-level" flag: expected a comma-separated list',
    ],
    [
      ["--image-pull-policy", "Sometimes"],
      'invalid argument "Sometimes" for "--image-pull-policy" flag: must be one of: Always, IfNotPresent, Never',
    ],
    [["--proxy-version", "a b"], `invalid argument "a b" for "--proxy-version" flag: expected letters, digits, '.' and '-'`],
    [["--control-plane-version", "v1/2"], '--control-plane-version: "v1/2" is not a valid version'],
  ];
  test.each(usage)("%j", async (words, message) => {
    const { status, stdout, stderr } = await offline(words);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toStartWith(`Error: ${message}`);
    expect(stderr).toContain("\nUsage:\n  fairlead install [flags]\n");
  });

  const values: [words: string[], message: string][] = [
    [["--controller-log-level", "loud"], '--controller-log-level: "loud" is not one of: panic, fatal, error, warn, info, debug'],
    [["--identity-trust-domain", "Not_A_Domain"], '--identity-trust-domain: "Not_A_Domain" is not a DNS name (DNS-1123 subdomain)'],
    [["--cluster-domain", "a..b"], '--cluster-domain: "a..b" is not a DNS name (DNS-1123 subdomain)'],
    [["--set", "clusterNetworks=10.0.0.0/40"], 'clusterNetworks: "10.0.0.0/40" is not a network in CIDR notation, such as 10.0.0.0/8'],
    [
      ["--set", "proxy.disableIdentity=true,proxy.requireIdentityOnInboundPorts=80"],
      "proxy.requireIdentityOnInboundPorts: cannot be set while proxy.disableIdentity is true",
    ],
    [
      ["--proxy-cpu-request=2", "--proxy-cpu-limit=1500m"],
      "--proxy-cpu-limit: the limit 1500m is less than the request 2 (--proxy-cpu-request)",
    ],
    [["--ha", "--proxy-memory-limit=10Mi"], "--proxy-memory-limit: the limit 10Mi is less than the request 20Mi (--proxy-memory-request)"],
    [["--set", "proxy.resources.cpu.request=fast"], '--proxy-cpu-request: "fast" is not a quantity, such as 100m or 64Mi'],
    [["--set", "a"], '--set a: key "a" has no value'],
    [["--values", "/none/values.yaml"], "--values /none/values.yaml: ENOENT: no such file or directory, open '/none/values.yaml'"],
    [["--set-file", "a=/none"], "--set-file a=/none: ENOENT: no such file or directory, open '/none'"],
  ];
  test.each(values)("%j", async (words, message) => {
    expect(await offline(words)).toEqual({ status: 1, stdout: "", stderr: `${message}\n` });
  });
});

describe("identity", () => {
  test("without files an authority is made for this installation alone; both places hold it", async () => {
    const [first, second] = await Promise.all([render([]), render([])]);
    const issuer = (manifests: Manifest[]) => find(manifests, "Secret", "linkerd-identity-issuer").data?.["crt.pem"] as string;
    expect(issuer(first)).not.toBe(issuer(second));
    for (const manifests of [first, second]) {
      const overrides = Buffer.from(
        find(manifests, "Secret", "linkerd-config-overrides").data?.["linkerd-config-overrides"] as string,
        "base64",
      ).toString();
      const pem = Buffer.from(issuer(manifests), "base64").toString();
      expect(overrides).toContain(pem.split("\n")[1] as string);
      expect(find(manifests, "ConfigMap", "linkerd-identity-trust-roots").data?.["ca-bundle.crt"]?.trim()).toBe(pem.trim());
    }
  });

  test("files are taken as they are", async () => {
    const manifests = await render(identityFlags());
    const data = find(manifests, "Secret", "linkerd-identity-issuer").data as Record<string, string>;
    expect(
      Buffer.from(data["crt.pem"] as string, "base64")
        .toString()
        .trim(),
    ).toBe(authority.certPem.trim());
    expect(
      Buffer.from(data["key.pem"] as string, "base64")
        .toString()
        .trim(),
    ).toBe(authority.keyPem.trim());
  });

  test("the same as values, from files; an installation can be rendered again from its overrides", async () => {
    const set = [
      `identityTrustAnchorsPEM=${files.anchors}`,
      `identity.issuer.tls.crtPEM=${files.cert}`,
      `identity.issuer.tls.keyPEM=${files.key}`,
    ];
    const manifests = await render(["--set-file", set.join(",")]);
    const issuer = find(manifests, "Secret", "linkerd-identity-issuer");
    const overrides = find(manifests, "Secret", "linkerd-config-overrides").data?.["linkerd-config-overrides"] as string;
    const again = await render([
      "--values",
      writeIn(world, "overrides.yaml", Buffer.from(overrides, "base64").toString()),
      "--controller-replicas=2",
    ]);
    expect(find(again, "Secret", "linkerd-identity-issuer").data).toEqual(issuer.data as Record<string, string>);
    expect(valuesOf(again)["controllerReplicas"]).toBe(2);
  });

  test("some but not all are refused, naming the others", async () => {
    const only = async (words: string[]) => (await offline(words)).stderr;
    expect(await only([`--identity-issuer-key-file=${files.key}`])).toBe(
      "--identity-trust-anchors-file and --identity-issuer-certificate-file must be specified if other credentials are provided\n",
    );
    expect(await only(identityFlags().slice(0, 2))).toBe(
      "--identity-trust-anchors-file must be specified if other credentials are provided\n",
    );
  });

  test("files that do not work are refused, naming flag and reason", async () => {
    const other = await generateAuthority({ commonName: "other" });
    const old = await makeCertificate({ commonName: "old", from: -40, until: -10 });
    const early = await makeCertificate({ commonName: "early", from: 1 });
    const leaf = await makeCertificate({ isCa: false });
    const wide = await makeCertificate({ commonName: "wide", curve: "P-384" });
    const hashed = await makeCertificate({ commonName: "hashed", hash: "SHA-384" });
    const cert = "--identity-issuer-certificate-file";
    const rows: [cert: string, key: string, anchors: string, message: string | RegExp][] = [
      [authority.certPem, other.keyPem, authority.certPem, "--identity-issuer-key-file: private key does not match the certificate"],
      [authority.certPem, wide.keyPem, authority.certPem, "--identity-issuer-key-file: private key does not match the certificate"],
      [authority.certPem, "no key", authority.certPem, /^--identity-issuer-key-file: /],
      ["no certificate", authority.keyPem, authority.certPem, `${cert}: no certificate found in PEM`],
      [authority.certPem, authority.keyPem, "none", "--identity-trust-anchors-file: no certificate found in PEM"],
      [authority.certPem.replace(/\n.{64}\n/, "\n"), authority.keyPem, authority.certPem, new RegExp(`^${cert}: certificate 1: `)],
      [old.certPem, old.keyPem, old.certPem, new RegExp(`^${cert}: \\d+ old not valid anymore\\. Expired on 20`)],
      [early.certPem, early.keyPem, early.certPem, new RegExp(`^${cert}: \\d+ early not valid before: 20`)],
      [
        wide.certPem,
        wide.keyPem,
        wide.certPem,
        new RegExp(`^${cert}: \\d+ wide must use P-256 curve for public key, instead secp384r1 was used`),
      ],
      [
        hashed.certPem,
        hashed.keyPem,
        hashed.certPem,
        new RegExp(`^${cert}: \\d+ hashed must be signed by an ECDSA P-256 key with SHA-256`),
      ],
      [leaf.certPem, leaf.keyPem, leaf.certPem, `${cert}: the certificate is not a CA's`],
      [
        authority.certPem,
        authority.keyPem,
        other.certPem,
        `${cert}: the certificate is not issued by a trust anchor of --identity-trust-anchors-file`,
      ],
    ];
    for (const [certPem, keyPem, anchorsPem, message] of rows) {
      const words = [
        `${cert}=${writeIn(world, "bad.crt", certPem)}`,
        `--identity-issuer-key-file=${writeIn(world, "bad.key", keyPem)}`,
        `--identity-trust-anchors-file=${writeIn(world, "bad-anchors.crt", anchorsPem)}`,
      ];
      const { status, stdout, stderr } = await offline(words);
      expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
      if (typeof message === "string") expect(stderr).toBe(`${message}\n`);
      else expect(stderr).toMatch(message);
    }
    expect((await offline([`${cert}=/none`, ...identityFlags().slice(1)])).stderr).toBe(
      `${cert}: ENOENT: no such file or directory, open '/none'\n`,
    );
  });

  test("an external issuer keeps key and certificate; its anchors come from its Secret, a file or a value", async () => {
    const external = "--identity-external-issuer";
    expect((await offline([external, `--identity-issuer-key-file=${files.key}`])).stderr).toBe(
      "--identity-issuer-key-file must not be specified if --identity-external-issuer=true\n",
    );
    expect((await offline([external])).stderr).toStartWith(
      "--identity-trust-anchors-file must be specified with --identity-external-issuer and --ignore-cluster",
    );
    const manifests = await render([external, `--identity-trust-anchors-file=${files.anchors}`]);
    expect(manifests.some(({ kind, metadata }) => kind === "Secret" && metadata.name === "linkerd-identity-issuer")).toBe(false);
    expect(at(valuesOf(manifests), "identity.issuer.scheme")).toBe("kubernetes.io/tls");

    const words = ["install", external, "-L", "elsewhere"];
    expect((await world.cli(words)).stderr).toStartWith("Secret elsewhere/linkerd-identity-issuer does not exist");
    await world.kubectl(["create", "namespace", "elsewhere"]);
    const secret = ["secret", "generic", "linkerd-identity-issuer", "-n", "elsewhere"];
    await world.kubectl([
      "create",
      ...secret,
      `--from-file=ca.crt=${files.anchors}`,
      `--from-file=tls.crt=${files.cert}`,
      `--from-file=tls.key=${files.key}`,
    ]);
    const { status, stdout } = await world.cli(words);
    expect(status).toBe(0);
    expect(stdout).toContain(authority.certPem.split("\n")[1] as string);
    await world.kubectl(["delete", "secret", "linkerd-identity-issuer", "-n", "elsewhere"]);
    await world.kubectl(["create", ...secret, "--from-literal=ca.crt=none"]);
    expect((await world.cli(words)).stderr).toBe("Secret elsewhere/linkerd-identity-issuer: data[ca.crt]: no certificate found in PEM\n");
  });
});

describe("on a cluster", () => {
  test("in two stages, each refusing what it must not do; then whole, and not twice", async () => {
    const early = await world.cli(["install", "control-plane"]);
    expect(early).toMatchObject({ status: 1, stdout: "" });
    expect(early.stderr).toStartWith("Can't install the Linkerd control plane: the global resources are missing.");
    expect(early.stderr).toContain("--skip-checks");
    expect((await world.cli(["install", "control-plane", "--skip-checks"])).status).toBe(0);

    const config = await world.cli(["install", "config"]);
    expect(config.stderr).toBe("");
    const kinds = parseAllDocuments(config.stdout).flatMap((document) => (document.toJS() as Manifest | null)?.kind ?? []);
    expect(kinds).toContain("CustomResourceDefinition");
    expect(kinds).not.toContain("Deployment");
    await world.kubectl(["apply", "-f", "-"], config.stdout);

    const twice = await world.cli(["install", "config"]);
    expect(twice).toMatchObject({ status: 1, stdout: "" });
    expect(twice.stderr).toContain("\n\tclusterrole.rbac.authorization.k8s.io/linkerd-linkerd-identity\n");
    expect(twice.stderr).toContain("\n\tcustomresourcedefinition.apiextensions.k8s.io/servers.policy.linkerd.io\n");
    expect((await world.cli(["install", "config", "--ignore-cluster"])).status).toBe(0);

    const rest = await world.cli(["install", "control-plane", ...identityFlags()]);
    expect(rest.stderr).toBe("");
    expect(rest.stdout).not.toContain("kind: CustomResourceDefinition");
    await world.kubectl(["apply", "-f", "-"], rest.stdout);
    const deployments = (await world.client.list({ ...Resources.deployments, namespace: "linkerd" })).items.map(
      ({ metadata }) => metadata.name,
    );
    expect(deployments.sort()).toEqual(["linkerd-destination", "linkerd-identity", "linkerd-proxy-injector"]);

    for (const words of [["install"], ["install", "control-plane"]]) {
      const again = await world.cli(words);
      expect(again).toMatchObject({ status: 1, stdout: "" });
      expect(again.stderr).toContain("ConfigMap linkerd/linkerd-config exists");
      expect(again.stderr).toContain("To upgrade it");
    }
    expect((await world.cli(["install", "-L", "other"])).status).toBe(0);

    const names = (yaml: string) =>
      parseAllDocuments(yaml).flatMap((document) => {
        const manifest = document.toJS() as Manifest | null;
        return manifest ? [`${manifest.kind}/${manifest.metadata.name}`] : [];
      });
    const whole = await world.cli(["install", "--ignore-cluster", ...identityFlags()]);
    expect(names(whole.stdout).sort()).toEqual([...names(config.stdout), ...names(rest.stdout)].sort());
  });

  test("who may not read, and a server that does not answer, are told with the way around", async () => {
    const forbidden = await world.cli(["install", "--as", "eve"]);
    expect(forbidden).toMatchObject({ status: 1, stdout: "" });
    expect(forbidden.stderr).toContain('User "eve" cannot get resource "configmaps" in API group "" in the namespace "linkerd"');
    expect(forbidden.stderr).toContain("--ignore-cluster");
    const down = writeIn(
      world,
      "down.kubeconfig",
      "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\nclusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n",
    );
    const unreachable = await world.cli(["install", "--kubeconfig", down]);
    expect(unreachable).toMatchObject({ status: 1, stdout: "" });
    expect(unreachable.stderr).toContain("http://127.0.0.1:1: GET /api/v1/namespaces/linkerd/configmaps/linkerd-config: ");
  });

  test("a node that runs docker refuses a proxy-init that is not root", async () => {
    await world.kubectl([
      "patch",
      "node",
      "node",
      "--subresource=status",
      "--type=merge",
      "-p",
      '{"status":{"nodeInfo":{"containerRuntimeVersion":"docker://20.10"}}}',
    ]);
    try {
      expect((await world.cli(["install", "-L", "other"])).status).toBe(0);
      const refused = await world.cli(["install", "-L", "other", "--set", "proxyInit.runAsRoot=false"]);
      expect(refused).toMatchObject({ status: 1, stdout: "" });
      expect(refused.stderr).toContain("try installing linkerd via --set proxyInit.runAsRoot=true");
    } finally {
      await world.kubectl([
        "patch",
        "node",
        "node",
        "--subresource=status",
        "--type=merge",
        "-p",
        '{"status":{"nodeInfo":{"containerRuntimeVersion":"containerd://2"}}}',
      ]);
    }
  });
});
