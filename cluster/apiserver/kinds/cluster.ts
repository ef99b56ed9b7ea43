// Kinds that shape the cluster itself: RBAC, webhooks, CRDs, networking, storage and priority classes, leases, API services.
import { equalJson } from "../../store/index.ts";
import { validateCrd } from "../custom/crd.ts";
import { type FieldError, field } from "../status.ts";
import { pathSegment, validateSelector } from "./names.ts";
import { portNumber } from "./pod.ts";
import type { ApiObject, Strategy } from "./resource.ts";

const rbacGroup = "rbac.authorization.k8s.io";

export const roleStrategy: Strategy = {
  checkName: pathSegment,
  defaults(role) {
    role["rules"] ??= role["aggregationRule"] ? [] : null;
  },
  validate(role, errors) {
    for (const [index, rule] of (role["rules"] ?? []).entries()) {
      const at = `rules[${index}]`;
      if (!rule.verbs?.length) errors.push(field.required(`${at}.verbs`, "verbs must contain at least one value"));
      if (rule.nonResourceURLs?.length) {
        if (role.kind === "Role")
          errors.push(field.invalid(`${at}.nonResourceURLs`, rule.nonResourceURLs, "namespaced rules cannot apply to non-resource URLs"));
        if (rule.apiGroups?.length || rule.resources?.length || rule.resourceNames?.length)
          errors.push(
            field.invalid(
              `${at}.nonResourceURLs`,
              rule.nonResourceURLs,
              "rules cannot apply to both regular resources and non-resource URLs",
            ),
          );
        continue;
      }
      if (!rule.apiGroups?.length) errors.push(field.required(`${at}.apiGroups`, "resource rules must supply at least one api group"));
      if (!rule.resources?.length) errors.push(field.required(`${at}.resources`, "resource rules must supply at least one resource"));
    }
  },
};

export const roleBindingStrategy: Strategy = {
  checkName: pathSegment,
  defaults(binding) {
    if (binding["roleRef"] && !binding["roleRef"].apiGroup) binding["roleRef"].apiGroup = rbacGroup;
    for (const subject of binding["subjects"] ?? [])
      if (subject.kind === "User" || subject.kind === "Group") subject.apiGroup ||= rbacGroup;
  },
  validate(binding, errors) {
    const { roleRef } = binding;
    const kinds = binding.kind === "ClusterRoleBinding" ? ["ClusterRole"] : ["ClusterRole", "Role"];
    if (!kinds.includes(roleRef?.kind)) errors.push(field.notSupported("roleRef.kind", roleRef?.kind ?? "", kinds));
    if (roleRef && roleRef.apiGroup !== rbacGroup) errors.push(field.notSupported("roleRef.apiGroup", roleRef.apiGroup, [rbacGroup]));
    if (!roleRef?.name) errors.push(field.required("roleRef.name"));
    for (const [index, subject] of (binding["subjects"] ?? []).entries()) {
      const at = `subjects[${index}]`;
      if (!subject.name) errors.push(field.required(`${at}.name`));
      if (!["ServiceAccount", "User", "Group"].includes(subject.kind))
        errors.push(field.notSupported(`${at}.kind`, subject.kind, ["Group", "ServiceAccount", "User"]));
      if (subject.kind === "ServiceAccount") {
        if (subject.apiGroup) errors.push(field.notSupported(`${at}.apiGroup`, subject.apiGroup, [""]));
        if (!subject.namespace && binding.kind === "ClusterRoleBinding") errors.push(field.required(`${at}.namespace`));
      } else if (subject.apiGroup !== rbacGroup && ["User", "Group"].includes(subject.kind))
        errors.push(field.notSupported(`${at}.apiGroup`, subject.apiGroup, [rbacGroup]));
    }
  },
  validateUpdate(binding, old, errors) {
    if (!equalJson(binding["roleRef"], old["roleRef"])) errors.push(field.invalid("roleRef", binding["roleRef"], "cannot change roleRef"));
  },
};

export const webhookStrategy: Strategy = {
  generation: true,
  defaults(configuration) {
    for (const webhook of configuration["webhooks"] ?? []) {
      webhook.failurePolicy ??= "Fail";
      webhook.matchPolicy ??= "Equivalent";
      webhook.namespaceSelector ??= {};
      webhook.objectSelector ??= {};
      webhook.timeoutSeconds ??= 10;
      if (configuration.kind === "MutatingWebhookConfiguration") webhook.reinvocationPolicy ??= "Never";
      for (const rule of webhook.rules ?? []) rule.scope ??= "*";
      if (webhook.clientConfig?.service) webhook.clientConfig.service.port ??= 443;
    }
  },
  validate(configuration, errors) {
    const names = new Set<string>();
    for (const [index, webhook] of (configuration["webhooks"] ?? []).entries()) {
      const at = `webhooks[${index}]`;
      if (!webhook.name) errors.push(field.required(`${at}.name`));
      else if (webhook.name.split(".").length < 3)
        errors.push(field.invalid(`${at}.name`, webhook.name, "should be a domain with at least three segments separated by dots"));
      if (names.has(webhook.name)) errors.push(field.duplicate(`${at}.name`, webhook.name));
      names.add(webhook.name);
      if (!webhook.admissionReviewVersions?.length)
        errors.push(field.required(`${at}.admissionReviewVersions`, "must specify one of v1, v1beta1"));
      else if (!webhook.admissionReviewVersions.some((version: string) => version === "v1" || version === "v1beta1"))
        errors.push(
          field.invalid(`${at}.admissionReviewVersions`, webhook.admissionReviewVersions, "must include at least one of v1, v1beta1"),
        );
      if (!["None", "NoneOnDryRun"].includes(webhook.sideEffects))
        errors.push(
          webhook.sideEffects
            ? field.notSupported(`${at}.sideEffects`, webhook.sideEffects, ["None", "NoneOnDryRun"])
            : field.required(`${at}.sideEffects`, "must specify one of None, NoneOnDryRun"),
        );
      if (!["Fail", "Ignore"].includes(webhook.failurePolicy))
        errors.push(field.notSupported(`${at}.failurePolicy`, webhook.failurePolicy, ["Fail", "Ignore"]));
      if (!["Equivalent", "Exact"].includes(webhook.matchPolicy))
        errors.push(field.notSupported(`${at}.matchPolicy`, webhook.matchPolicy, ["Equivalent", "Exact"]));
      if (webhook.timeoutSeconds < 1 || webhook.timeoutSeconds > 30)
        errors.push(field.invalid(`${at}.timeoutSeconds`, webhook.timeoutSeconds, "the timeout value must be between 1 and 30 seconds"));
      validateSelector(webhook.namespaceSelector, `${at}.namespaceSelector`, errors);
      validateSelector(webhook.objectSelector, `${at}.objectSelector`, errors);
      const { service, url } = webhook.clientConfig ?? {};
      if ((service === undefined) === (url === undefined))
        errors.push(field.required(`${at}.clientConfig`, "exactly one of url or service is required"));
      if (service) {
        for (const name of ["name", "namespace"])
          if (!service[name]) errors.push(field.required(`${at}.clientConfig.service.${name}`, `service ${name} is required`));
        portNumber(service.port, `${at}.clientConfig.service.port`, errors);
        if (service.path !== undefined && !service.path.startsWith("/"))
          errors.push(field.invalid(`${at}.clientConfig.service.path`, service.path, "must start with a '/'"));
      }
      if (url !== undefined && !/^https:\/\/[^/]+/.test(url))
        errors.push(
          field.invalid(`${at}.clientConfig.url`, url, "'https' is the only allowed URL scheme; desired format: https://host[/path]"),
        );
      for (const [i, rule] of (webhook.rules ?? []).entries()) {
        for (const name of ["operations", "apiGroups", "apiVersions", "resources"])
          if (!rule[name]?.length) errors.push(field.required(`${at}.rules[${i}].${name}`));
      }
    }
  },
};

export const crdStrategy: Strategy = {
  generation: true,
  defaults({ spec }) {
    if (!spec) return;
    spec.names ??= {};
    if (spec.names.kind) {
      spec.names.singular ||= spec.names.kind.toLowerCase();
      spec.names.listKind ||= `${spec.names.kind}List`;
    }
    spec.conversion ??= { strategy: "None" };
    const client = spec.conversion.webhook?.clientConfig?.service;
    if (client) client.port ??= 443;
  },
  prepareCreate(crd) {
    crd["status"] = { conditions: null, acceptedNames: { plural: "", kind: "" }, storedVersions: null };
  },
  validate: validateCrd,
  validateUpdate(crd, old, errors) {
    for (const name of ["group", "scope"])
      if (crd["spec"][name] !== old["spec"][name]) errors.push(field.invalid(`spec.${name}`, crd["spec"][name], "field is immutable"));
    for (const name of ["plural", "kind"])
      if (crd["spec"].names[name] !== old["spec"].names[name])
        errors.push(field.invalid(`spec.names.${name}`, crd["spec"].names[name], "field is immutable"));
    const served: string[] = crd["spec"].versions.map((version: { name: string }) => version.name);
    for (const [index, version] of (old["status"]?.storedVersions ?? []).entries()) {
      if (!served.includes(version))
        errors.push(
          field.invalid(
            `status.storedVersions[${index}]`,
            version,
            `missing from spec.versions; ${version} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in ${version} and removes ${version} from status.storedVersions`,
          ),
        );
    }
  },
};

export const apiServiceStrategy: Strategy = {
  generation: false,
  defaults({ spec }) {
    if (spec?.service) spec.service.port ??= 443;
  },
  validate(object, errors) {
    const { spec } = object;
    const wanted = `${spec?.version ?? ""}.${spec?.group ?? ""}`.replace(/\.$/, "");
    if (object.metadata.name && object.metadata.name !== wanted)
      errors.push(field.invalid("metadata.name", object.metadata.name, `must be \`spec.version+"."+spec.group\`: "${wanted}"`));
    if (!spec?.version) errors.push(field.required("spec.version"));
    if (spec?.insecureSkipTLSVerify && spec.caBundle)
      errors.push(field.invalid("spec.insecureSkipTLSVerify", true, "may not be true if caBundle is present"));
  },
};

export const ingressStrategy: Strategy = {
  generation: true,
  prepareCreate: (object) => void (object["status"] = { loadBalancer: {} }),
  validate({ spec }, errors) {
    if (!spec?.rules?.length && !spec?.defaultBackend)
      errors.push(field.invalid("spec", spec ?? {}, "either `defaultBackend` or `rules` must be specified"));
    for (const [index, rule] of (spec?.rules ?? []).entries()) {
      for (const [i, path] of (rule.http?.paths ?? []).entries()) {
        const at = `spec.rules[${index}].http.paths[${i}]`;
        if (!path.pathType) errors.push(field.required(`${at}.pathType`, "pathType must be specified"));
        else if (!["Exact", "Prefix", "ImplementationSpecific"].includes(path.pathType))
          errors.push(field.notSupported(`${at}.pathType`, path.pathType, ["Exact", "ImplementationSpecific", "Prefix"]));
        if (path.pathType !== "ImplementationSpecific" && !path.path?.startsWith("/"))
          errors.push(field.invalid(`${at}.path`, path.path ?? "", "must be an absolute path"));
        if (!path.backend?.service?.name && !path.backend?.resource) errors.push(field.required(`${at}.backend`));
      }
    }
  },
};

export const networkPolicyStrategy: Strategy = {
  generation: true,
  defaults({ spec }) {
    if (!spec) return;
    spec.policyTypes ??= spec.egress ? ["Ingress", "Egress"] : ["Ingress"];
    for (const rule of [...(spec.ingress ?? []), ...(spec.egress ?? [])]) for (const port of rule.ports ?? []) port.protocol ??= "TCP";
  },
  validate: ({ spec }, errors) => validateSelector(spec?.podSelector, "spec.podSelector", errors),
};

export const priorityClassStrategy: Strategy = {
  generation: false,
  defaults: (object) => void (object["preemptionPolicy"] ??= "PreemptLowerPriority"),
  validate(object, errors) {
    if (!object.metadata.name?.startsWith("system-") && object["value"] > 1_000_000_000)
      errors.push(field.forbidden("value", "maximum allowed value of a user defined priority is 1000000000"));
  },
  validateUpdate(object, old, errors) {
    if (object["value"] !== old["value"]) errors.push(field.invalid("value", object["value"], "may not be changed in an update."));
  },
};

export const storageClassStrategy: Strategy = {
  generation: false,
  defaults(object) {
    object["reclaimPolicy"] ??= "Delete";
    object["volumeBindingMode"] ??= "Immediate";
  },
  validate(object, errors) {
    if (!object["provisioner"]) errors.push(field.required("provisioner"));
  },
};

export const leaseStrategy: Strategy = {
  createOnUpdate: true,
  validate({ spec }, errors: FieldError[]) {
    if (spec?.leaseDurationSeconds !== undefined && spec.leaseDurationSeconds <= 0)
      errors.push(field.invalid("spec.leaseDurationSeconds", spec.leaseDurationSeconds, "must be greater than 0"));
  },
};

export const anything: Strategy = {};

/** Names of objects whose kind has no stricter rule. */
export const isObject = (value: unknown): value is ApiObject => typeof value === "object" && value !== null;
