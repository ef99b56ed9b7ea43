// exec and attach over WebSocket: Kubernetes' remote command protocol, versions 4 and 5.
// Each message begins with its channel: 0 stdin, 1 stdout, 2 stderr, 3 error (a Status object at the end), 4 resize ({"Width","Height"}), 255 (v5): close a channel.
import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream, type WriteStream } from "node:fs";
import { join } from "node:path";
import { absolute, type ContainerProcess, killTree } from "../container.ts";
import { readLog } from "../logs.ts";
import type { Link, Session } from "./session.ts";

export const remoteCommandProtocols = ["v5.channel.k8s.io", "v4.channel.k8s.io"] as const;

/** Input that may wait for a program that does not read it: then the session fails. */
export const maxPendingInput = 256 << 20;
/** Output still in the pipes after a program has ended is waited for so long: a child in the background may keep them open. */
const drainMs = 500;

const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

export interface ExecRequest {
  container: ContainerProcess;
  command: string[];
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  tty: boolean;
}

interface Terminal {
  write(data: Uint8Array): void;
  resize(columns: number, rows: number): void;
  close(): void;
}

/** Runs a command in a container for one client. */
export class ExecSession implements Session {
  readonly #request: ExecRequest;
  #link!: Link;
  #child: ChildProcess | undefined;
  #terminal: Terminal | undefined;
  #pid: number | undefined;
  #size: { columns: number; rows: number } | undefined;
  #isOver = false;

  constructor(request: ExecRequest) {
    this.#request = request;
  }

  open(link: Link): void {
    this.#link = link;
    try {
      if (this.#request.tty) this.#startTerminal();
      else this.#startPipes();
    } catch (error) {
      void this.#finish(failure("InternalError", (error as Error).message));
    }
  }

  message(bytes: Buffer): void {
    const data = bytes.subarray(1);
    switch (bytes[0]) {
      case channel.stdin: {
        if (!this.#request.stdin) return;
        if (this.#terminal) this.#terminal.write(data);
        const input = this.#child?.stdin;
        if (!input || input.writableEnded) return;
        input.write(Buffer.from(data));
        if (input.writableLength > maxPendingInput)
          void this.#finish(failure("InternalError", `the program has left ${maxPendingInput} bytes of input unread`));
        return;
      }
      case channel.resize:
        this.#resize(data);
        return;
      case channel.close:
        if (data[0] === channel.stdin) this.#child?.stdin?.end();
    }
  }

  close(): void {
    this.#isOver = true;
    killTree(this.#pid);
    this.#terminal?.close();
  }

  #startPipes(): void {
    const { container, command, stdin, stdout, stderr } = this.#request;
    const line = container.execCommand(command);
    const child = spawn(absolute(line.command[0]!), line.command.slice(1), {
      stdio: [stdin ? "pipe" : "ignore", stdout ? "pipe" : "ignore", stderr ? "pipe" : "ignore"],
      env: line.env,
      cwd: "/",
    });
    this.#child = child;
    this.#pid = child.pid;
    child.stdin?.on("error", () => {});
    const flows = (
      [
        ["stdout", channel.stdout],
        ["stderr", channel.stderr],
      ] as const
    ).map(([name, number]) => pump(child[name], number, this.#link));
    child.on("error", (error) => void this.#finish(failure("InternalError", error.message)));
    child.on("exit", (code, signal) => {
      void Promise.race([Promise.all(flows), new Promise((resolve) => setTimeout(resolve, drainMs))]).then(() =>
        this.#finish(exitStatus(code ?? (signal === "SIGKILL" ? 137 : 143))),
      );
    });
  }

  #startTerminal(): void {
    const { container, command } = this.#request;
    const line = container.execCommand(command);
    let sending: Promise<void> = Promise.resolve();
    const { columns = 80, rows = 24 } = this.#size ?? {};
    const options = {
      env: { ...line.env, TERM: line.env["TERM"] ?? "xterm" },
      cwd: "/",
      terminal: {
        cols: columns,
        rows,
        data: (_: unknown, data: Uint8Array) => {
          const message = framed(channel.stdout, data);
          sending = sending.then(() => this.#link.send(message));
        },
      },
    };
    const child = Bun.spawn(
      [absolute(line.command[0]!), ...line.command.slice(1)],
      options as Parameters<typeof Bun.spawn>[1],
    ) as unknown as { pid: number; exited: Promise<number>; terminal: Terminal };
    this.#pid = child.pid;
    this.#terminal = child.terminal;
    void child.exited.then(async (code) => {
      // The last output comes with the next turns.
      await new Promise((resolve) => setTimeout(resolve, 20));
      await sending;
      await this.#finish(exitStatus(code));
    });
  }

  #resize(data: Buffer): void {
    try {
      const { Width, Height } = JSON.parse(data.toString("utf8")) as { Width?: number; Height?: number };
      if (!Number.isInteger(Width) || !Number.isInteger(Height) || Width! < 1 || Height! < 1) return;
      this.#size = { columns: Width!, rows: Height! };
      this.#terminal?.resize(Width!, Height!);
    } catch {
      // Not a size.
    }
  }

  async #finish(status: unknown): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    killTree(this.#child?.exitCode === null ? this.#pid : undefined);
    await this.#link.send(framed(channel.error, Buffer.from(JSON.stringify(status))));
    this.#link.close();
  }
}

/** Shows the output of a container's own program, and gives it input where it takes any. */
export class AttachSession implements Session {
  readonly #container: ContainerProcess;
  readonly #wantsInput: boolean;
  readonly #stop = new AbortController();
  #input: WriteStream | undefined;

  constructor({ container, stdin }: Pick<ExecRequest, "container" | "stdin">) {
    this.#container = container;
    this.#wantsInput = stdin;
  }

  open(link: Link): void {
    if (this.#wantsInput && this.#container.record.stdin) {
      this.#input = createWriteStream(join(this.#container.directory, "stdin"), { flags: "r+" });
      this.#input.on("error", () => {});
    }
    void this.#follow(link);
  }

  message(bytes: Buffer): void {
    if (bytes[0] === channel.stdin && this.#input && this.#input.writableLength < maxPendingInput)
      this.#input.write(Buffer.from(bytes.subarray(1)));
  }

  close(): void {
    this.#stop.abort();
    this.#input?.destroy();
  }

  async #follow(link: Link): Promise<void> {
    const log = readLog(
      this.#container.directory,
      { follow: true, tailLines: 0 },
      { isOver: () => !this.#container.isRunning, signal: this.#stop.signal, now: Date.now, pollMs: 50 },
    );
    for await (const piece of log) await link.send(framed(channel.stdout, piece));
    if (this.#stop.signal.aborted) return;
    // How the program ended is the pod's status to tell.
    await link.send(framed(channel.error, Buffer.from(JSON.stringify(exitStatus(0)))));
    link.close();
  }
}

async function pump(stream: NodeJS.ReadableStream | null | undefined, number: number, link: Link): Promise<void> {
  if (!stream) return;
  try {
    // Waiting here keeps the program from writing more than the client takes.
    for await (const chunk of stream) await link.send(framed(number, chunk as Buffer));
  } catch {
    // The pipe broke with the program.
  }
}

function framed(number: number, data: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([number]), data]);
}

/** The Status that ends a session. */
export function exitStatus(code: number): unknown {
  if (code === 0) return { metadata: {}, status: "Success" };
  return {
    metadata: {},
    status: "Failure",
    message: `command terminated with non-zero exit code: exit status ${code}`,
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: String(code) }] },
  };
}

function failure(reason: string, message: string): unknown {
  return { metadata: {}, status: "Failure", reason, message, code: 500 };
}
