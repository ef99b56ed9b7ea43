// What runs pods: ReplicationController, ReplicaSet, Deployment, StatefulSet, DaemonSet, Job, CronJob, HorizontalPodAutoscaler, PodDisruptionBudget.
import { equalJson } from "../../store/index.ts";
import { type FieldError, field } from "../status.ts";
import { isEmptySelector, selectorMatches, validateLabels, validateSelector } from "./names.ts";
import { defaultTemplate, validatePodSpec } from "./pod.ts";
import type { ApiObject, Strategy } from "./resource.ts";

const historyLimit = 10;

/** Percentages and counts, as in maxSurge. */
function intOrPercent(value: unknown, at: string, errors: FieldError[]): void {
  if (typeof value === "number" ? value < 0 : !/^\d+%$/.test(String(value))) {
    errors.push(
      field.invalid(
        at,
        value,
        typeof value === "number"
          ? "must be greater than or equal to 0"
          : "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
      ),
    );
  }
}

function notNegative(value: unknown, at: string, errors: FieldError[]): void {
  if (typeof value === "number" && value < 0) errors.push(field.invalid(at, value, "must be greater than or equal to 0"));
}

function validateTemplate(
  template: ApiObject | undefined,
  selector: ApiObject["selector"],
  at: string,
  errors: FieldError[],
  restart: string[],
): void {
  if (!template) {
    errors.push(field.required(at));
    return;
  }
  validateLabels(template.metadata?.labels, `${at}.metadata.labels`, errors);
  if (selector && !isEmptySelector(selector) && !selectorMatches(selector, template.metadata?.labels)) {
    errors.push(field.invalid(`${at}.metadata.labels`, template.metadata?.labels ?? {}, "`selector` does not match template `labels`"));
  }
  validatePodSpec(template["spec"], `${at}.spec`, errors);
  const policy = template["spec"]?.restartPolicy;
  if (policy && !restart.includes(policy)) errors.push(field.notSupported(`${at}.spec.restartPolicy`, policy, restart));
}

function validateWorkload(object: ApiObject, errors: FieldError[]): void {
  const { spec } = object;
  if (!spec.selector) errors.push(field.required("spec.selector"));
  else {
    validateSelector(spec.selector, "spec.selector", errors);
    if (isEmptySelector(spec.selector))
      errors.push(field.invalid("spec.selector", spec.selector, "empty selector is invalid for deployment"));
  }
  validateTemplate(spec.template, spec.selector, "spec.template", errors, ["Always"]);
  for (const name of ["replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"])
    notNegative(spec[name], `spec.${name}`, errors);
}

function selectorImmutable(object: ApiObject, old: ApiObject, errors: FieldError[]): void {
  if (!equalJson(object["spec"].selector, old["spec"].selector))
    errors.push(field.invalid("spec.selector", object["spec"].selector, "field is immutable"));
}

export const deploymentStrategy: Strategy = {
  defaults({ spec }) {
    if (!spec) return;
    spec.replicas ??= 1;
    spec.strategy ??= {};
    spec.strategy.type ||= "RollingUpdate";
    if (spec.strategy.type === "RollingUpdate") {
      spec.strategy.rollingUpdate ??= {};
      spec.strategy.rollingUpdate.maxSurge ??= "25%";
      spec.strategy.rollingUpdate.maxUnavailable ??= "25%";
    }
    spec.revisionHistoryLimit ??= historyLimit;
    spec.progressDeadlineSeconds ??= 600;
    defaultTemplate(spec.template);
  },
  validate(object, errors) {
    validateWorkload(object, errors);
    const { strategy } = object["spec"];
    if (strategy.type === "Recreate") {
      if (strategy.rollingUpdate)
        errors.push(field.forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'"));
    } else if (strategy.type !== "RollingUpdate")
      errors.push(field.notSupported("spec.strategy.type", strategy.type, ["Recreate", "RollingUpdate"]));
    else {
      const { maxSurge, maxUnavailable } = strategy.rollingUpdate ?? {};
      intOrPercent(maxSurge, "spec.strategy.rollingUpdate.maxSurge", errors);
      intOrPercent(maxUnavailable, "spec.strategy.rollingUpdate.maxUnavailable", errors);
      if (Number.parseInt(String(maxSurge), 10) === 0 && Number.parseInt(String(maxUnavailable), 10) === 0) {
        errors.push(field.invalid("spec.strategy.rollingUpdate.maxUnavailable", maxUnavailable, "may not be 0 when `maxSurge` is 0"));
      }
    }
  },
  validateUpdate: selectorImmutable,
};

export const replicaSetStrategy: Strategy = {
  defaults({ spec }) {
    if (!spec) return;
    spec.replicas ??= 1;
    defaultTemplate(spec.template);
  },
  prepareCreate: (object) => void (object["status"] = { replicas: 0 }),
  validate: validateWorkload,
  validateUpdate: selectorImmutable,
};

export const replicationControllerStrategy: Strategy = {
  orphanByDefault: true,
  defaults(object) {
    const { spec } = object;
    if (!spec) return;
    const labels = spec.template?.metadata?.labels;
    if (labels) {
      if (Object.keys(spec.selector ?? {}).length === 0) spec.selector = { ...labels };
      if (Object.keys(object.metadata.labels ?? {}).length === 0) object.metadata.labels = { ...labels };
    }
    spec.replicas ??= 1;
    defaultTemplate(spec.template);
  },
  prepareCreate: (object) => void (object["status"] = { replicas: 0 }),
  validate({ spec }, errors) {
    if (Object.keys(spec.selector ?? {}).length === 0) errors.push(field.required("spec.selector"));
    validateTemplate(spec.template, { matchLabels: spec.selector }, "spec.template", errors, ["Always"]);
    notNegative(spec.replicas, "spec.replicas", errors);
  },
};

export const statefulSetStrategy: Strategy = {
  defaults({ spec }) {
    if (!spec) return;
    spec.podManagementPolicy ||= "OrderedReady";
    spec.updateStrategy ??= {};
    spec.updateStrategy.type ||= "RollingUpdate";
    if (spec.updateStrategy.type === "RollingUpdate") {
      spec.updateStrategy.rollingUpdate ??= {};
      spec.updateStrategy.rollingUpdate.partition ??= 0;
    }
    spec.persistentVolumeClaimRetentionPolicy ??= {};
    spec.persistentVolumeClaimRetentionPolicy.whenDeleted ||= "Retain";
    spec.persistentVolumeClaimRetentionPolicy.whenScaled ||= "Retain";
    spec.replicas ??= 1;
    spec.revisionHistoryLimit ??= historyLimit;
    defaultTemplate(spec.template);
    for (const claim of spec.volumeClaimTemplates ?? []) {
      claim.apiVersion ??= "v1";
      claim.kind ??= "PersistentVolumeClaim";
      if (claim.spec) claim.spec.volumeMode ??= "Filesystem";
      claim.status ??= { phase: "Pending" };
    }
  },
  prepareCreate: (object) => void (object["status"] = { replicas: 0, availableReplicas: 0 }),
  validate(object, errors) {
    validateWorkload(object, errors);
    const { podManagementPolicy, updateStrategy } = object["spec"];
    if (!["OrderedReady", "Parallel"].includes(podManagementPolicy))
      errors.push(field.invalid("spec.podManagementPolicy", podManagementPolicy, 'must be "OrderedReady" or "Parallel"'));
    if (!["RollingUpdate", "OnDelete"].includes(updateStrategy.type))
      errors.push(field.invalid("spec.updateStrategy", updateStrategy, "must be 'RollingUpdate' or 'OnDelete'"));
  },
  validateUpdate({ spec }, old, errors) {
    const changeable = [
      "replicas",
      "ordinals",
      "template",
      "updateStrategy",
      "revisionHistoryLimit",
      "persistentVolumeClaimRetentionPolicy",
      "minReadySeconds",
    ];
    const fixed = (value: ApiObject["spec"]) => Object.fromEntries(Object.entries(value).filter(([key]) => !changeable.includes(key)));
    if (!equalJson(fixed(spec), fixed(old["spec"]))) {
      errors.push(
        field.forbidden(
          "spec",
          "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        ),
      );
    }
  },
};

export const daemonSetStrategy: Strategy = {
  defaults({ spec }) {
    if (!spec) return;
    spec.updateStrategy ??= {};
    spec.updateStrategy.type ||= "RollingUpdate";
    if (spec.updateStrategy.type === "RollingUpdate") {
      spec.updateStrategy.rollingUpdate ??= {};
      spec.updateStrategy.rollingUpdate.maxUnavailable ??= 1;
      spec.updateStrategy.rollingUpdate.maxSurge ??= 0;
    }
    spec.revisionHistoryLimit ??= historyLimit;
    defaultTemplate(spec.template);
  },
  prepareCreate: (object) =>
    void (object["status"] = { currentNumberScheduled: 0, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0 }),
  validate: validateWorkload,
  validateUpdate: selectorImmutable,
};

const controllerUid = "batch.kubernetes.io/controller-uid";

function defaultJobSpec(spec: ApiObject["spec"]): void {
  if (!spec) return;
  if (spec.completions === undefined && spec.parallelism === undefined) {
    spec.completions = 1;
    spec.parallelism = 1;
  }
  spec.parallelism ??= 1;
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? 6 : 2147483647;
  spec.completionMode ??= "NonIndexed";
  spec.suspend ??= false;
  spec.podReplacementPolicy ??= spec.podFailurePolicy ? "Failed" : "TerminatingOrFailed";
  spec.manualSelector ??= undefined;
  defaultTemplate(spec.template);
}

export const jobStrategy: Strategy = {
  // The real server orphans here for jobs made through old clients; kubectl always says what it wants.
  orphanByDefault: true,
  defaults: ({ spec }) => defaultJobSpec(spec),
  prepareCreate(job) {
    job["status"] = {};
    const { spec } = job;
    if (spec?.manualSelector || !spec?.template) return;
    const uid = job.metadata.uid as string;
    spec.template.metadata ??= {};
    spec.template.metadata.labels = {
      ...spec.template.metadata.labels,
      "controller-uid": uid,
      "job-name": job.metadata.name,
      [controllerUid]: uid,
      "batch.kubernetes.io/job-name": job.metadata.name,
    };
    spec.selector ??= { matchLabels: { [controllerUid]: uid } };
  },
  validate({ spec }, errors) {
    validateSelector(spec.selector, "spec.selector", errors);
    validateTemplate(spec.template, spec.selector, "spec.template", errors, ["OnFailure", "Never"]);
    for (const name of ["parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"])
      notNegative(spec[name], `spec.${name}`, errors);
  },
  validateUpdate(job, old, errors) {
    if (!equalJson(job["spec"].selector, old["spec"].selector))
      errors.push(field.invalid("spec.selector", job["spec"].selector, "field is immutable"));
    if (!equalJson(job["spec"].completions, old["spec"].completions) && job["spec"].completionMode !== "Indexed")
      errors.push(field.invalid("spec.completions", job["spec"].completions, "field is immutable"));
    if (!old["spec"].suspend && !equalJson(job["spec"].template, old["spec"].template))
      errors.push(field.invalid("spec.template", job["spec"].template, "field is immutable"));
  },
};

export const cronJobStrategy: Strategy = {
  checkName: (name) => (name.length > 52 ? "must be no more than 52 characters" : undefined),
  defaults({ spec }) {
    if (!spec) return;
    spec.concurrencyPolicy ||= "Allow";
    spec.suspend ??= false;
    spec.successfulJobsHistoryLimit ??= 3;
    spec.failedJobsHistoryLimit ??= 1;
    defaultTemplate(spec.jobTemplate?.spec?.template);
  },
  prepareCreate: (object) => void (object["status"] = {}),
  validate({ spec }, errors) {
    if (!spec.schedule) errors.push(field.required("spec.schedule"));
    else if (!/^@\w+( \S+)?$/.test(spec.schedule) && spec.schedule.trim().split(/\s+/).length !== 5) {
      errors.push(
        field.invalid(
          "spec.schedule",
          spec.schedule,
          `expected exactly 5 fields, found ${spec.schedule.trim().split(/\s+/).length}: [${spec.schedule}]`,
        ),
      );
    }
    if (!["Allow", "Forbid", "Replace"].includes(spec.concurrencyPolicy))
      errors.push(field.notSupported("spec.concurrencyPolicy", spec.concurrencyPolicy, ["Allow", "Forbid", "Replace"]));
    validateTemplate(spec.jobTemplate?.spec?.template, undefined, "spec.jobTemplate.spec.template", errors, ["OnFailure", "Never"]);
  },
};

export const autoscalerStrategy: Strategy = {
  generation: false,
  defaults({ spec }) {
    if (!spec) return;
    spec.minReplicas ??= 1;
    if (!spec.metrics?.length)
      spec.metrics = [{ type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } } }];
  },
  prepareCreate: (object) => void (object["status"] = { desiredReplicas: 0, currentMetrics: null }),
  validate({ spec }, errors) {
    if (!(spec.maxReplicas >= 1)) errors.push(field.invalid("spec.maxReplicas", spec.maxReplicas ?? 0, "must be greater than 0"));
    else if (spec.maxReplicas < spec.minReplicas)
      errors.push(field.invalid("spec.maxReplicas", spec.maxReplicas, "must be greater than or equal to `minReplicas`"));
    for (const name of ["kind", "name"]) if (!spec.scaleTargetRef?.[name]) errors.push(field.required(`spec.scaleTargetRef.${name}`));
  },
};

const metricsAnnotation = "autoscaling.alpha.kubernetes.io/metrics";

/** autoscaling/v1 knows one CPU target; other metrics travel in an annotation. */
function convertAutoscaler(object: ApiObject, to: string): ApiObject {
  const metadata = { ...object.metadata, annotations: { ...object.metadata.annotations } };
  const spec = { ...object["spec"] };
  const status = { ...object["status"] };
  if (to === "v1") {
    const isCpu = (metric: ApiObject["spec"]) =>
      metric.type === "Resource" && metric.resource?.name === "cpu" && metric.resource.target?.averageUtilization !== undefined;
    const cpu = spec.metrics?.find(isCpu);
    if (cpu) spec.targetCPUUtilizationPercentage = cpu.resource.target.averageUtilization;
    const others = spec.metrics?.filter((metric: ApiObject["spec"]) => metric !== cpu) ?? [];
    if (others.length > 0) metadata.annotations[metricsAnnotation] = JSON.stringify(others);
    delete spec.metrics;
    delete spec.behavior;
    delete status.conditions;
    delete status.currentMetrics;
  } else {
    const metrics = [];
    if (spec.targetCPUUtilizationPercentage !== undefined)
      metrics.push({
        type: "Resource",
        resource: { name: "cpu", target: { type: "Utilization", averageUtilization: spec.targetCPUUtilizationPercentage } },
      });
    delete spec.targetCPUUtilizationPercentage;
    const kept = metadata.annotations[metricsAnnotation];
    if (kept !== undefined) {
      try {
        metrics.push(...(JSON.parse(kept) as typeof metrics));
        delete metadata.annotations[metricsAnnotation];
      } catch {
        // Somebody's own annotation of that name: it stays.
      }
    }
    if (metrics.length > 0) spec.metrics = metrics;
  }
  if (Object.keys(metadata.annotations).length === 0) delete (metadata as { annotations?: unknown }).annotations;
  return { ...object, apiVersion: `autoscaling/${to}`, metadata, spec, status };
}

/** Stored as autoscaling/v2. */
export const autoscalerConversion = {
  fromStored: (object: ApiObject, version: string) => (version === "v2" ? object : convertAutoscaler(object, version)),
  toStored: (object: ApiObject, version: string) => (version === "v2" ? object : convertAutoscaler(object, "v2")),
};

export const disruptionBudgetStrategy: Strategy = {
  prepareCreate: (object) => void (object["status"] = { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 }),
  validate({ spec }, errors) {
    if (spec?.minAvailable !== undefined && spec?.maxUnavailable !== undefined)
      errors.push(field.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set"));
    for (const name of ["minAvailable", "maxUnavailable"]) if (spec?.[name] !== undefined) intOrPercent(spec[name], `spec.${name}`, errors);
    validateSelector(spec?.selector, "spec.selector", errors);
  },
};
