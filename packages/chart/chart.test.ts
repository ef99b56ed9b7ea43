// The renderer against the real Helm: the same text from the same chart and values; and what the control plane's chart promises.
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateAuthority } from "#identity";
import { VERSION } from "#version";
import { clusterTools } from "../../cluster/tools.ts";
import { chartPaths } from "./embed.ts";
import { controlPlaneFiles } from "./embedded.ts";
import {
  Chart,
  controlPlaneChart,
  controlPlaneDefaults,
  fromYaml,
  highAvailabilityValues,
  overlay,
  printManifests,
  readValues,
  renderControlPlane,
  type Values,
} from "./index.ts";

const root = join(import.meta.dir, "../..");
const folder = join(root, "charts/fairlead-control-plane");
const scratch = mkdtempSync(join(tmpdir(), "fairlead-chart-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

type Doc = {
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Record<string, string>; annotations?: Record<string, string> };
  [key: string]: unknown;
};
const docs = (yaml: string): Doc[] =>
  yaml
    .split(/^---$/m)
    .map((one) => fromYaml(one) as Doc | null)
    .filter((one) => one !== null);
const find = (all: Doc[], kind: string, name: string): Doc => {
  const found = all.find((one) => one.kind === kind && one.metadata.name === name);
  if (!found) throw new Error(`no ${kind} ${name}`);
  return found;
};

const certificates: Values = {
  identityTrustAnchorsPEM: "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n",
  identity: {
    issuer: {
      tls: {
        crtPEM: "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n",
        keyPEM: "-----BEGIN PRIVATE KEY-----\nYWJj\n-----END PRIVATE KEY-----\n",
      },
    },
  },
  proxyInjector: { crtPEM: "crt", keyPEM: "key" },
  profileValidator: { crtPEM: "crt", keyPEM: "key" },
  policyValidator: { crtPEM: "crt", keyPEM: "key" },
};

describe("equal to helm template", () => {
  const worlds: [string, Values][] = [
    ["defaults", {}],
    ["high availability", highAvailabilityValues()],
    ["CNI, endpoint slices, PSP", { cniEnabled: true, enableEndpointSlices: true, enablePSP: true, installNamespace: false }],
    [
      "external certificates",
      {
        identity: { externalCA: true, issuer: { scheme: "kubernetes.io/tls" } },
        proxyInjector: { externalSecret: true, caBundle: "ca" },
        profileValidator: { externalSecret: true, caBundle: "ca" },
        policyValidator: { externalSecret: true, caBundle: "ca" },
      },
    ],
    [
      "everything set",
      {
        namespace: "mesh",
        clusterDomain: "example.org",
        identityTrustDomain: "trust.example.org",
        imagePullSecrets: [{ name: "regcred" }],
        tolerations: [{ key: "a", operator: "Exists", effect: "NoSchedule" }],
        podAnnotations: { "example.org/note": "yes: with a colon", odd: "true" },
        podLabels: { team: "mesh" },
        controlPlaneTracing: true,
        disableHeartBeat: false,
        heartbeatSchedule: "1 2 * * *",
        proxy: {
          cores: 2,
          await: false,
          waitBeforeExitSeconds: 30,
          nativeSidecar: true,
          opaquePorts: "",
          logLevel: "warn,linkerd=debug,a long filter that goes beyond the eighty columns where folding begins=trace",
        },
        proxyInit: { runAsRoot: false, closeWaitTimeoutSecs: 3600, skipSubnets: "10.1.0.0/16", logLevel: "debug", logFormat: "json" },
        identity: { serviceAccountTokenProjection: true },
        destinationProxyResources: { cpu: { request: "50m" } },
      },
    ],
  ];
  test.each(worlds)("%s", async (name, more) => {
    const values = overlay(certificates, more);
    const file = join(scratch, `${name.replace(/\W/g, "-")}.json`);
    writeFileSync(file, JSON.stringify(values));
    const { helm } = clusterTools();
    const expected = Bun.spawnSync([helm, "template", folder, "-f", file, "--kube-version", "v1.34.0"]);
    expect(expected.stderr.toString()).toBe("");
    expect(printManifests(await controlPlaneChart().render({ values }))).toBe(expected.stdout.toString());
  });

  test("a value that is missing is refused by both, by name", async () => {
    const { helm } = clusterTools();
    const answer = Bun.spawnSync([helm, "template", folder]);
    expect(answer.exitCode).not.toBe(0);
    expect(answer.stderr.toString()).toContain("identity.issuer.tls.crtPEM: please provide");
    await expect(
      controlPlaneChart().render({ values: overlay(certificates, { identity: { issuer: { tls: { crtPEM: "" } } } }) }),
    ).rejects.toThrow(
      /fairlead-control-plane\/templates\/identity\.yaml:\d+: \.Values\.identity\.issuer\.tls\.crtPEM: identity\.issuer\.tls\.crtPEM: please provide/,
    );
  });
});

describe("the control plane's chart", () => {
  const render = async (options: Parameters<typeof renderControlPlane>[0] = {}) => {
    const authority = await generateAuthority({ commonName: "identity.linkerd.cluster.local" });
    const result = await renderControlPlane({
      identity: { trustAnchorsPem: authority.certPem, issuerCertPem: authority.certPem, issuerKeyPem: authority.keyPem },
      ...options,
    });
    return { ...result, docs: docs(result.yaml), authority };
  };

  test("X9: three deployments, the overrides secret, no key in linkerd-config", async () => {
    const { docs: all, authority } = await render();
    expect(
      all
        .filter((one) => one.kind === "Deployment")
        .map((one) => one.metadata.name)
        .sort(),
    ).toEqual(["linkerd-destination", "linkerd-identity", "linkerd-proxy-injector"]);
    const config = fromYaml((find(all, "ConfigMap", "linkerd-config")["data"] as { values: string }).values) as Record<string, unknown>;
    expect(JSON.stringify(config)).not.toContain("PRIVATE KEY");
    expect(config["identityTrustDomain"]).toBe("cluster.local");
    const secret = find(all, "Secret", "linkerd-config-overrides")["data"] as Record<string, string>;
    const overrides = fromYaml(Buffer.from(secret["linkerd-config-overrides"] as string, "base64").toString()) as Record<string, unknown>;
    expect(overrides["identityTrustAnchorsPEM"]).toBe(authority.certPem);
    expect(Object.keys(overrides).sort()).toEqual(["cliVersion", "identity", "identityTrustAnchorsPEM"]);
  });

  test("every object carries the label by which it is pruned", async () => {
    const { docs: all } = await render();
    expect(
      all
        .filter((one) => one.metadata.labels?.["linkerd.io/control-plane-ns"] !== "linkerd")
        .map((one) => `${one.kind}/${one.metadata.name}`),
    ).toEqual([]);
  });

  test("containers stand in the order of the reference, and the webhook's certificate is its own bundle", async () => {
    const { docs: all } = await render();
    const names = (deployment: string) =>
      (
        find(all, "Deployment", deployment)["spec"] as { template: { spec: { containers: { name: string }[] } } }
      ).template.spec.containers.map((one) => one.name);
    expect(names("linkerd-destination")).toEqual(["linkerd-proxy", "destination", "sp-validator", "policy"]);
    expect(names("linkerd-identity")).toEqual(["identity", "linkerd-proxy"]);
    expect(names("linkerd-proxy-injector")).toEqual(["linkerd-proxy", "proxy-injector"]);
    const hook = find(all, "MutatingWebhookConfiguration", "linkerd-proxy-injector-webhook-config")["webhooks"] as {
      clientConfig: { caBundle: string };
    }[];
    const secret = find(all, "Secret", "linkerd-proxy-injector-k8s-tls")["data"] as Record<string, string>;
    expect(hook[0]?.clientConfig.caBundle).toBe(secret["tls.crt"] as string);
    expect(Buffer.from(secret["tls.key"] as string, "base64").toString()).toContain("EC PRIVATE KEY");
  });

  test("X13: --ha --controller-replicas=2", async () => {
    const { docs: all } = await render({ ha: true, values: readValues({ set: ["controllerReplicas=2"] }) });
    for (const name of ["linkerd-destination", "linkerd-identity", "linkerd-proxy-injector"]) {
      const spec = find(all, "Deployment", name)["spec"] as { replicas: number; template: { spec: { affinity?: unknown } } };
      expect(spec.replicas).toBe(2);
      expect(spec.template.spec.affinity).toBeDefined();
    }
    expect(all.filter((one) => one.kind === "PodDisruptionBudget")).toHaveLength(3);
    expect(
      (find(all, "ValidatingWebhookConfiguration", "linkerd-sp-validator-webhook-config")["webhooks"] as { failurePolicy: string }[])[0]
        ?.failurePolicy,
    ).toBe("Fail");
  });

  test("stages part the objects without loss", async () => {
    const keys = (all: Doc[]) => all.map((one) => `${one.kind}/${one.metadata.name}`);
    const whole = keys((await render()).docs);
    const parts = [...keys((await render({ stage: "config" })).docs), ...keys((await render({ stage: "control-plane" })).docs)];
    expect(parts.sort()).toEqual(whole.sort());
  });

  test("the heartbeat, when it is wanted: ten minutes after the installation, every day", async () => {
    expect((await render()).docs.some((one) => one.metadata.name === "linkerd-heartbeat")).toBe(false);
    const { docs: all } = await render({ values: { disableHeartBeat: false }, now: new Date("2021-09-30T23:55:00Z") });
    expect((find(all, "CronJob", "linkerd-heartbeat")["spec"] as { schedule: string }).schedule).toBe("05 00 * * *");
    expect(all.filter((one) => one.metadata.name === "linkerd-heartbeat").map((one) => one.kind)).toEqual([
      "ServiceAccount",
      "ClusterRole",
      "ClusterRoleBinding",
      "Role",
      "RoleBinding",
      "CronJob",
    ]);
  });

  test("an external secret needs its CA bundle", async () => {
    await expect(render({ values: { proxyInjector: { externalSecret: true } } })).rejects.toThrow(
      /proxy-injector-rbac\.yaml:\d+: .*proxyInjector\.caBundle: required when proxyInjector\.externalSecret is true/,
    );
  });

  test("a control plane without identity is refused", async () => {
    await expect(render({ values: { proxy: { disableIdentity: true } } })).rejects.toThrow(
      /proxy\.disableIdentity: can't be true for the component linkerd-destination/,
    );
  });
});

describe("kept in step", () => {
  test("the embedded chart is the chart on disk (after adding a file: bun packages/chart/embed.ts)", () => {
    expect(Object.keys(controlPlaneFiles)).toEqual(chartPaths(folder));
    for (const path of chartPaths(folder)) expect(controlPlaneFiles[path]).toBe(readFileSync(join(folder, path), "utf8"));
  });

  test("the chart's CRDs are those of api/crds (after a change: cp api/crds/*.yaml charts/fairlead-control-plane/files/crds/)", () => {
    for (const name of readdirSync(join(root, "api/crds")))
      expect(readFileSync(join(folder, "files/crds", name), "utf8")).toBe(readFileSync(join(root, "api/crds", name), "utf8"));
  });

  test("the chart's version is the package's", () => {
    expect(controlPlaneDefaults()["linkerdVersion"]).toBe(VERSION);
    expect(new Chart(controlPlaneFiles).version).toBe(VERSION.replace("stable-", ""));
  });
});
