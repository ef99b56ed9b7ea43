// The life of one pod on this node: one loop that looks at what is wanted (the pod) and what is there (its containers), does the next steps of the plan,
// reports, and waits for the next thing to happen.
//
//   pending ─► sandbox, volumes ─► init containers ─► containers ⇄ restarts ─► finished (Succeeded, Failed)
//      └────────────────────────── deleted ─► preStop, SIGTERM, grace, SIGKILL ─► gone
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ContainerProcess, type ContainerRecord } from "./container.ts";
import { ConfigError } from "./environment.ts";
import { type ImageTable, ImageTableError } from "./images.ts";
import { logTail } from "./logs.ts";
import { type BackOffLimits, type ContainerView, nextBackOff, planPod } from "./plan.ts";
import type { PodSandbox } from "./pod-sandbox.ts";
import { type ProbeKind, ProbeWorker, runHandler } from "./probes.ts";
import { type ContainerReport, type EndedRun, podStatus } from "./status.ts";
import { type ContainerSpec, type Handler, isSidecar, type NodePod, type PodStatusFull } from "./types.ts";
import { MountError } from "./volumes.ts";

export interface PodWorkerDependencies {
  sandbox: PodSandbox;
  images: () => ImageTable;
  hostIP: string;
  backOff: BackOffLimits;
  now(): number;
  /** The pod's status is now this; called only with changes. */
  publish(pod: NodePod, status: PodStatusFull): void;
  /** Resolves when the last status has arrived, or cannot any more. */
  flush(pod: NodePod): Promise<void>;
  /** Removes the object from the API: everything of the pod has ended. */
  deletePod(pod: NodePod): Promise<void>;
  event(pod: NodePod, type: "Normal" | "Warning", reason: string, message: string, container?: { name: string; isInit: boolean }): void;
}

/** Retry after a failure of sandbox or volumes, in ms: doubled from first to most. */
const setUpRetry = { firstMs: 500, mostMs: 30_000 };
const defaultGraceSeconds = 30;
const maxTerminationMessage = 4_096;
/** SIGKILL works at once; a process in an uninterruptible wait may take longer. */
const killWaitMs = 10_000;
/** Volumes are compared with their sources at least so often. */
const volumeSyncMs = 60_000;

interface Tracker {
  spec: ContainerSpec;
  isInit: boolean;
  process: ContainerProcess | undefined;
  /** The present run, when it has ended. */
  ended: EndedRun | undefined;
  /** The run before. */
  last: EndedRun | undefined;
  restartCount: number;
  waiting: { reason: string; message?: string } | undefined;
  started: boolean;
  ready: boolean;
  backOffMs: number;
  isBackingOff: boolean;
  /** Failures before the program was even started (image, configuration): next try, and pause. */
  retryAt: number;
  retryMs: number;
  probes: ProbeWorker[];
  /** Reason for the end that we caused ourselves. */
  killReason: string | undefined;
  /** Liveness or startup probe failed: to be killed by the loop. */
  mustRestart: { message: string; graceSeconds: number } | undefined;
}

export class PodWorker {
  #pod: NodePod;
  readonly #deps: PodWorkerDependencies;
  readonly #trackers = new Map<string, Tracker>();
  /** Aborted when the pod is to end: interrupts hooks and waits. */
  readonly #dying = new AbortController();
  /** Resolves when nothing of the pod is left. */
  readonly gone: Promise<void>;
  #wake: (() => void) | undefined;
  #isDirty = false;
  #startedAt: number;
  #isInitialized = false;
  #hasStartedApps = false;
  #finished: { phase: "Succeeded" | "Failed"; reason?: string; message?: string } | undefined;
  #deadline = Number.POSITIVE_INFINITY;
  #deadlineChanged: (() => void) | undefined;
  #setUpRetryAt = 0;
  #setUpRetryMs = setUpRetry.firstMs;
  #volumesDueAt = 0;
  #lastStatus = "";
  #isRemovedFromApi = false;
  #isStopped = false;

  constructor(pod: NodePod, deps: PodWorkerDependencies) {
    this.#pod = pod;
    this.#deps = deps;
    this.#startedAt = pod.status?.startTime ? Date.parse(pod.status.startTime) : deps.now();
    for (const [isInit, specs] of [
      [true, pod.spec.initContainers ?? []],
      [false, pod.spec.containers],
    ] as const) {
      for (const spec of specs) this.#trackers.set(spec.name, this.#adopt(spec, isInit));
    }
    const phase = pod.status?.phase;
    if (phase === "Succeeded" || phase === "Failed")
      this.#finished = {
        phase,
        ...(pod.status?.reason ? { reason: pod.status.reason } : {}),
        ...(pod.status?.message ? { message: pod.status.message } : {}),
      };
    this.gone = this.#run();
  }

  get pod(): NodePod {
    return this.#pod;
  }

  get sandbox(): PodSandbox {
    return this.#deps.sandbox;
  }

  /** The present run of a container; `undefined` for an unknown name or one that has not run. */
  container(name: string): ContainerProcess | undefined {
    return this.#trackers.get(name)?.process;
  }

  /** The object has changed. */
  update(pod: NodePod): void {
    this.#pod = pod;
    for (const spec of [...(pod.spec.initContainers ?? []), ...pod.spec.containers]) {
      const tracker = this.#trackers.get(spec.name);
      if (tracker) tracker.spec = spec;
    }
    this.#volumesDueAt = 0;
    if (pod.metadata.deletionTimestamp)
      this.#die(pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? defaultGraceSeconds);
    this.poke();
  }

  /** The object is gone from the API: whatever still runs is ended at once. */
  removed(): void {
    this.#isRemovedFromApi = true;
    this.#die(1);
    this.poke();
  }

  /** Something the pod depends on (a ConfigMap, a Secret) has changed. */
  sourcesChanged(): void {
    this.#volumesDueAt = 0;
    this.#setUpRetryAt = 0;
    for (const tracker of this.#trackers.values()) if (tracker.waiting?.reason === "CreateContainerConfigError") tracker.retryAt = 0;
    this.poke();
  }

  /** Ends the loop and leaves the containers as they are, for another agent. */
  stop(): void {
    this.#isStopped = true;
    for (const tracker of this.#trackers.values()) for (const probe of tracker.probes) probe.stop();
    this.poke();
  }

  poke(): void {
    this.#isDirty = true;
    this.#wake?.();
  }

  #die(graceSeconds: number): void {
    const deadline = this.#deps.now() + graceSeconds * 1000;
    if (deadline < this.#deadline) {
      this.#deadline = deadline;
      this.#deadlineChanged?.();
    }
    this.#dying.abort();
  }

  async #run(): Promise<void> {
    // Lets the caller keep the worker before it acts.
    await Promise.resolve();
    if (this.#pod.metadata.deletionTimestamp) this.#die(this.#pod.metadata.deletionGracePeriodSeconds ?? defaultGraceSeconds);
    while (!this.#isStopped) {
      this.#isDirty = false;
      if (this.#dying.signal.aborted) return this.#end();
      let waitMs = 1_000;
      try {
        waitMs = await this.#sync();
      } catch (error) {
        if (this.#isStopped) return;
        this.#deps.event(this.#pod, "Warning", "FailedSync", `error syncing pod: ${(error as Error).message}`);
      }
      this.#report();
      if (!this.#isDirty) await this.#sleep(waitMs);
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      // Longer than a timer can be set for.
      const timer = setTimeout(done, Math.min(ms, 2 ** 31 - 1));
      const wake = () => done();
      this.#wake = wake;
      const self = this;
      function done() {
        clearTimeout(timer);
        if (self.#wake === wake) self.#wake = undefined;
        resolve();
      }
    });
  }

  /** One look and the steps that follow from it; returns how long to wait, in ms, when nothing happens. */
  async #sync(): Promise<number> {
    const { sandbox, now, backOff: limits } = this.#deps;
    if (this.#finished) return this.#settle();
    const { activeDeadlineSeconds } = this.#pod.spec;
    if (activeDeadlineSeconds !== undefined && now() >= this.#startedAt + activeDeadlineSeconds * 1000) {
      this.#finished = {
        phase: "Failed",
        reason: "DeadlineExceeded",
        message: "Pod was active on the node longer than the specified deadline",
      };
      this.#deps.event(this.#pod, "Normal", "DeadlineExceeded", this.#finished.message!);
      return 0;
    }
    let waitMs = volumeSyncMs;
    const until = (at: number) => {
      waitMs = Math.max(0, Math.min(waitMs, at - now()));
    };
    if (activeDeadlineSeconds !== undefined) until(this.#startedAt + activeDeadlineSeconds * 1000);
    if (now() < this.#setUpRetryAt && !sandbox.isReady) {
      until(this.#setUpRetryAt);
      return waitMs;
    }
    if (!sandbox.isReady) {
      // Tells the API that the node has taken the pod over.
      this.#report();
      try {
        await sandbox.create(this.#pod);
      } catch (error) {
        this.#deps.event(this.#pod, "Warning", "FailedCreatePodSandBox", `Failed to create pod sandbox: ${(error as Error).message}`);
        return this.#retrySetUp();
      }
    }
    if (now() >= this.#volumesDueAt) {
      try {
        await sandbox.volumes.setUp(this.#pod, sandbox.addresses(this.#pod));
        this.#setUpRetryMs = setUpRetry.firstMs;
        this.#volumesDueAt = Math.min(now() + volumeSyncMs, sandbox.volumes.nextRenewal ?? Number.POSITIVE_INFINITY);
      } catch (error) {
        this.#deps.event(this.#pod, "Warning", "FailedMount", (error as Error).message);
        // Containers that run keep what they have.
        until(now() + this.#retrySetUp());
        this.#volumesDueAt = now() + waitMs;
        if (!this.#hasRun()) return waitMs;
      }
    }
    until(this.#volumesDueAt);
    for (const tracker of this.#trackers.values()) {
      if (tracker.mustRestart && tracker.process?.isRunning) {
        const { message, graceSeconds } = tracker.mustRestart;
        tracker.mustRestart = undefined;
        await this.#kill(tracker, message, now() + graceSeconds * 1000, this.#dying.signal);
        if (this.#dying.signal.aborted) return 0;
      } else if (tracker.process?.isRunning && tracker.process.record.image !== (tracker.spec.image ?? "")) {
        await this.#kill(
          tracker,
          `Container ${tracker.spec.name} definition changed, will be restarted`,
          now() + this.#grace() * 1000,
          this.#dying.signal,
        );
        if (this.#dying.signal.aborted) return 0;
      }
    }
    const views = new Map([...this.#trackers].map(([name, tracker]) => [name, viewOf(tracker)]));
    const backOffs = new Map([...this.#trackers].map(([name, { backOffMs }]) => [name, { ms: backOffMs }]));
    const plan = planPod({ pod: this.#pod, views, backOffs, hasStartedApps: this.#hasStartedApps, now: now(), limits });
    this.#isInitialized = plan.isInitialized;
    if (plan.finished) {
      this.#finished = { phase: plan.finished };
      return 0;
    }
    for (const { name, until: at, ms } of plan.backOff) {
      const tracker = this.#trackers.get(name)!;
      until(at);
      if (tracker.isBackingOff) continue;
      tracker.isBackingOff = true;
      tracker.waiting = {
        reason: "CrashLoopBackOff",
        message: `back-off ${formatSeconds(ms)} restarting failed container=${name} pod=${this.#label()}`,
      };
      this.#deps.event(
        this.#pod,
        "Warning",
        "BackOff",
        `Back-off restarting failed container ${name} in pod ${this.#label()}`,
        tracker.spec ? { name, isInit: tracker.isInit } : undefined,
      );
    }
    for (const { container, isInit } of plan.start) {
      const tracker = this.#trackers.get(container.name);
      if (!tracker) continue;
      if (now() < tracker.retryAt) {
        until(tracker.retryAt);
        continue;
      }
      await this.#start(tracker, isInit);
      if (this.#dying.signal.aborted || this.#isStopped) return 0;
      if (tracker.retryAt > now()) until(tracker.retryAt);
      this.#isDirty = true;
    }
    return waitMs;
  }

  #retrySetUp(): number {
    const ms = this.#setUpRetryMs;
    this.#setUpRetryAt = this.#deps.now() + ms;
    this.#setUpRetryMs = Math.min(ms * 2, setUpRetry.mostMs);
    return ms;
  }

  async #start(tracker: Tracker, isInit: boolean): Promise<void> {
    const { sandbox, images, now, backOff: limits } = this.#deps;
    const { spec } = tracker;
    const pod = this.#pod;
    const where = { name: spec.name, isInit };
    const failed = (reason: string, message: string) => {
      tracker.waiting = { reason, message };
      tracker.retryMs = nextBackOff(tracker.retryMs, limits);
      tracker.retryAt = now() + tracker.retryMs;
    };
    let prepared: ReturnType<PodSandbox["prepare"]>;
    const attempt = tracker.process ? tracker.process.record.attempt + 1 : tracker.restartCount;
    try {
      const image = images().resolve(spec.image ?? "");
      if (tracker.retryMs === 0 || tracker.waiting?.reason === "ImagePullBackOff")
        this.#deps.event(pod, "Normal", "Pulled", `Container image ${JSON.stringify(spec.image)} already present on machine`, where);
      prepared = sandbox.prepare(pod, spec, image, attempt);
    } catch (error) {
      const { message } = error as Error;
      if (error instanceof ImageTableError) {
        if (tracker.retryMs === 0) {
          this.#deps.event(pod, "Warning", "Failed", `Failed to pull image ${JSON.stringify(spec.image)}: ${message}`, where);
          this.#deps.event(pod, "Warning", "Failed", "Error: ErrImagePull", where);
          failed("ErrImagePull", message);
        } else {
          this.#deps.event(pod, "Normal", "BackOff", `Back-off pulling image ${JSON.stringify(spec.image)}`, where);
          failed("ImagePullBackOff", `Back-off pulling image ${JSON.stringify(spec.image)}: ErrImagePull: ${message}`);
        }
      } else {
        const reason = error instanceof ConfigError || error instanceof MountError ? "CreateContainerConfigError" : "CreateContainerError";
        this.#deps.event(pod, "Warning", "Failed", `Error: ${message}`, where);
        failed(reason, message);
      }
      return;
    }
    // What ended before is now the last state.
    const previous = tracker.ended;
    const isRestart = previous !== undefined;
    if (isRestart)
      tracker.backOffMs =
        previous.finishedAt - previous.startedAt >= limits.resetMs ? limits.firstMs : nextBackOff(tracker.backOffMs, limits);
    Object.assign(tracker, {
      ended: undefined,
      last: previous ?? tracker.last,
      restartCount: attempt,
      started: false,
      ready: false,
      retryAt: 0,
      retryMs: 0,
      isBackingOff: false,
      killReason: undefined,
      mustRestart: undefined,
    });
    if (!isInit) this.#hasStartedApps = true;
    this.#deps.event(pod, "Normal", "Created", `Created container: ${spec.name}`, where);
    let process: ContainerProcess;
    try {
      process = await ContainerProcess.start(prepared.spec, prepared.record, now);
    } catch (error) {
      const message = `failed to start container: ${(error as Error).message}`;
      this.#deps.event(pod, "Warning", "Failed", `Error: ${message}`, where);
      const at = now();
      tracker.process = ContainerProcess.adopt(prepared.spec.directory, { ...prepared.record, exitCode: 128, finishedAt: at }, now);
      tracker.process.update({ reason: "StartError", message });
      tracker.ended = { id: prepared.record.id, exitCode: 128, reason: "StartError", message, startedAt: at, finishedAt: at };
      tracker.waiting = undefined;
      return;
    }
    tracker.process = process;
    tracker.waiting = undefined;
    this.#watchExit(tracker, process);
    this.#deps.event(pod, "Normal", "Started", `Started container ${spec.name}`, where);
    const hook = spec.lifecycle?.postStart;
    if (hook) {
      const result = await this.#runHook(hook, tracker, process, this.#dying.signal);
      if (this.#dying.signal.aborted) return;
      if (!result.ok) {
        this.#deps.event(pod, "Warning", "FailedPostStartHook", `PostStartHook failed: ${result.message}`, where);
        await this.#kill(tracker, `FailedPostStartHook`, now() + this.#grace() * 1000, this.#dying.signal);
        return;
      }
      process.update({ isHookDone: true });
    }
    this.#startProbes(tracker, process, false);
    this.#report();
  }

  #watchExit(tracker: Tracker, process: ContainerProcess): void {
    void process.exited.then((exitCode) => {
      for (const probe of tracker.probes) probe.stop();
      tracker.probes = [];
      if (tracker.process !== process) return;
      const { record } = process;
      if (record.reason === undefined)
        process.update({ reason: exitCode === 0 ? "Completed" : "Error", message: this.#terminationMessage(tracker, process, exitCode) });
      const { reason = "Error", message, startedAt, finishedAt = this.#deps.now() } = process.record;
      tracker.ended = { id: record.id, exitCode, reason, message: message || undefined, startedAt, finishedAt };
      tracker.ready = false;
      tracker.started = false;
      this.poke();
    });
  }

  #terminationMessage(tracker: Tracker, process: ContainerProcess, exitCode: number): string {
    let message = "";
    try {
      message = readFileSync(join(process.directory, "termination-log"), "utf8").slice(0, maxTerminationMessage);
    } catch {
      // The pod's directory is being removed.
    }
    if (message === "" && exitCode !== 0 && tracker.spec.terminationMessagePolicy === "FallbackToLogsOnError")
      message = logTail(process.directory);
    return message;
  }

  #startProbes(tracker: Tracker, process: ContainerProcess, wasReady: boolean): void {
    const { spec, isInit } = tracker;
    const isPlainInit = isInit && !isSidecar(spec, true);
    const add = (kind: ProbeKind, onChange: (ok: boolean) => void) => {
      const probe = spec[`${kind}Probe`];
      if (!probe) return false;
      const worker = new ProbeWorker({
        kind,
        probe,
        isReady: kind === "readiness" && wasReady,
        attempt: (timeoutMs) => runHandler(probe, this.#target(process, spec), timeoutMs),
        onChange,
        onFailure: (message) =>
          this.#deps.event(this.#pod, "Warning", "Unhealthy", `${kind[0]!.toUpperCase()}${kind.slice(1)} probe failed: ${message}`, {
            name: spec.name,
            isInit,
          }),
      });
      tracker.probes.push(worker);
      worker.start();
      return true;
    };
    const restart = (kind: ProbeKind) => {
      const probe = spec[`${kind}Probe`];
      tracker.mustRestart = {
        message: `Container ${spec.name} failed ${kind} probe, will be restarted`,
        graceSeconds: probe?.terminationGracePeriodSeconds ?? this.#grace(),
      };
      this.poke();
    };
    const afterStartup = () => {
      tracker.started = true;
      const hasReadiness =
        !isPlainInit &&
        add("readiness", (ok) => {
          tracker.ready = ok;
          this.poke();
        });
      tracker.ready = isPlainInit ? false : !hasReadiness || wasReady;
      if (!isPlainInit) add("liveness", (ok) => ok || restart("liveness"));
      this.poke();
    };
    const hasStartup = !isPlainInit && add("startup", (ok) => (ok ? afterStartup() : restart("startup")));
    if (!hasStartup) afterStartup();
  }

  #target(process: ContainerProcess, container: ContainerSpec) {
    return {
      podIP: this.#deps.sandbox.ip ?? "",
      container,
      exec: (argv: string[], timeoutMs: number) => process.exec(argv, { timeoutMs, signal: this.#dying.signal }),
    };
  }

  /** Hooks have no time limit of their own; they end with the container or with `signal`. */
  async #runHook(
    hook: Handler,
    tracker: Tracker,
    process: ContainerProcess,
    signal: AbortSignal,
  ): Promise<{ ok: boolean; message: string }> {
    const limit = new AbortController();
    const onAbort = () => limit.abort();
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) limit.abort();
    void process.exited.then(() => limit.abort());
    try {
      if (hook.sleep) {
        await abortable(hook.sleep.seconds * 1000, limit.signal);
        return { ok: true, message: "" };
      }
      if (hook.exec) {
        const { code, output } = await process.exec(hook.exec.command ?? [], { signal: limit.signal });
        return {
          ok: code === 0,
          message:
            code === undefined
              ? "the container ended before the hook did"
              : `command ${JSON.stringify((hook.exec.command ?? []).join(" "))} exited with ${code}: ${output.trim()}`,
        };
      }
      const target = this.#target(process, tracker.spec);
      return await Promise.race([
        runHandler(hook, target, 30_000),
        new Promise<{ ok: boolean; message: string }>((resolve) =>
          limit.signal.addEventListener("abort", () => resolve({ ok: false, message: "interrupted" }), { once: true }),
        ),
      ]);
    } catch (error) {
      return { ok: false, message: (error as Error).message };
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** preStop, SIGTERM, and SIGKILL at the deadline. Returns when the container has ended. `hurry` moves the deadline to the pod's own. */
  async #kill(tracker: Tracker, message: string, deadline: number, hurry?: AbortSignal): Promise<void> {
    const { process, spec, isInit } = tracker;
    if (!process?.isRunning) return;
    const { now } = this.#deps;
    for (const probe of tracker.probes) if (!this.#dying.signal.aborted) probe.stop();
    this.#deps.event(this.#pod, "Normal", "Killing", message, { name: spec.name, isInit });
    const over = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const arm = () => {
      clearTimeout(timer);
      const at = hurry?.aborted || hurry === undefined ? Math.min(deadline, this.#deadline) : deadline;
      timer = setTimeout(() => over.abort(), Math.max(0, at - now()));
    };
    arm();
    const previous = this.#deadlineChanged;
    this.#deadlineChanged = () => {
      previous?.();
      arm();
    };
    hurry?.addEventListener("abort", arm, { once: true });
    try {
      const hook = spec.lifecycle?.preStop;
      if (hook && process.record.isHookDone) {
        const result = await this.#runHook(hook, tracker, process, over.signal);
        if (!result.ok && process.isRunning)
          this.#deps.event(this.#pod, "Warning", "FailedPreStopHook", `PreStopHook failed: ${result.message}`, { name: spec.name, isInit });
      }
      process.signal("SIGTERM");
      await Promise.race([process.exited, aborted(over.signal)]);
      process.signal("SIGKILL");
      await Promise.race([process.exited, abortable(killWaitMs, new AbortController().signal)]);
    } finally {
      clearTimeout(timer);
      hurry?.removeEventListener("abort", arm);
      this.#deadlineChanged = previous;
    }
  }

  /** All containers: first the ordinary ones together, then sidecars in reverse order of their start. */
  async #killAll(deadline: number): Promise<void> {
    const all = [...this.#trackers.values()];
    const stopping = (tracker: Tracker) => this.#kill(tracker, `Stopping container ${tracker.spec.name}`, deadline);
    await Promise.all(all.filter((tracker) => !isSidecar(tracker.spec, tracker.isInit)).map(stopping));
    for (const tracker of all.filter((one) => isSidecar(one.spec, one.isInit)).reverse()) await stopping(tracker);
  }

  /** The pod has its last phase: sidecars end, the network is given back, logs stay until the pod is deleted. */
  async #settle(): Promise<number> {
    if ([...this.#trackers.values()].some((tracker) => tracker.process?.isRunning))
      await this.#killAll(this.#deps.now() + this.#grace() * 1000);
    if (this.#deps.sandbox.isReady && !this.#dying.signal.aborted) {
      this.#report();
      await this.#deps.sandbox.removeNetwork(this.#pod);
    }
    return volumeSyncMs;
  }

  /** The pod was deleted: everything ends, then the object goes. */
  async #end(): Promise<void> {
    const { sandbox, deletePod, flush } = this.#deps;
    await this.#killAll(this.#deadline);
    for (const tracker of this.#trackers.values()) for (const probe of tracker.probes) probe.stop();
    if (this.#isStopped) return;
    // Whatever was going to start will not.
    const ip = sandbox.ip;
    if (!this.#isRemovedFromApi) {
      this.#report(true, ip);
      await flush(this.#pod);
    }
    await sandbox.remove(this.#pod);
    if (!this.#isRemovedFromApi) await deletePod(this.#pod);
  }

  #report(isEnding = false, ip = this.#deps.sandbox.ip): void {
    if (this.#isRemovedFromApi || this.#isStopped) return;
    const containers = new Map([...this.#trackers].map(([name, tracker]) => [name, reportOf(tracker)]));
    const isSettled = ![...this.#trackers.values()].some((tracker) => tracker.process?.isRunning);
    let finished = isSettled ? this.#finished : undefined;
    if (isEnding && !finished && isSettled) {
      const codes = this.#pod.spec.containers.map(({ name }) => containers.get(name)?.terminated?.exitCode);
      finished = { phase: codes.every((code) => code === 0) ? "Succeeded" : "Failed" };
    }
    const status = podStatus(this.#pod, {
      containers,
      podIP: ip ?? this.#pod.status?.podIP,
      hostIP: this.#deps.hostIP,
      startedAt: this.#startedAt,
      isInitialized: this.#isInitialized || this.#hasStartedApps,
      finished,
      isSandboxReady: this.#deps.sandbox.isReady,
      now: this.#deps.now(),
    });
    const text = JSON.stringify({ ...status, conditions: status.conditions?.map(({ lastTransitionTime: _, ...rest }) => rest) });
    if (text === this.#lastStatus) return;
    this.#lastStatus = text;
    this.#deps.publish(this.#pod, status);
  }

  #hasRun(): boolean {
    return [...this.#trackers.values()].some((tracker) => tracker.process !== undefined);
  }

  #grace(): number {
    return this.#pod.spec.terminationGracePeriodSeconds ?? defaultGraceSeconds;
  }

  #label(): string {
    const { name, namespace, uid } = this.#pod.metadata;
    return `${name}_${namespace}(${uid})`;
  }

  /** What an earlier agent left of a container, or a fresh start. */
  #adopt(spec: ContainerSpec, isInit: boolean): Tracker {
    const tracker: Tracker = {
      spec,
      isInit,
      process: undefined,
      ended: undefined,
      last: undefined,
      restartCount: 0,
      waiting: undefined,
      started: false,
      ready: false,
      backOffMs: 0,
      isBackingOff: false,
      retryAt: 0,
      retryMs: 0,
      probes: [],
      killReason: undefined,
      mustRestart: undefined,
    };
    const { sandbox, now } = this.#deps;
    const attempts = sandbox.attempts(spec.name);
    const latest = attempts.at(-1);
    const record = latest === undefined ? undefined : readRecord(sandbox.attemptDirectory(spec.name, latest));
    if (latest === undefined || !record) return tracker;
    const status = [...(this.#pod.status?.containerStatuses ?? []), ...(this.#pod.status?.initContainerStatuses ?? [])].find(
      (one) => one.name === spec.name,
    );
    const before = attempts.length > 1 ? readRecord(sandbox.attemptDirectory(spec.name, attempts.at(-2)!)) : undefined;
    if (before?.exitCode !== undefined) tracker.last = endedRun(before);
    tracker.restartCount = record.attempt;
    if (!isInit) this.#hasStartedApps = true;
    const process = ContainerProcess.adopt(sandbox.attemptDirectory(spec.name, latest), record, now);
    tracker.process = process;
    if (record.exitCode !== undefined) tracker.ended = endedRun(record);
    if (!process.isRunning) {
      this.#watchExit(tracker, process);
      return tracker;
    }
    this.#watchExit(tracker, process);
    // The hook went with the agent that ran it: nobody knows how far it came.
    if (!record.isHookDone || !record.main) process.signal("SIGKILL");
    else this.#startProbes(tracker, process, status?.ready === true);
    return tracker;
  }
}

function readRecord(directory: string): ContainerRecord | undefined {
  try {
    return JSON.parse(readFileSync(join(directory, "state.json"), "utf8")) as ContainerRecord;
  } catch {
    return undefined;
  }
}

function endedRun(record: ContainerRecord): EndedRun {
  const { id, exitCode = 137, startedAt, finishedAt = startedAt, message } = record;
  return {
    id,
    exitCode,
    reason: record.reason ?? (exitCode === 0 ? "Completed" : "Error"),
    message: message || undefined,
    startedAt,
    finishedAt,
  };
}

function viewOf({ process, ended, started }: Tracker): ContainerView {
  if (ended) return { state: "exited", exitCode: ended.exitCode, startedAt: ended.startedAt, finishedAt: ended.finishedAt, started: false };
  if (process) return { state: "running", startedAt: process.record.startedAt, started };
  return { state: "none", started: false };
}

function reportOf(tracker: Tracker): ContainerReport {
  const { process, ended, last, waiting, restartCount, started, ready } = tracker;
  const common = { restartCount, started, ready };
  if (waiting) return { ...common, waiting, last: ended ?? last };
  if (ended) return { ...common, terminated: ended, last };
  // Until its postStart hook has ended a container counts as being created.
  if (process && !process.record.isHookDone) return { ...common, last };
  if (process) return { ...common, running: { id: process.record.id, startedAt: process.record.startedAt }, last };
  return { ...common, last };
}

function formatSeconds(ms: number): string {
  const seconds = ms / 1000;
  return seconds >= 60 ? `${Math.floor(seconds / 60)}m${Math.round(seconds % 60)}s` : `${seconds}s`;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function abortable(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
    if (signal.aborted) {
      clearTimeout(timer);
      resolve();
    }
  });
}
