// Kubeconfig files, which come from anywhere.
import { parse } from "yaml";
import { KubeconfigError, parseKubeconfig } from "#kube";
import { attempt, check, same, type Target, utf8 } from "../target.ts";

const config = (more: string): string => `apiVersion: v1
kind: Config
current-context: c
clusters:
- name: k
  cluster: {server: "https://a:6443"}
contexts:
- name: c
  context: {cluster: k, user: u, namespace: n}
users:
- name: u
  user: ${more}
`;

const target: Target = {
  name: "kubeconfig",
  what: "kubeconfig: any text gives a configuration with a URL, or an error that names file and field; nothing else is thrown, no prototype touched",
  maxBytes: 1500,
  seeds: [
    config("{token: t}"),
    config("{username: a, password: b, as: x, as-groups: [g]}"),
    config('{client-certificate-data: "YQ==", client-key-data: "YQ=="}'),
    config("{exec: {command: x, args: [a], env: [{name: a, value: b}]}}"),
    '{"current-context":"c","contexts":[{"name":"c","context":{"cluster":"k"}}],"clusters":[{"name":"k","cluster":{"server":"a","tls-server-name":"b","insecure-skip-tls-verify":true}}]}',
    "a: &a [*a, *a]",
    "- 1",
    "",
  ],
  dictionary: [
    "clusters:",
    "users:",
    "contexts:",
    "current-context: ",
    "- name: ",
    "server: ",
    "token: ",
    "exec: ",
    "certificate-authority-data: ",
    "__proto__",
    "&a ",
    "*a",
    "!!binary ",
    "\n  ",
    "null",
    "https://[::1]:1",
  ],
  run(input) {
    const text = utf8(input);
    // Files are another subject: a target must not read what a mutation names.
    if (/certificate|key|tokenFile/.test(text) && namesFiles(text)) return;
    const read = (): ReturnType<typeof parseKubeconfig> | null =>
      attempt(() => parseKubeconfig({ text, file: "f", env: {} }), KubeconfigError);
    const result = read();
    if (result === null) return;
    check(/^https?:\/\//.test(result.server) && !result.server.endsWith("/"), () => `server ${result.server}`);
    check(URL.canParse(result.server), "server is no URL");
    check(result.context !== "" && result.namespace !== "", "context and namespace");
    check((result.tls.cert === undefined) === (result.tls.key === undefined), "half a client certificate");
    check(result.tls.rejectUnauthorized !== true, "verification is on unless it is said to be off");
    const { credentials: _, ...plain } = result;
    const { credentials: __, ...again } = read() as NonNullable<typeof result>;
    same(again, plain, "read again");
  },
};
export default target;

function namesFiles(text: string): boolean {
  let found = false;
  try {
    JSON.stringify(parse(text), (key, value: unknown) => {
      if (/^(?:certificate-authority|client-certificate|client-key|tokenFile)$/.test(key) && typeof value === "string") found = true;
      return value;
    });
  } catch {
    // Circular or no YAML; the code under test has its own opinion.
    return !/^a: &a/.test(text);
  }
  return found;
}
