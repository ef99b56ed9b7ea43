// Pods on the real system: namespaces, processes, volumes, hooks, probes, ends.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { namespacesOf, startTimeOf, tryRun } from "../network/index.ts";
import { ImageTable } from "./images.ts";
import { readLog } from "./logs.ts";
import type { PodWorker } from "./pod-worker.ts";
import { canRunPods, deleted, TestNode, testPod } from "./testing.ts";

describe.skipIf(!canRunPods)("pods", () => {
  const node = new TestNode();
  beforeAll(() => node.start());
  afterAll(() => node.stop());

  const phase = (name: string) => node.statuses.get(name)?.phase;
  const main = (name: string) => node.statuses.get(name)?.containerStatuses?.[0];
  const logOf = async (worker: PodWorker, container = "main", attempt = 0) => {
    let text = "";
    for await (const piece of readLog(worker.sandbox.attemptDirectory(container, attempt), {}, { isOver: () => true, now: Date.now }))
      text += piece.toString("utf8");
    return text;
  };
  const reasons = (name: string) => node.events.filter((event) => event.pod === name).map(({ reason }) => reason);
  const end = async (worker: PodWorker, grace = 0) => {
    worker.update(deleted(worker.pod, grace));
    await worker.gone;
  };

  test("runs to its end: user, network, files, environment, exit code, message", async () => {
    node.configMaps.set("default/settings", { metadata: { name: "settings" }, data: { color: "blue", size: "3" } });
    node.secrets.set("default/keys", { metadata: { name: "keys" }, data: { key: Buffer.from("s3cret").toString("base64") } });
    const script = [
      "id -u; id -g; id -G; hostname; cat /etc/hostname; grep search /etc/resolv.conf; tail -1 /etc/hosts",
      "echo $MY_IP $GREETING $COLOR $KEY $SIZE",
      "cat /cfg/color /one/color.txt /keys/key /tokens/token /info/labels",
      "touch /cfg/x 2>/dev/null && echo writable; echo data >/scratch/file && cat /scratch/file; touch /new 2>/dev/null && echo root-writable",
      "echo my last words >/dev/termination-log; ip -4 -o addr show dev eth0 | awk '{print $4}'; exit 7",
    ].join("\n");
    const worker = node.worker(
      testPod("whole", script, {
        container: {
          env: [
            { name: "MY_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
            { name: "GREETING", value: "hello-$(MY_IP)-$$(X)" },
            { name: "COLOR", valueFrom: { configMapKeyRef: { name: "settings", key: "color" } } },
            { name: "KEY", valueFrom: { secretKeyRef: { name: "keys", key: "key" } } },
            { name: "SIZE", valueFrom: { configMapKeyRef: { name: "settings", key: "gone", optional: true } } },
          ],
          securityContext: { runAsUser: 4242, runAsGroup: 4343, allowPrivilegeEscalation: false },
          volumeMounts: [
            { name: "cfg", mountPath: "/cfg", readOnly: true },
            { name: "cfg", mountPath: "/one/color.txt", subPath: "color" },
            { name: "keys", mountPath: "/keys" },
            { name: "all", mountPath: "/tokens" },
            { name: "info", mountPath: "/info" },
            { name: "scratch", mountPath: "/scratch" },
          ],
        },
        spec: {
          securityContext: { fsGroup: 5555 },
          volumes: [
            { name: "cfg", configMap: { name: "settings" } },
            { name: "keys", secret: { secretName: "keys", defaultMode: 0o400 } },
            { name: "all", projected: { sources: [{ serviceAccountToken: { path: "token", audience: "mesh" } }] } },
            { name: "info", downwardAPI: { items: [{ path: "labels", fieldRef: { fieldPath: "metadata.labels" } }] } },
            { name: "scratch", emptyDir: { medium: "Memory" } },
          ],
        },
      }),
    );
    await node.until("the end", () => phase("whole") === "Failed");
    const ip = node.statuses.get("whole")!.podIP!;
    expect((await logOf(worker)).split("\n")).toEqual([
      "4242",
      "4343",
      "4343 5555",
      "whole",
      "whole",
      "search default.svc.cluster.local svc.cluster.local cluster.local",
      `${ip}\twhole`,
      `${ip} hello-${ip}-$(X) blue s3cret`,
      'blueblues3crettoken for meshapp="whole"data',
      `${ip}/32`,
      "",
    ]);
    expect(main("whole")).toMatchObject({
      ready: false,
      restartCount: 0,
      state: { terminated: { exitCode: 7, reason: "Error", message: "my last words\n" } },
    });
    expect(reasons("whole")).toEqual(["Pulled", "Created", "Started"]);
    // The network is given back, the log stays.
    while (worker.sandbox.isReady) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(namespacesOf(node.cluster).some((name) => name.includes(".whole."))).toBe(false);
    await end(worker);
    expect(node.deleted).toContain("whole");
    expect(existsSync(worker.sandbox.directory)).toBe(false);
  });

  test("containers start in order, each after the hook of the one before; init containers and sidecars first", async () => {
    const record = (word: string) => `echo ${word} >>/shared/order`;
    const mounts = { volumeMounts: [{ name: "shared", mountPath: "/shared" }], image: "local/sh" };
    const worker = node.worker(
      testPod("order", "", {
        spec: {
          restartPolicy: "Always",
          volumes: [{ name: "shared", emptyDir: {} }],
          initContainers: [
            { name: "first", ...mounts, args: ["-c", `sleep 0.1; ${record("first")}`] },
            {
              name: "side",
              ...mounts,
              restartPolicy: "Always",
              args: ["-c", `${record("side")}; touch /tmp/up; sleep 0.2; ${record("side-started")}; touch /tmp/up2; sleep 60`],
              startupProbe: { exec: { command: ["test", "-e", "/tmp/up2"] }, periodSeconds: 1 },
            },
            { name: "second", ...mounts, args: ["-c", record("second")] },
          ],
          containers: [
            {
              name: "proxy",
              ...mounts,
              args: ["-c", `${record("proxy")}; sleep 60`],
              lifecycle: { postStart: { exec: { command: ["sh", "-c", `sleep 0.2; ${record("hook")}`] } } },
            },
            { name: "app", ...mounts, args: ["-c", `${record("app")}; sleep 60`] },
          ],
        },
      }),
    );
    await node.until("readiness", () => node.statuses.get("order")?.conditions?.find((one) => one.type === "Ready")?.status === "True");
    await worker.container("app")?.exec(["sh", "-c", "until grep -q app /shared/order; do sleep 0.02; done"]);
    const order = await worker.container("app")!.exec(["cat", "/shared/order"]);
    expect(order.output.split("\n")).toEqual(["first", "side", "side-started", "second", "proxy", "hook", "app", ""]);
    expect(node.statuses.get("order")?.initContainerStatuses?.map(({ state }) => Object.keys(state)[0])).toEqual([
      "terminated",
      "running",
      "terminated",
    ]);
    await end(worker, 1);
  });

  test("a failing container is restarted after pauses; the log of the run before is kept", async () => {
    const worker = node.worker(testPod("loop", "echo run; exit 3", { spec: { restartPolicy: "OnFailure" } }));
    await node.until(
      "the third run",
      () => (main("loop")?.restartCount ?? 0) >= 2 && main("loop")?.state.waiting?.reason === "CrashLoopBackOff",
    );
    expect(phase("loop")).toBe("Running");
    expect(main("loop")?.lastState.terminated).toMatchObject({ exitCode: 3, reason: "Error" });
    expect(main("loop")?.state.waiting?.message).toStartWith("back-off ");
    expect(reasons("loop")).toContain("BackOff");
    const attempts = worker.sandbox.attempts("main");
    expect(attempts.length).toBe(2);
    expect(await logOf(worker, "main", attempts[0])).toBe("run\n");
    await end(worker);
  });

  test("a hook that fails, and a liveness probe that fails, restart the container", async () => {
    const hook = node.worker(
      testPod("hook", "sleep 60", { container: { lifecycle: { postStart: { exec: { command: ["sh", "-c", "echo no; exit 4"] } } } } }),
    );
    await node.until("the hook's failure", () => phase("hook") === "Failed");
    expect(node.events.find(({ reason }) => reason === "FailedPostStartHook")?.message).toContain("exited with 4: no");
    await end(hook);
    const live = node.worker(
      testPod("live", "trap 'exit 0' TERM; while :; do sleep 0.05; done", {
        container: { livenessProbe: { exec: { command: ["false"] }, periodSeconds: 1, failureThreshold: 1 } },
        spec: { restartPolicy: "Always" },
      }),
    );
    await node.until("the restart", () => (main("live")?.restartCount ?? 0) >= 1);
    expect(node.events.filter(({ pod }) => pod === "live").map(({ message }) => message)).toContain(
      "Container main failed liveness probe, will be restarted",
    );
    expect(reasons("live")).toContain("Unhealthy");
    await end(live);
  });

  test("deletion: preStop, SIGTERM, then SIGKILL for all processes of the container when the grace is over", async () => {
    const worker = node.worker(
      testPod("stubborn", "trap 'echo term' TERM; setsid sleep 1000 & while :; do sleep 0.05; done", {
        container: { lifecycle: { preStop: { exec: { command: ["sh", "-c", "echo stopping >/dev/termination-log"] } } } },
      }),
    );
    await node.until("running", () => phase("stubborn") === "Running");
    const { pid } = worker.container("main")!.record.main!;
    const inside = (await tryRun(["nsenter", `--target=${pid}`, "--pid", "--mount", "--root", "sh", "-c", "ls -d /proc/[0-9]* | wc -l"]))
      .stdout;
    expect(Number(inside)).toBeGreaterThan(2);
    await end(worker, 1);
    expect(startTimeOf(pid)).toBeUndefined();
    expect(main("stubborn")?.state.terminated).toMatchObject({ exitCode: 137, message: "stopping\n" });
    expect(reasons("stubborn")).toContain("Killing");
    expect(namespacesOf(node.cluster).some((name) => name.includes(".stubborn."))).toBe(false);
  });

  test("what cannot be started says why", async () => {
    const workers = [
      testPod("no-image", "", { container: { image: "registry.example/none:1" } }),
      testPod("no-program", "", { container: { command: ["no-such-program"] } }),
      testPod("no-config", "", { container: { env: [{ name: "A", valueFrom: { secretKeyRef: { name: "absent", key: "k" } } }] } }),
      testPod("no-root", "", { container: { securityContext: { runAsNonRoot: true } } }),
      testPod("no-volume", "", { spec: { volumes: [{ name: "v", configMap: { name: "absent" } }] } }),
    ].map((pod) => node.worker(pod));
    const waiting = (name: string) => main(name)?.state.waiting;
    await node.until("the image's second try", () => waiting("no-image")?.reason === "ImagePullBackOff");
    expect(waiting("no-image")?.message).toContain('no entry for image "registry.example/none:1" in images.yaml');
    await node.until("the program's end", () => phase("no-program") === "Failed");
    expect(main("no-program")).toMatchObject({ state: { terminated: { exitCode: 128, reason: "StartError" } } });
    expect(main("no-program")?.state.terminated?.message).toContain('exec: "no-such-program": executable file not found in $PATH');
    await node.until("the missing secret", () => waiting("no-config")?.reason === "CreateContainerConfigError");
    expect(waiting("no-config")?.message).toBe('secret "absent" not found');
    await node.until("the root user", () => waiting("no-root")?.reason === "CreateContainerConfigError");
    expect(waiting("no-root")?.message).toContain("container has runAsNonRoot and image will run as root");
    await node.until("the missing volume", () => reasons("no-volume").includes("FailedMount"));
    expect(node.events.find(({ reason }) => reason === "FailedMount")?.message).toBe(
      'MountVolume.SetUp failed for volume "v" : configmap "absent" not found',
    );
    // What was missing comes.
    node.configMaps.set("default/absent", { metadata: { name: "absent" }, data: {} });
    node.secrets.set("default/absent", { metadata: { name: "absent" }, data: { k: "" } });
    for (const worker of workers) worker.sourcesChanged();
    await node.until("both to run", () => phase("no-config") === "Succeeded" && phase("no-volume") === "Succeeded");
    node.images = new ImageTable({ "registry.example/none": { command: ["/bin/true"] } }, "images.yaml");
    await node.until("the image", () => phase("no-image") === "Succeeded");
    await Promise.all(workers.map((worker) => end(worker)));
  });

  test("an image's own programs, user and capabilities", async () => {
    node.images = new ImageTable({
      "example/tool": {
        command: ["/bin/sh"],
        user: "65534",
        capabilities: ["NET_ADMIN"],
        commands: { "/opt/tool/greet": ["/bin/echo", "it's", "me"] },
        env: { FROM: "image" },
      },
    });
    const script = "/opt/tool/greet you; echo $FROM; id -u; grep -c 'CapEff:.*1000' /proc/self/status";
    const worker = node.worker(
      testPod("image", "", {
        container: {
          image: "example/tool:9",
          args: ["-c", script],
          securityContext: { runAsNonRoot: true, allowPrivilegeEscalation: false, capabilities: { add: ["NET_ADMIN"], drop: ["ALL"] } },
        },
      }),
    );
    await node.until("the end", () => phase("image") === "Succeeded");
    expect(await logOf(worker)).toBe("it's me you\nimage\n65534\n1\n");
    await end(worker);
  });

  test("mounted files follow their source; environment does not", async () => {
    node.configMaps.set("default/live", { metadata: { name: "live" }, data: { word: "old" } });
    const worker = node.worker(
      testPod("live-volume", "sleep 60", {
        container: { volumeMounts: [{ name: "v", mountPath: "/v" }] },
        spec: { volumes: [{ name: "v", configMap: { name: "live" } }] },
      }),
    );
    await node.until("running", () => phase("live-volume") === "Running");
    const read = async () => (await worker.container("main")!.exec(["sh", "-c", "cat /v/word; ls /v"])).output;
    expect(await read()).toBe("oldword\n");
    node.configMaps.set("default/live", { metadata: { name: "live" }, data: { word: "new", more: "1" } });
    worker.sourcesChanged();
    await worker.container("main")!.exec(["sh", "-c", "until [ -e /v/more ]; do sleep 0.02; done"]);
    expect(await read()).toBe("newmore\nword\n");
    await end(worker);
  });

  test("a new agent takes running containers over, and sees the end of those that ended meanwhile", async () => {
    const pod = testPod("adopted", "while [ ! -e /go/on ]; do sleep 0.02; done; exit 5", {
      container: { volumeMounts: [{ name: "go", mountPath: "/go" }] },
      spec: { volumes: [{ name: "go", emptyDir: {} }] },
    });
    const first = node.worker(pod);
    await node.until("running", () => phase("adopted") === "Running");
    const { pid } = first.container("main")!.record.main!;
    const { directory } = first.sandbox;
    first.stop();
    await first.gone;
    const second = node.worker(pod);
    expect(second.container("main")?.record.main?.pid).toBe(pid);
    expect(second.container("main")?.isRunning).toBe(true);
    await tryRun(["touch", join(directory, "volumes", "go", "on")]);
    await node.until("the end", () => phase("adopted") === "Failed");
    expect(main("adopted")?.state.terminated?.exitCode).toBe(5);
    await end(second);
  });

  test("readiness is asked for until it is given", async () => {
    const worker = node.worker(
      testPod("ready", "sleep 0.3; touch /tmp/ready; sleep 60", {
        container: { readinessProbe: { exec: { command: ["test", "-e", "/tmp/ready"] }, periodSeconds: 30 } },
      }),
    );
    await node.until("running", () => phase("ready") === "Running");
    expect(main("ready")?.ready).toBe(false);
    await node.until("readiness", () => main("ready")?.ready === true);
    await end(worker);
  });
});
