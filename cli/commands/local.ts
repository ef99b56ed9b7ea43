// fairlead local: the embedded cluster on this machine. The command tree; what the verbs do is loaded when one is run.
import { Command, Option } from "commander";
import { type Io, processIo } from "../io.ts";
import type { StartFlags, Where } from "./local-verbs.ts";

const verbs = () => import("./local-verbs.ts");

export function localCommand(io: Io = processIo(process.env)): Command {
  const local = new Command("local").description("Run a small Kubernetes cluster on this machine, for trying and testing the mesh");
  const verb = (name: string, description: string) =>
    local
      .command(name)
      .description(description)
      .option("--name <string>", 'Name of the cluster (default "fairlead")')
      .option("--state-dir <path>", "Where the cluster keeps its state (default $FAIRLEAD_LOCAL_DIR or ~/.fairlead/local/NAME)");

  verb("start", "Start the cluster, with all objects it had when it was stopped")
    .option("--api-port <int>", "Port of the API server (default 6443)")
    .option("--pod-cidr <cidr>", "Addresses of pods (default 10.244.0.0/24)")
    .option("--service-cidr <cidr>", "Addresses of services (default 10.96.0.0/16)")
    .option("--link-cidr <cidr>", "Link between this machine and the node (default 10.250.0.0/30)")
    .option("--cluster-domain <domain>", "DNS domain of the cluster (default cluster.local)")
    .addOption(
      new Option("--image <NAME=COMMAND>", "Program that an image name stands for; may be repeated")
        .argParser((value: string, all: string[]) => [...all, value])
        .default([], ""),
    )
    .option("--wait", "Wait until pods can be created", true)
    .option("--no-wait", "Return as soon as the cluster's processes run")
    .action((flags: StartFlags) => verbs().then(({ start }) => start(flags, io)));
  verb("stop", "Stop the cluster and remove its processes, namespaces, links and mounts; objects are kept").action((flags: Where) =>
    verbs().then(({ stop }) => stop(flags, io)),
  );
  verb("status", "Show the state of the cluster; exit status 1 unless it is running well")
    .addOption(new Option("-o, --output <string>", "Output format").choices(["table", "json"]).default("table"))
    .action((flags: Where & { output: string }) => verbs().then(({ status }) => status(flags, io)));
  verb("kubeconfig", "Print the cluster's kubeconfig")
    .option("--merge", "Add it to the first file of $KUBECONFIG or ~/.kube/config and make it current", false)
    .action((flags: Where & { merge: boolean }) => verbs().then(({ kubeconfig }) => kubeconfig(flags, io)));
  verb("reset", "Stop the cluster and delete its state").action((flags: Where) => verbs().then(({ reset }) => reset(flags, io)));
  return local;
}
