// The one executable: the first argument names a role or a command of the CLI. A role loads only its own code.
/** The exit status; null: the thread lives on, for messages. */
type Entry = { main(args: string[], env: Record<string, string | undefined>): Promise<number | null> };

const roles: Record<string, () => Promise<Entry>> = {
  proxy: () => import("./proxy/main.ts"),
  "proxy-worker": () => import("./proxy/workers/worker.ts"),
  "proxy-await": () => import("./proxy/await.ts"),
  "proxy-init": () => import("./proxy-init/main.ts"),
  identity: () => import("./controller/identity/main.ts"),
  destination: () => import("./controller/destination/destination/main.ts"),
  policy: () => import("./controller/destination/policy/main.ts"),
  "sp-validator": () => import("./controller/destination/sp-validator/main.ts"),
  "proxy-injector": () => import("./controller/proxy-injector/main.ts"),
  heartbeat: () => import("./controller/heartbeat/main.ts"),
  "cluster-apiserver": () => import("./cluster/apiserver/main.ts"),
  "cluster-controllers": () => import("./cluster/controllers/main.ts"),
  "cluster-node": () => import("./cluster/node/main.ts"),
  "cluster-supervisor": () => import("./cluster/supervisor/main.ts"),
};

const [name = "", ...args] = process.argv.slice(2);
// `identity` is a role and a command. The role is started with long flags behind one dash, as all control-plane containers are.
const isCommand = name === "identity" && !/^-[a-z]{2}/.test(args[0] ?? "");
const role = Object.hasOwn(roles, name) && !isCommand ? roles[name] : undefined;
// @peculiar/x509 wants this polyfill before it is loaded; the roles of the data plane do without both.
if (!role || !name.startsWith("proxy") || name === "proxy-injector") await import("reflect-metadata");
const entry = role ? await role() : await import("./cli/main.ts");
const status = await entry.main(role ? args : process.argv.slice(2), process.env);
if (status !== null) {
  // A pipe takes 64 KiB at a time: what its reader has not taken yet would be lost with the process.
  const flushed = (stream: NodeJS.WriteStream) =>
    new Promise<void>((resolve) => {
      stream.once("error", () => resolve());
      stream.end(() => resolve());
    });
  // The log of a role may have a reader that has stopped: it is not waited for long. Who pipes a command's output may take their time.
  const patience = new Promise<void>((resolve) => role && setTimeout(resolve, 1000));
  await Promise.race([Promise.all([flushed(process.stdout), flushed(process.stderr)]), patience]);
  process.exit(status);
}
