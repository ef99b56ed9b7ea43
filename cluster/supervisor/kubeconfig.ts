// Kubeconfig files: the cluster's own, and merging the administrator's into the user's without touching anything else in it.
import { chmodSync, existsSync, mkdirSync, readFileSync, realpathSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { isMap, isSeq, parseDocument, stringify, type YAMLMap, type YAMLSeq } from "yaml";
import { defaultName } from "../config.ts";

/** Name of cluster, user and context: `fairlead`, or `fairlead-NAME` for a cluster of another name. */
export function contextName(cluster: string): string {
  return cluster === defaultName ? defaultName : `${defaultName}-${cluster}`;
}

export interface KubeconfigParts {
  /** For cluster, user and context. */
  name: string;
  server: string;
  /** PEM */
  ca: string;
  cert: string;
  key: string;
}

interface Entries {
  clusters: { name: string; cluster: Record<string, string> };
  users: { name: string; user: Record<string, string> };
  contexts: { name: string; context: Record<string, string> };
}

function entriesOf({ name, server, ca, cert, key }: KubeconfigParts): Entries {
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  return {
    clusters: { name, cluster: { server, "certificate-authority-data": base64(ca) } },
    users: { name, user: { "client-certificate-data": base64(cert), "client-key-data": base64(key) } },
    contexts: { name, context: { cluster: name, user: name } },
  };
}

export function renderKubeconfig(parts: KubeconfigParts): string {
  const { clusters, users, contexts } = entriesOf(parts);
  return stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [clusters],
    users: [users],
    contexts: [contexts],
    "current-context": parts.name,
  });
}

/**
 * The user's file with the cluster's entries added or replaced and made current; comments and other entries stay as they are.
 * @throws {Error} naming the file when it is no kubeconfig: it is then left alone.
 */
export function mergeKubeconfig(text: string, parts: KubeconfigParts, file: string): string {
  const document = parseDocument(text);
  if (document.errors.length > 0) throw new Error(`${file}: ${(document.errors[0] as Error).message.split("\n")[0]}`);
  if (document.contents === null) return renderKubeconfig(parts);
  if (!isMap(document.contents)) throw new Error(`${file}: is not a kubeconfig: must be a mapping`);
  const kind = document.get("kind");
  if (kind !== undefined && kind !== "Config") throw new Error(`${file}: is not a kubeconfig: kind is ${JSON.stringify(kind)}`);
  document.set("apiVersion", document.get("apiVersion") ?? "v1");
  document.set("kind", "Config");
  for (const [field, entry] of Object.entries(entriesOf(parts))) {
    let list = document.get(field);
    if (list === undefined || list === null) {
      list = document.createNode([]);
      document.set(field, list);
    }
    if (!isSeq(list)) throw new Error(`${file}: ${field}: must be a list`);
    const seq = list as YAMLSeq;
    // A list that was empty may have been written as `[]`.
    seq.flow = false;
    const at = seq.items.findIndex((item) => isMap(item) && (item as YAMLMap).get("name") === entry.name);
    const node = document.createNode(entry);
    if (at < 0) seq.add(node);
    else seq.items[at] = node;
  }
  document.set("current-context", parts.name);
  return document.toString();
}

/** Where kubectl itself would write: the first file of `KUBECONFIG`, else ~/.kube/config. */
export function userKubeconfig(env: Record<string, string | undefined>): string {
  const first = (env["KUBECONFIG"] ?? "").split(":").find((path) => path !== "");
  if (first) return first;
  if (!env["HOME"]) throw new Error("neither KUBECONFIG nor HOME is set");
  return join(env["HOME"], ".kube", "config");
}

/** Merges into `file` by a change of names, so that it is never half written; mode, owner's link and other entries stay. */
export function mergeInto(file: string, parts: KubeconfigParts): void {
  const target = existsSync(file) ? realpathSync(file) : file;
  const text = existsSync(target) ? readFileSync(target, "utf8") : "";
  const merged = mergeKubeconfig(text, parts, file);
  mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
  const partial = `${target}.${process.pid}.new`;
  writeFileSync(partial, merged, { mode: 0o600 });
  if (text !== "") chmodSync(partial, statSync(target).mode & 0o777);
  renameSync(partial, target);
}
