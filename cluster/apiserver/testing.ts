// A server for tests: in this process, in memory, on a free port of the loopback, with a client that speaks plain JSON.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ApiObject } from "./kinds/resource.ts";
import { type ClientName, createPki, type Pki } from "./pki.ts";
import { type ApiServer, type ApiServerOptions, startApiServer } from "./server.ts";

export interface Reply {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests read answers of every kind
  body: any;
}

export interface SendOptions {
  body?: unknown;
  type?: string;
  accept?: string;
  token?: string;
  as?: ClientName | "nobody";
  headers?: Record<string, string>;
}

export interface TestServer {
  server: ApiServer;
  pki: Pki;
  dir: string;
  send(method: string, path: string, options?: SendOptions): Promise<Reply>;
  /** POSTs an object to where it belongs and returns it; throws when refused. */
  create(object: ApiObject, plural?: string): Promise<ApiObject>;
  /** A kubeconfig file for a client certificate. */
  kubeconfig(name: ClientName): string;
  close(): void;
}

/** @param options as for startApiServer; `dataDir: "disk"` puts the data into the test's folder. */
export async function startTestServer(options: Partial<ApiServerOptions> = {}): Promise<TestServer> {
  const dir = mkdtempSync(join(tmpdir(), "apiserver-"));
  try {
    const pki = await createPki(join(dir, "pki"));
    const server = await startApiServer({
      securePort: 0,
      pki,
      ...options,
      dataDir: options.dataDir === "disk" ? join(dir, "data") : options.dataDir,
    });
    return {
      server,
      pki,
      dir,
      send: (method, path, sendOptions) => send(server.url, pki, method, path, sendOptions),
      async create(object, plural = pluralOf(object.kind as string)) {
        const { apiVersion = "v1", metadata } = object;
        const root = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
        const reply = await send(
          server.url,
          pki,
          "POST",
          `${root}${metadata.namespace ? `/namespaces/${metadata.namespace}` : ""}/${plural}`,
          { body: object },
        );
        if (reply.status !== 201) throw new Error(`${reply.status}: ${JSON.stringify(reply.body)}`);
        return reply.body as ApiObject;
      },
      kubeconfig(name) {
        const { cert, key } = pki.client(name);
        const base64 = (text: string) => Buffer.from(text).toString("base64");
        const file = join(dir, `${name}.kubeconfig`);
        writeFileSync(
          file,
          JSON.stringify({
            apiVersion: "v1",
            kind: "Config",
            clusters: [{ name: "test", cluster: { server: server.url, "certificate-authority-data": base64(pki.ca) } }],
            users: [{ name, user: { "client-certificate-data": base64(cert), "client-key-data": base64(key) } }],
            contexts: [{ name: "test", context: { cluster: "test", user: name } }],
            "current-context": "test",
          }),
        );
        return file;
      },
      close() {
        server.close();
        rmSync(dir, { recursive: true, force: true });
      },
    };
  } catch (error) {
    rmSync(dir, { recursive: true, force: true });
    throw error;
  }
}

export async function send(
  url: string,
  pki: Pki,
  method: string,
  path: string,
  { body, type = "application/json", accept, token, as = "admin", headers = {} }: SendOptions = {},
): Promise<Reply> {
  const credentials = as === "nobody" || token !== undefined ? {} : pki.client(as);
  const init = {
    method,
    headers: {
      ...(body === undefined ? {} : { "content-type": type }),
      ...(accept ? { accept } : {}),
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body) }),
    tls: { ca: pki.ca, ...credentials },
  };
  const response = await fetch(`${url}${path}`, init as RequestInit);
  const text = await response.text();
  const json = (response.headers.get("content-type") ?? "").includes("json") && text !== "";
  return { status: response.status, headers: response.headers, body: json ? JSON.parse(text) : text };
}

function pluralOf(kind: string): string {
  const lower = kind.toLowerCase();
  if (lower === "endpoints") return lower;
  return lower.endsWith("s") ? `${lower}es` : lower.endsWith("y") ? `${lower.slice(0, -1)}ies` : `${lower}s`;
}

/** Watch events as they come; `until` resolves with all events up to the first that satisfies it. */
export class WatchReader {
  // biome-ignore lint/suspicious/noExplicitAny: events of every kind
  readonly events: any[] = [];
  readonly #abort = new AbortController();
  readonly #waiting = new Set<() => void>();
  ended = false;

  constructor({ server, pki }: TestServer, path: string, accept?: string) {
    void this.#run(server.url, pki, path, accept);
  }

  async #run(url: string, pki: Pki, path: string, accept: string | undefined): Promise<void> {
    try {
      const response = await fetch(`${url}${path}`, {
        signal: this.#abort.signal,
        headers: accept ? { accept } : {},
        tls: { ca: pki.ca, ...pki.client("admin") },
      } as RequestInit);
      let rest = "";
      const decoder = new TextDecoder();
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
        const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
        rest = lines.pop() as string;
        for (const line of lines) if (line !== "") this.events.push(JSON.parse(line));
        for (const wake of this.#waiting) wake();
      }
    } catch {
      // Ended by close, or by the server.
    }
    this.ended = true;
    for (const wake of this.#waiting) wake();
  }

  // biome-ignore lint/suspicious/noExplicitAny: events of every kind
  until(found: (event: any) => boolean): Promise<any[]> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const at = this.events.findIndex(found);
        if (at < 0 && !this.ended) return;
        this.#waiting.delete(look);
        if (at < 0) reject(new Error(`the watch ended after ${JSON.stringify(this.events)}`));
        else resolve(this.events.slice(0, at + 1));
      };
      this.#waiting.add(look);
      look();
    });
  }

  async end(): Promise<void> {
    if (this.ended) return;
    await new Promise<void>((resolve) => this.#waiting.add(() => this.ended && resolve()));
  }

  close(): void {
    this.#abort.abort();
  }
}
