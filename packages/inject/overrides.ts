// `config.linkerd.io/*` annotations as values of the chart (spec control-plane §6.3, §7.1).
import { overlay, type Values } from "#chart";
import { defaultPolicies, isDefaultPolicy } from "./names.ts";
import { parsePortList } from "./port-list.ts";
import { isCidr, parseGoBool, parseGoDuration, parseQuantity } from "./units.ts";

/** One annotation that was not taken: `annotation config.linkerd.io/x: "y" is not …`. */
export type AnnotationMistake = { readonly key: string; readonly value: string; readonly message: string };

type Apply = (value: string, fail: (expected: string) => void) => Values | undefined;

const port =
  (name: string): Apply =>
  (value, fail) =>
    /^\d{1,5}$/.test(value) && Number(value) >= 1 && Number(value) <= 65535
      ? { proxy: { ports: { [name]: Number(value) } } }
      : void fail("a port (1 to 65535)");
const bool =
  (make: (value: boolean) => Values): Apply =>
  (value, fail) => {
    const parsed = parseGoBool(value);
    return parsed === undefined ? void fail("a boolean (true or false)") : make(parsed);
  };
const duration =
  (make: (ms: number) => Values): Apply =>
  (value, fail) => {
    const ms = parseGoDuration(value);
    return ms === undefined || ms < 0 ? void fail("a duration (such as 500ms, 1.5s, 1m)") : make(ms);
  };
const quantity =
  (make: (value: string, amount: number) => Values): Apply =>
  (value, fail) => {
    const amount = parseQuantity(value);
    return amount === undefined || amount < 0 ? void fail("a quantity (such as 100m, 1.5, 64Mi)") : make(value, amount);
  };
/** Invalid items of the list are dropped, the others kept. */
const ports =
  (make: (list: string) => Values): Apply =>
  (value, fail) => {
    const { invalid } = parsePortList(value);
    if (invalid.length === 0) return make(value);
    fail(`a list of ports (such as 25,8000-8010): ignored ${invalid.map((item) => JSON.stringify(item)).join(", ")}`);
    return make(
      value
        .split(",")
        .map((item) => item.trim())
        .filter((item) => item !== "" && !invalid.includes(item))
        .join(","),
    );
  };
const image =
  (make: (value: string) => Values): Apply =>
  (value, fail) =>
    /^[A-Za-z0-9][A-Za-z0-9._:/@-]*$/.test(value) ? make(value) : void fail("the name of an image");
const tag =
  (make: (value: string) => Values): Apply =>
  (value, fail) =>
    /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/.test(value) ? make(value) : void fail("the tag of an image");
const pullPolicy =
  (make: (value: string) => Values): Apply =>
  (value, fail) =>
    ["Always", "IfNotPresent", "Never"].includes(value) ? make(value) : void fail("one of Always, IfNotPresent, Never");

/** Annotations with a meaning for the patch, in the order they are applied. */
const appliers: Record<string, Apply> = {
  "config.linkerd.io/admin-port": port("admin"),
  "config.linkerd.io/control-port": port("control"),
  "config.linkerd.io/inbound-port": port("inbound"),
  "config.linkerd.io/outbound-port": port("outbound"),
  "config.linkerd.io/pod-inbound-ports": ports((podInboundPorts) => ({ proxy: { podInboundPorts } })),
  "config.linkerd.io/skip-inbound-ports": ports((ignoreInboundPorts) => ({ proxyInit: { ignoreInboundPorts } })),
  "config.linkerd.io/skip-outbound-ports": ports((ignoreOutboundPorts) => ({ proxyInit: { ignoreOutboundPorts } })),
  "config.linkerd.io/skip-subnets": (value, fail) => {
    const subnets = value.split(",").map((one) => one.trim());
    const wrong = subnets.filter((one) => !isCidr(one) || !one.includes("/"));
    if (wrong.length > 0) fail(`a list of subnets (such as 10.1.0.0/16): ignored ${wrong.map((one) => JSON.stringify(one)).join(", ")}`);
    return { proxyInit: { skipSubnets: subnets.filter((one) => !wrong.includes(one)).join(",") } };
  },
  "config.linkerd.io/close-wait-timeout": duration((ms) => ({ proxyInit: { closeWaitTimeoutSecs: Math.floor(ms / 1000) } })),
  "config.linkerd.io/proxy-cpu-request": quantity((request) => ({ proxy: { resources: { cpu: { request } } } })),
  "config.linkerd.io/proxy-cpu-limit": quantity((limit, cores) => ({
    proxy: { resources: { cpu: { limit } }, cores: Math.max(1, Math.ceil(cores)) },
  })),
  "config.linkerd.io/proxy-memory-request": quantity((request) => ({ proxy: { resources: { memory: { request } } } })),
  "config.linkerd.io/proxy-memory-limit": quantity((limit) => ({ proxy: { resources: { memory: { limit } } } })),
  "config.linkerd.io/proxy-image": image((name) => ({ proxy: { image: { name } } })),
  "config.linkerd.io/proxy-version": tag((version) => ({ proxy: { image: { version } } })),
  "config.linkerd.io/init-image": image((name) => ({ proxyInit: { image: { name } } })),
  "config.linkerd.io/init-image-version": tag((version) => ({ proxyInit: { image: { version } } })),
  "config.linkerd.io/image-pull-policy": pullPolicy((policy) => ({
    proxy: { image: { pullPolicy: policy } },
    proxyInit: { image: { pullPolicy: policy } },
    debugContainer: { image: { pullPolicy: policy } },
  })),
  "config.linkerd.io/debug-image": image((name) => ({ debugContainer: { image: { name } } })),
  "config.linkerd.io/debug-image-version": tag((version) => ({ debugContainer: { image: { version } } })),
  "config.linkerd.io/debug-image-pull-policy": pullPolicy((policy) => ({ debugContainer: { image: { pullPolicy: policy } } })),
  "config.linkerd.io/enable-debug-sidecar": bool((enabled) => ({ debugSidecar: enabled })),
  "config.linkerd.io/proxy-log-level": (logLevel) => ({ proxy: { logLevel } }),
  "config.linkerd.io/proxy-log-format": (value, fail) =>
    value === "plain" || value === "json" ? { proxy: { logFormat: value } } : void fail("one of plain, json"),
  "config.linkerd.io/proxy-uid": (value, fail) =>
    /^\d{1,10}$/.test(value) && Number(value) <= 2 ** 31 - 1 ? { proxy: { uid: Number(value) } } : void fail("a user id"),
  "config.linkerd.io/disable-identity": bool((disableIdentity) => ({ proxy: { disableIdentity } })),
  "config.linkerd.io/proxy-require-identity-inbound-ports": ports((requireIdentityOnInboundPorts) => ({
    proxy: { requireIdentityOnInboundPorts },
  })),
  "config.linkerd.io/proxy-outbound-connect-timeout": duration((ms) => ({ proxy: { outboundConnectTimeout: `${Math.trunc(ms)}ms` } })),
  "config.linkerd.io/proxy-inbound-connect-timeout": duration((ms) => ({ proxy: { inboundConnectTimeout: `${Math.trunc(ms)}ms` } })),
  "config.linkerd.io/proxy-await": (value, fail) =>
    value === "enabled" || value === "disabled" ? { proxy: { await: value === "enabled" } } : void fail("one of enabled, disabled"),
  "config.linkerd.io/default-inbound-policy": (value, fail) =>
    isDefaultPolicy(value) ? { proxy: { defaultInboundPolicy: value } } : void fail(`one of ${defaultPolicies.join(", ")}`),
  "config.linkerd.io/enable-external-profiles": bool((enableExternalProfiles) => ({ proxy: { enableExternalProfiles } })),
  "config.linkerd.io/enable-gateway": bool((isGateway) => ({ proxy: { isGateway } })),
  "config.alpha.linkerd.io/proxy-wait-before-exit-seconds": (value, fail) =>
    /^\d{1,9}$/.test(value) ? { proxy: { waitBeforeExitSeconds: Number(value) } } : void fail("a number of seconds"),
  "config.alpha.linkerd.io/proxy-enable-native-sidecar": bool((nativeSidecar) => ({ proxy: { nativeSidecar } })),
  "config.beta.linkerd.io/proxy-enable-native-sidecar": bool((nativeSidecar) => ({ proxy: { nativeSidecar } })),
  "config.linkerd.io/proxy-enable-native-sidecar": bool((nativeSidecar) => ({ proxy: { nativeSidecar } })),
};

/** Keys that a Namespace hands down to its pods: every one the injector understands (quirk Q29), and the opaque ports. */
export const inheritableAnnotations: readonly string[] = [...Object.keys(appliers), "config.linkerd.io/opaque-ports"];

/** The 29 keys that are labels of the injector's metrics (spec control-plane §6.7). */
export const metricAnnotations: readonly string[] = [
  "admin-port",
  "control-port",
  "disable-identity",
  "enable-debug-sidecar",
  "enable-external-profiles",
  "image-pull-policy",
  "inbound-port",
  "init-image",
  "init-image-version",
  "outbound-port",
  "pod-inbound-ports",
  "proxy-cpu-limit",
  "proxy-cpu-request",
  "proxy-image",
  "proxy-log-format",
  "proxy-log-level",
  "proxy-memory-limit",
  "proxy-memory-request",
  "proxy-uid",
  "proxy-version",
  "proxy-require-identity-inbound-ports",
  "skip-inbound-ports",
  "opaque-ports",
  "skip-outbound-ports",
  "proxy-outbound-connect-timeout",
  "proxy-inbound-connect-timeout",
  "proxy-await",
  "default-inbound-policy",
  "skip-subnets",
].map((name) => `config.linkerd.io/${name}`);

/** Keys below `config.linkerd.io/` that have a meaning elsewhere, so that their presence is no mistake. */
const elsewhere = new Set([
  "config.linkerd.io/opaque-ports",
  "config.linkerd.io/admission-webhooks",
  "config.linkerd.io/trace-collector",
  "config.alpha.linkerd.io/trace-collector-service-account",
]);

/** Values that the annotations ask for, and the annotations that say nothing valid: those are ignored (spec control-plane §6.3). */
export function annotationOverrides(annotations: Readonly<Record<string, string>>): { values: Values; mistakes: AnnotationMistake[] } {
  let values: Values = {};
  const mistakes: AnnotationMistake[] = [];
  for (const [key, apply] of Object.entries(appliers)) {
    if (!Object.hasOwn(annotations, key)) continue;
    const value = annotations[key] as string;
    const found = apply(value.trim(), (expected) =>
      mistakes.push({ key, value, message: `annotation ${key}: ${JSON.stringify(value)} is not ${expected}` }),
    );
    if (found) values = overlay(values, found);
  }
  for (const key of Object.keys(annotations)) {
    if (/^config(\.alpha|\.beta)?\.linkerd\.io\//.test(key) && !Object.hasOwn(appliers, key) && !elsewhere.has(key))
      mistakes.push({ key, value: annotations[key] as string, message: `annotation ${key}: unknown, so it is ignored` });
  }
  return { values, mistakes };
}
