// Services: types, addresses and ports; cluster IPs and node ports are allocated here.
import { equalJson } from "../../store/index.ts";
import { type FieldError, field } from "../status.ts";
import { dns1035Label, dnsLabel, dnsSubdomain, validateLabels } from "./names.ts";
import { portNumber } from "./pod.ts";
import type { ApiObject, Strategy, World } from "./resource.ts";

const types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const hasNodePorts = (spec: ApiObject["spec"]) =>
  spec.type === "NodePort" || (spec.type === "LoadBalancer" && spec.allocateLoadBalancerNodePorts !== false);

export const serviceStrategy: Strategy = {
  checkName: dns1035Label,
  generation: false,
  defaults(service) {
    const spec = (service["spec"] ??= {});
    spec.type ||= "ClusterIP";
    spec.sessionAffinity ||= "None";
    if (spec.sessionAffinity === "None") delete spec.sessionAffinityConfig;
    else if (spec.sessionAffinity === "ClientIP" && !spec.sessionAffinityConfig?.clientIP?.timeoutSeconds)
      spec.sessionAffinityConfig = { clientIP: { timeoutSeconds: 10800 } };
    for (const port of spec.ports ?? []) {
      port.protocol ||= "TCP";
      if (port.targetPort === undefined || port.targetPort === 0 || port.targetPort === "") port.targetPort = port.port;
    }
    if (spec.type === "NodePort" || spec.type === "LoadBalancer") spec.externalTrafficPolicy ||= "Cluster";
    if (spec.type !== "ExternalName") spec.internalTrafficPolicy ||= "Cluster";
    if (spec.type === "LoadBalancer") spec.allocateLoadBalancerNodePorts ??= true;
  },
  prepareCreate(service, world) {
    service["status"] = { loadBalancer: {} };
    allocate(service, undefined, world);
  },
  prepareUpdate(service, old, world) {
    service["status"] = old["status"];
    const { spec } = service;
    // A client that leaves the address out keeps it.
    if (spec.type !== "ExternalName" && old["spec"].type !== "ExternalName") {
      if (!spec.clusterIP) {
        spec.clusterIP = old["spec"].clusterIP;
        spec.clusterIPs = old["spec"].clusterIPs;
      }
      spec.clusterIPs ??= [spec.clusterIP];
      spec.ipFamilies ??= old["spec"].ipFamilies;
      spec.ipFamilyPolicy ??= old["spec"].ipFamilyPolicy;
    } else if (spec.type === "ExternalName") {
      for (const name of ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"])
        if (equalJson(spec[name], old["spec"][name])) delete spec[name];
    }
    if (!hasNodePorts(spec)) {
      // Node ports that the old type had are given back.
      if (hasNodePorts(old["spec"])) for (const port of spec.ports ?? []) delete port.nodePort;
      if (spec.type !== "LoadBalancer") {
        delete spec.allocateLoadBalancerNodePorts;
        if (spec.type !== "NodePort") delete spec.externalTrafficPolicy;
      }
    } else {
      for (const port of spec.ports ?? []) {
        port.nodePort ??= (old["spec"].ports ?? []).find(
          (one: { port: number; protocol: string; nodePort?: number }) => one.port === port.port && one.protocol === port.protocol,
        )?.nodePort;
      }
    }
    allocate(service, old, world);
  },
  validate: validateService,
  validateUpdate(service, old, errors) {
    const { spec } = service;
    if (spec.type !== "ExternalName" && old["spec"].type !== "ExternalName" && spec.clusterIP !== old["spec"].clusterIP) {
      errors.push(field.invalid("spec.clusterIPs[0]", [spec.clusterIP], "may not change once set"));
    }
  },
};

const problems = new WeakMap<ApiObject, FieldError[]>();

/** Gives the service its address and node ports; what cannot be had is reported by validation. */
function allocate(service: ApiObject, old: ApiObject | undefined, { services }: World): void {
  const { spec } = service;
  const found: FieldError[] = [];
  problems.set(service, found);
  if (spec.type !== "ExternalName") {
    if (!spec.clusterIP && spec.clusterIPs?.length) spec.clusterIP = spec.clusterIPs[0];
    if (!spec.clusterIP) {
      const address = services.nextAddress();
      if (address) spec.clusterIP = address;
      else found.push(field.invalid("spec.clusterIPs", [], `failed to allocate IP: range ${services.range} is full`));
    } else if (spec.clusterIP !== "None" && spec.clusterIP !== old?.["spec"].clusterIP) {
      const answer = services.reserveAddress(spec.clusterIP);
      if (answer === "out-of-range")
        found.push(
          field.invalid(
            "spec.clusterIPs",
            [spec.clusterIP],
            `failed to allocate IP ${spec.clusterIP}: the provided IP (${spec.clusterIP}) is not in the valid range. The range of valid IPs is ${services.range}`,
          ),
        );
      if (answer === "taken")
        found.push(
          field.invalid("spec.clusterIPs", [spec.clusterIP], `failed to allocate IP ${spec.clusterIP}: provided IP is already allocated`),
        );
    }
    if (spec.clusterIP) {
      spec.clusterIPs ??= [spec.clusterIP];
      spec.ipFamilies ??= ["IPv4"];
      spec.ipFamilyPolicy ??= "SingleStack";
    }
  }
  if (!hasNodePorts(spec)) return;
  const kept = new Set((old?.["spec"].ports ?? []).map((port: { nodePort?: number }) => port.nodePort));
  for (const [index, port] of (spec.ports ?? []).entries()) {
    const at = `spec.ports[${index}].nodePort`;
    if (!port.nodePort) {
      port.nodePort = services.nextNodePort();
      if (port.nodePort === undefined) found.push(field.invalid(at, 0, "failed to allocate a nodePort: range is full"));
    } else if (!kept.has(port.nodePort)) {
      const answer = services.reserveNodePort(port.nodePort);
      if (answer === "out-of-range")
        found.push(field.invalid(at, port.nodePort, "provided port is not in the valid range. The range of valid ports is 30000-32767"));
      if (answer === "taken") found.push(field.invalid(at, port.nodePort, "provided port is already allocated"));
    }
  }
}

function validateService(service: ApiObject, errors: FieldError[]): void {
  const { spec } = service;
  errors.push(...(problems.get(service) ?? []));
  const headless = spec.clusterIP === "None";
  if (!types.includes(spec.type)) errors.push(field.notSupported("spec.type", spec.type, types));
  if (!["None", "ClientIP"].includes(spec.sessionAffinity))
    errors.push(field.notSupported("spec.sessionAffinity", spec.sessionAffinity, ["ClientIP", "None"]));
  if (spec.type === "ExternalName") {
    const name = spec.externalName?.replace(/\.$/, "") ?? "";
    const wrong = name === "" ? undefined : dnsSubdomain(name);
    if (name === "") errors.push(field.required("spec.externalName"));
    else if (wrong) errors.push(field.invalid("spec.externalName", spec.externalName, wrong));
    if (spec.clusterIP) errors.push(field.forbidden("spec.clusterIPs", "may not be set for ExternalName services"));
  } else if (!spec.ports?.length && !headless) errors.push(field.required("spec.ports"));
  if (headless && (spec.type === "LoadBalancer" || spec.type === "NodePort"))
    errors.push(field.invalid("spec.clusterIPs[0]", "None", `may not be set to 'None' for ${spec.type} services`));
  if (spec.clusterIP && !headless && !/^\d{1,3}(\.\d{1,3}){3}$/.test(spec.clusterIP))
    errors.push(field.invalid("spec.clusterIPs[0]", spec.clusterIP, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"));
  const names = new Set<string>();
  const numbers = new Set<string>();
  for (const [index, port] of (spec.ports ?? []).entries()) {
    const at = `spec.ports[${index}]`;
    if (!port.name) {
      if (spec.ports.length > 1) errors.push(field.required(`${at}.name`));
    } else {
      const wrong = dnsLabel(port.name);
      if (wrong) errors.push(field.invalid(`${at}.name`, port.name, wrong));
      if (names.has(port.name)) errors.push(field.duplicate(`${at}.name`, port.name));
      names.add(port.name);
    }
    portNumber(port.port, `${at}.port`, errors);
    if (!["TCP", "UDP", "SCTP"].includes(port.protocol))
      errors.push(field.notSupported(`${at}.protocol`, port.protocol, ["SCTP", "TCP", "UDP"]));
    if (typeof port.targetPort === "number") portNumber(port.targetPort, `${at}.targetPort`, errors);
    const key = `${port.protocol}/${port.port}`;
    if (numbers.has(key)) errors.push(field.duplicate(at, { port: port.port, protocol: port.protocol }));
    numbers.add(key);
    if (port.nodePort && spec.type === "ClusterIP")
      errors.push(field.forbidden(`${at}.nodePort`, "may not be used when `type` is 'ClusterIP'"));
  }
  validateLabels(spec.selector, "spec.selector", errors);
  for (const [name, values] of [
    ["internalTrafficPolicy", ["Cluster", "Local"]],
    ["externalTrafficPolicy", ["Cluster", "Local"]],
  ] as const) {
    if (spec[name] !== undefined && !values.includes(spec[name])) errors.push(field.notSupported(`spec.${name}`, spec[name], values));
  }
}
