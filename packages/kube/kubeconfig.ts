// Reads kubeconfig files and the in-cluster service account into what a connection to the API server needs.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { parse } from "yaml";
import { KubeconfigError } from "./errors.ts";

/** PEM texts and names for TLS to the API server. */
export interface ClusterTls {
  ca?: string;
  cert?: string;
  key?: string;
  serverName?: string;
  /** False only when the kubeconfig says `insecure-skip-tls-verify`. */
  rejectUnauthorized?: boolean;
}

/** Where the API server is and how to prove who we are. */
export interface ClusterConfig {
  /** `https://host:port[/prefix]`, no slash at the end. */
  server: string;
  /** Namespace of the context; `default` when it names none. */
  namespace: string;
  /** Name of the context; `in-cluster` inside a pod. */
  context: string;
  tls: ClusterTls;
  proxyUrl?: string;
  /** User and groups to act as (`as`, `as-groups`, `as-uid`). */
  impersonate?: { user: string; groups: string[]; uid?: string };
  /** Headers and client certificate for one request: called for each, so that tokens may be renewed. Absent: the certificate in `tls`, or none. */
  credentials?: () => Promise<{ authorization?: string; cert?: string; key?: string }>;
}

type Env = Record<string, string | undefined>;

/** Directory that Kubernetes mounts into each pod. */
const serviceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount";
/** How long a token read from a file is used before the file is read again; the kubelet renews it long before it expires. */
const tokenRereadMs = 10_000;
/** A token from an exec plugin is renewed this long before it expires. */
const execRenewEarlyMs = 10_000;
/** An exec plugin that says nothing for so long has failed. */
const execTimeoutMs = 60_000;

/**
 * The configuration to use: an explicit file, else `KUBECONFIG` (a list joined by `:`), else the pod's service account, else `$HOME/.kube/config`.
 * @throws {KubeconfigError} naming the file and the field.
 */
export function loadConfig({
  kubeconfig,
  context,
  env,
}: {
  kubeconfig?: string | undefined;
  context?: string | undefined;
  env: Env;
}): ClusterConfig {
  if (kubeconfig) return loadKubeconfig({ files: [kubeconfig], context, env, explicit: true });
  const list = (env["KUBECONFIG"] ?? "").split(":").filter((file) => file !== "");
  if (list.length > 0) return loadKubeconfig({ files: list, context, env, explicit: list.length === 1 });
  if (env["KUBERNETES_SERVICE_HOST"] && env["KUBERNETES_SERVICE_PORT"] && context === undefined) return loadInCluster({ env });
  if (env["HOME"]) return loadKubeconfig({ files: [join(env["HOME"], ".kube", "config")], context, env, explicit: true });
  throw new KubeconfigError("no kubeconfig: give --kubeconfig, set KUBECONFIG, or set HOME");
}

/** The configuration of a pod: `KUBERNETES_SERVICE_HOST`/`_PORT` and the mounted service account. */
export function loadInCluster({
  env,
  directory = env["FAIRLEAD_SERVICE_ACCOUNT_DIR"] ?? serviceAccountDir,
}: {
  env: Env;
  directory?: string;
}): ClusterConfig {
  const host = env["KUBERNETES_SERVICE_HOST"] ?? "";
  const tokenFile = join(directory, "token");
  readText(tokenFile, "service account token");
  let namespace = "default";
  try {
    namespace = readFileSync(join(directory, "namespace"), "utf8").trim() || "default";
  } catch {
    // Older clusters do not mount it.
  }
  return {
    server: `https://${host.includes(":") ? `[${host}]` : host}:${env["KUBERNETES_SERVICE_PORT"]}`,
    namespace,
    context: "in-cluster",
    tls: { ca: readText(join(directory, "ca.crt"), "certificate authority") },
    credentials: tokenFromFile(tokenFile),
  };
}

/** Kubeconfig files merged as kubectl does: for each name and for `current-context` the first file that has it wins. */
export function loadKubeconfig({
  files,
  context,
  env,
  explicit,
}: {
  files: string[];
  context?: string | undefined;
  env: Env;
  explicit: boolean;
}): ClusterConfig {
  const merged = new Merged();
  for (const file of files) {
    let text: string;
    try {
      text = readFileSync(file, "utf8");
    } catch (error) {
      if (!explicit && (error as NodeJS.ErrnoException).code === "ENOENT") continue;
      throw new KubeconfigError(`kubeconfig ${file}: cannot be read: ${(error as Error).message}`);
    }
    merged.add(file, text);
  }
  return merged.resolve(context, env);
}

/** As {@link loadKubeconfig} for a text already in hand; `file` is the name used in messages. */
export function parseKubeconfig({ text, file, context, env }: { text: string; file: string; context?: string; env: Env }): ClusterConfig {
  const merged = new Merged();
  merged.add(file, text);
  return merged.resolve(context, env);
}

type Fields = Record<string, unknown>;
interface Entry {
  file: string;
  fields: Fields;
}

class Merged {
  readonly files: string[] = [];
  currentContext: string | undefined;
  readonly clusters = new Map<string, Entry>();
  readonly users = new Map<string, Entry>();
  readonly contexts = new Map<string, Entry>();

  add(file: string, text: string): void {
    this.files.push(file);
    let document: unknown;
    try {
      document = parse(text);
    } catch (error) {
      throw new KubeconfigError(`kubeconfig ${file}: not valid YAML: ${(error as Error).message.split("\n")[0]}`);
    }
    if (document === null || document === undefined) return;
    if (!isFields(document)) throw new KubeconfigError(`kubeconfig ${file}: expected a mapping at the top, found ${nameOf(document)}`);
    if (document["kind"] !== undefined && document["kind"] !== "Config")
      throw new KubeconfigError(`kubeconfig ${file}: kind: expected "Config", found ${JSON.stringify(document["kind"])}`);
    this.currentContext ||= stringField(file, "current-context", document["current-context"]) || undefined;
    for (const [list, inner, into] of [
      ["clusters", "cluster", this.clusters],
      ["users", "user", this.users],
      ["contexts", "context", this.contexts],
    ] as const) {
      const items = document[list] ?? [];
      if (!Array.isArray(items)) throw new KubeconfigError(`kubeconfig ${file}: ${list}: expected a list, found ${nameOf(items)}`);
      items.forEach((item: unknown, index) => {
        const at = `${list}[${index}]`;
        if (!isFields(item)) throw new KubeconfigError(`kubeconfig ${file}: ${at}: expected a mapping, found ${nameOf(item)}`);
        const name = stringField(file, `${at}.name`, item["name"]);
        if (!name) throw new KubeconfigError(`kubeconfig ${file}: ${at}.name is missing`);
        const fields = item[inner] ?? {};
        if (!isFields(fields)) throw new KubeconfigError(`kubeconfig ${file}: ${at}.${inner}: expected a mapping, found ${nameOf(fields)}`);
        if (!into.has(name)) into.set(name, { file, fields });
      });
    }
  }

  resolve(wanted: string | undefined, env: Env): ClusterConfig {
    const all = this.files.join(":");
    const name = wanted ?? this.currentContext;
    if (!name) throw new KubeconfigError(`kubeconfig ${all}: current-context is not set; name a context`);
    const known = (map: Map<string, Entry>) => (map.size > 0 ? ` (it has ${[...map.keys()].slice(0, 8).join(", ")})` : " (it has none)");
    const context = this.contexts.get(name);
    if (!context) throw new KubeconfigError(`kubeconfig ${all}: context "${name}" does not exist${known(this.contexts)}`);
    const clusterName = stringField(context.file, `contexts[${name}].context.cluster`, context.fields["cluster"]);
    if (!clusterName) throw new KubeconfigError(`kubeconfig ${context.file}: contexts[${name}].context.cluster is missing`);
    const cluster = this.clusters.get(clusterName);
    if (!cluster)
      throw new KubeconfigError(
        `kubeconfig ${context.file}: contexts[${name}].context.cluster: cluster "${clusterName}" does not exist${known(this.clusters)}`,
      );
    const userName = stringField(context.file, `contexts[${name}].context.user`, context.fields["user"]);
    const user = userName ? this.users.get(userName) : undefined;
    if (userName && !user)
      throw new KubeconfigError(
        `kubeconfig ${context.file}: contexts[${name}].context.user: user "${userName}" does not exist${known(this.users)}`,
      );

    const at = `clusters[${clusterName}].cluster`;
    const server = stringField(cluster.file, `${at}.server`, cluster.fields["server"]);
    if (!server) throw new KubeconfigError(`kubeconfig ${cluster.file}: ${at}.server is missing`);
    let url: URL;
    try {
      url = new URL(server.includes("://") ? server : `https://${server}`);
    } catch {
      throw new KubeconfigError(`kubeconfig ${cluster.file}: ${at}.server: ${JSON.stringify(server)} is not a URL`);
    }
    if (url.protocol !== "https:" && url.protocol !== "http:")
      throw new KubeconfigError(`kubeconfig ${cluster.file}: ${at}.server: ${JSON.stringify(server)} is neither http nor https`);
    const tls: ClusterTls = {};
    const ca = pem(cluster, at, "certificate-authority");
    if (ca) tls.ca = ca;
    const serverName = stringField(cluster.file, `${at}.tls-server-name`, cluster.fields["tls-server-name"]);
    if (serverName) tls.serverName = serverName;
    if (cluster.fields["insecure-skip-tls-verify"] === true) tls.rejectUnauthorized = false;

    const config: ClusterConfig = {
      server: url.href.replace(/\/+$/, ""),
      namespace: stringField(context.file, `contexts[${name}].context.namespace`, context.fields["namespace"]) || "default",
      context: name,
      tls,
    };
    const proxyUrl = stringField(cluster.file, `${at}.proxy-url`, cluster.fields["proxy-url"]);
    if (proxyUrl) config.proxyUrl = proxyUrl;
    if (user && userName) addUser({ config, user, at: `users[${userName}].user`, env, cluster });
    return config;
  }
}

function addUser({ config, user, at, env, cluster }: { config: ClusterConfig; user: Entry; at: string; env: Env; cluster: Entry }): void {
  const { file, fields } = user;
  const cert = pem(user, at, "client-certificate");
  const key = pem(user, at, "client-key");
  if (cert && !key) throw new KubeconfigError(`kubeconfig ${file}: ${at}: client-certificate is given without client-key`);
  if (key && !cert) throw new KubeconfigError(`kubeconfig ${file}: ${at}: client-key is given without client-certificate`);
  if (cert && key) Object.assign(config.tls, { cert, key });
  const token = stringField(file, `${at}.token`, fields["token"]);
  const tokenFile = stringField(file, `${at}.tokenFile`, fields["tokenFile"]);
  const username = stringField(file, `${at}.username`, fields["username"]);
  const password = stringField(file, `${at}.password`, fields["password"]);
  if (tokenFile) {
    const path = beside(file, tokenFile);
    readText(path, `kubeconfig ${file}: ${at}.tokenFile`);
    config.credentials = tokenFromFile(path);
  } else if (token) {
    const authorization = `Bearer ${token}`;
    config.credentials = async () => ({ authorization });
  } else if (username) {
    const authorization = `Basic ${base64(`${username}:${password ?? ""}`)}`;
    config.credentials = async () => ({ authorization });
  } else if (fields["exec"] !== undefined) {
    if (!isFields(fields["exec"])) throw new KubeconfigError(`kubeconfig ${file}: ${at}.exec: expected a mapping`);
    config.credentials = execPlugin({
      file,
      at: `${at}.exec`,
      spec: fields["exec"],
      env,
      cluster: { server: config.server, tls: config.tls, file: cluster.file },
    });
  } else if (fields["auth-provider"] !== undefined) {
    throw new KubeconfigError(`kubeconfig ${file}: ${at}.auth-provider is no longer supported by Kubernetes; use exec`);
  }
  const as = stringField(file, `${at}.as`, fields["as"]);
  if (as) {
    const groups = Array.isArray(fields["as-groups"]) ? fields["as-groups"].map(String) : [];
    const uid = stringField(file, `${at}.as-uid`, fields["as-uid"]);
    config.impersonate = { user: as, groups, ...(uid ? { uid } : {}) };
  }
}

/** `<name>-data` (base64) wins over `<name>` (a file, relative to the kubeconfig). */
function pem(entry: Entry, at: string, name: string): string | undefined {
  const data = stringField(entry.file, `${at}.${name}-data`, entry.fields[`${name}-data`]);
  const path = stringField(entry.file, `${at}.${name}`, entry.fields[name]);
  let text: string;
  let field: string;
  if (data) {
    field = `${at}.${name}-data`;
    if (!/^[A-Za-z0-9+/=\s]*$/.test(data)) throw new KubeconfigError(`kubeconfig ${entry.file}: ${field}: not base64`);
    text = Buffer.from(data, "base64").toString("utf8");
  } else if (path) {
    field = `${at}.${name}`;
    text = readText(beside(entry.file, path), `kubeconfig ${entry.file}: ${field}`);
  } else return undefined;
  if (!text.includes("-----BEGIN ")) throw new KubeconfigError(`kubeconfig ${entry.file}: ${field}: holds no PEM block`);
  return text;
}

function tokenFromFile(path: string): NonNullable<ClusterConfig["credentials"]> {
  let authorization = "";
  let readAt = Number.NEGATIVE_INFINITY;
  return async () => {
    const now = performance.now();
    if (now - readAt > tokenRereadMs) {
      authorization = `Bearer ${readText(path, "token file").trim()}`;
      readAt = now;
    }
    return { authorization };
  };
}

/** client.authentication.k8s.io: runs the named program and reads an ExecCredential from its standard output. */
function execPlugin({
  file,
  at,
  spec,
  env,
  cluster,
}: {
  file: string;
  at: string;
  spec: Fields;
  env: Env;
  cluster: { server: string; tls: ClusterTls; file: string };
}): NonNullable<ClusterConfig["credentials"]> {
  const command = stringField(file, `${at}.command`, spec["command"]);
  if (!command) throw new KubeconfigError(`kubeconfig ${file}: ${at}.command is missing`);
  const apiVersion = stringField(file, `${at}.apiVersion`, spec["apiVersion"]) ?? "client.authentication.k8s.io/v1";
  const args = Array.isArray(spec["args"]) ? spec["args"].map(String) : [];
  const extra: Env = {};
  for (const item of Array.isArray(spec["env"]) ? spec["env"] : [])
    if (isFields(item)) extra[String(item["name"])] = String(item["value"] ?? "");
  const info: Fields = { apiVersion, kind: "ExecCredential", spec: { interactive: false } };
  if (spec["provideClusterInfo"] === true) {
    (info["spec"] as Fields)["cluster"] = {
      server: cluster.server,
      ...(cluster.tls.ca ? { "certificate-authority-data": base64(cluster.tls.ca) } : {}),
    };
  }
  const program = command.includes("/") ? beside(file, command) : command;
  let cached: { authorization?: string; cert?: string; key?: string } | undefined;
  let renewAt = Number.POSITIVE_INFINITY;
  let running: Promise<{ authorization?: string; cert?: string; key?: string }> | undefined;
  const run = () =>
    new Promise<{ authorization?: string; cert?: string; key?: string }>((resolve, reject) => {
      const childEnv = { ...env, ...extra, KUBERNETES_EXEC_INFO: JSON.stringify(info) } as NodeJS.ProcessEnv;
      execFile(program, args, { env: childEnv, timeout: execTimeoutMs, maxBuffer: 1 << 20 }, (error, stdout, stderr) => {
        const fail = (why: string) => reject(new KubeconfigError(`kubeconfig ${file}: ${at}: ${command}: ${why}`));
        if (error)
          return fail(
            `${(error as NodeJS.ErrnoException).code === "ENOENT" ? "no such program" : error.message.split("\n")[0]}${stderr ? `: ${stderr.trim().slice(0, 512)}` : ""}`,
          );
        let status: Fields;
        try {
          const parsed: unknown = JSON.parse(stdout);
          status = isFields(parsed) && isFields(parsed["status"]) ? parsed["status"] : {};
        } catch {
          return fail("its output is not an ExecCredential in JSON");
        }
        const token = status["token"];
        const cert = status["clientCertificateData"];
        const key = status["clientKeyData"];
        if (typeof token !== "string" && typeof cert !== "string")
          return fail("its output names neither status.token nor status.clientCertificateData");
        const expires = typeof status["expirationTimestamp"] === "string" ? Date.parse(status["expirationTimestamp"]) : Number.NaN;
        renewAt = Number.isNaN(expires) ? Number.POSITIVE_INFINITY : expires - execRenewEarlyMs;
        resolve({
          ...(typeof token === "string" ? { authorization: `Bearer ${token}` } : {}),
          ...(typeof cert === "string" && typeof key === "string" ? { cert, key } : {}),
        });
      });
    });
  return async () => {
    if (cached && Date.now() < renewAt) return cached;
    running ??= run().finally(() => {
      running = undefined;
    });
    cached = await running;
    return cached;
  };
}

function readText(path: string, what: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new KubeconfigError(`${what}: ${path} cannot be read: ${(error as Error).message}`);
  }
}

const base64 = (text: string) => Buffer.from(text, "utf8").toString("base64");
const beside = (file: string, path: string) => (isAbsolute(path) ? path : join(dirname(file), path));
const isFields = (value: unknown): value is Fields => typeof value === "object" && value !== null && !Array.isArray(value);
const nameOf = (value: unknown) => (value === null ? "nothing" : Array.isArray(value) ? "a list" : `a ${typeof value}`);

function stringField(file: string, field: string, value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw new KubeconfigError(`kubeconfig ${file}: ${field}: expected a string, found ${nameOf(value)}`);
  return value;
}
