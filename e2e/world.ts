// A cluster as a user has it: kubectl and fairlead on a command line, with one kubeconfig. Nothing here knows which cluster.
import { join } from "node:path";

const root = join(import.meta.dir, "..");

export type Ran = { readonly status: number; readonly stdout: string; readonly stderr: string };

/** A command that failed: its line, its status and what it said. */
export class CommandFailed extends Error {
  override readonly name = "CommandFailed";
  constructor(line: string, ran: Ran) {
    super(`${line}: exit status ${ran.status}\n${(ran.stderr || ran.stdout).trim().split("\n").slice(-15).join("\n")}`);
  }
}

export class World {
  readonly #env: Record<string, string>;
  readonly #kubectl: string;
  readonly #fairlead: string;

  /** `kubectl` and `fairlead` are paths of executables. */
  constructor({
    kubeconfig,
    kubectl,
    fairlead = join(root, "bin", "fairlead"),
    env = process.env,
  }: { kubeconfig: string; kubectl: string; fairlead?: string; env?: Record<string, string | undefined> }) {
    this.#env = { ...(env as Record<string, string>), KUBECONFIG: kubeconfig };
    this.#kubectl = kubectl;
    this.#fairlead = fairlead;
  }

  kubectl(args: readonly string[], input?: string): Promise<string> {
    return this.#must(this.#kubectl, "kubectl", args, input);
  }

  fairlead(args: readonly string[], input?: string): Promise<string> {
    return this.#must(this.#fairlead, "fairlead", args, input);
  }

  /** As {@link kubectl}, whatever its status. */
  tryKubectl(args: readonly string[], input?: string): Promise<Ran> {
    return run([this.#kubectl, ...args], { env: this.#env, input });
  }

  tryFairlead(args: readonly string[], input?: string): Promise<Ran> {
    return run([this.#fairlead, ...args], { env: this.#env, input });
  }

  /** How to run kubectl oneself. */
  command(args: readonly string[]): { argv: string[]; env: Record<string, string> } {
    return { argv: [this.#kubectl, ...args], env: this.#env };
  }

  async json<T>(args: readonly string[]): Promise<T> {
    return JSON.parse(await this.kubectl([...args, "-o", "json"])) as T;
  }

  /** Applies a file of this repository. */
  applyFile(path: string): Promise<string> {
    return this.kubectl(["apply", "-f", join(root, path)]);
  }

  apply(manifests: string): Promise<string> {
    return this.kubectl(["apply", "-f", "-"], manifests);
  }

  async rolledOut(namespace: string, deployments: readonly string[], timeoutSeconds = 120): Promise<void> {
    await Promise.all(
      deployments.map((name) => this.kubectl(["-n", namespace, "rollout", "status", `deploy/${name}`, `--timeout=${timeoutSeconds}s`])),
    );
  }

  /** A local port that leads to `target` (`deploy/web`, `pod/x`), by `kubectl port-forward`. */
  async portForward(namespace: string, target: string, port: number): Promise<{ url: string; close: () => Promise<void> }> {
    const child = Bun.spawn([this.#kubectl, "-n", namespace, "port-forward", "--address=127.0.0.1", target, `:${port}`], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: this.#env,
    });
    const close = async () => {
      child.kill();
      await child.exited;
    };
    const reader = child.stdout.getReader();
    const decoder = new TextDecoder();
    let said = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) {
        const stderr = await new Response(child.stderr).text();
        throw new CommandFailed(`kubectl port-forward ${target} :${port}`, { status: await child.exited, stdout: said, stderr });
      }
      said += decoder.decode(value, { stream: true });
      const found = /Forwarding from 127\.0\.0\.1:(\d+)/.exec(said);
      if (!found) continue;
      // What it says later is not needed, but must not fill its pipe.
      void (async () => {
        while (!(await reader.read()).done);
      })().catch(() => {});
      return { url: `http://127.0.0.1:${found[1]}`, close };
    }
  }

  async #must(path: string, name: string, args: readonly string[], input?: string): Promise<string> {
    const ran = await run([path, ...args], { env: this.#env, input });
    if (ran.status !== 0) throw new CommandFailed(`${name} ${args.join(" ")}`, ran);
    return ran.stdout;
  }
}

export async function run(
  argv: readonly string[],
  { env, input }: { env?: Record<string, string> | undefined; input?: string | undefined } = {},
): Promise<Ran> {
  const child = Bun.spawn([...argv], {
    stdin: input === undefined ? "ignore" : new TextEncoder().encode(input),
    stdout: "pipe",
    stderr: "pipe",
    ...(env ? { env } : {}),
  });
  const [stdout, stderr, status] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  return { status, stdout, stderr };
}

/** Tries `probe` until it gives a value; its last error, or that it gave none, ends the wait. */
export async function until<T>(what: string, timeoutMs: number, probe: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline)
      throw new Error(`${what}: not seen within ${timeoutMs / 1000} s${last ? `: ${(last as Error).message}` : ""}`);
    await Bun.sleep(200);
  }
}
