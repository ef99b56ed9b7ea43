// The two shell scripts that make a container of a process. Pure: what is to be in it → text.
//
// shim.sh runs in the machine's namespaces, enters the pod's network, makes new mount, PID, UTS and IPC namespaces for launch.sh, waits, and leaves the
// exit code in the file `exit`, so that it is not lost when the agent is away. launch.sh builds the root file system, moves into it and becomes the program.
// File descriptor 4 is the log. Both report to the agent on file descriptor 3: `pid N`, then `started`, or whatever went wrong.

export interface BindMount {
  /** Absolute path on the machine. */
  source: string;
  /** Absolute path in the container. */
  target: string;
  readOnly: boolean;
  /** Whether the target is a file or a directory: it is made when absent. */
  isFile: boolean;
}

export interface LaunchSpec {
  /** Directory of this attempt: scripts, log, exit code. */
  directory: string;
  /** Root of the image; "/" is this machine's own. */
  root: string;
  /** Further file systems of the machine that the container sees, copied on write. */
  hostMounts: string[];
  hostname: string;
  /** Network namespace to enter; `undefined`: stay in the machine's. */
  networkNamespace: string | undefined;
  binds: BindMount[];
  /** Programs that the image has at other paths: path → command to run with the caller's arguments. */
  commands: Record<string, string[]>;
  /** Directories that lead to the image's programs and are closed to others (as /root is): opened in the container's view alone. */
  closedDirectories: string[];
  environment: [string, string][];
  argv: string[];
  workingDir: string;
  uid: number;
  gid: number;
  groups: number[];
  /** Without `cap_`, lower case. `undefined`: all there are (privileged). */
  capabilities: string[] | undefined;
  /** Those of them that a user who is not root has too. */
  ambientCapabilities: string[];
  noNewPrivileges: boolean;
  privileged: boolean;
  readOnlyRoot: boolean;
  /** Standard input comes from the FIFO `stdin`. */
  stdin: boolean;
  /** The program runs on a terminal of its own. */
  tty: boolean;
}

/** Most that a container may write outside its volumes: it is kept in memory. */
const scratchBytes = 512 << 20;

/** Capabilities that a container has unless it drops them: containerd's default. */
export const defaultCapabilities = [
  "chown",
  "dac_override",
  "fsetid",
  "fowner",
  "mknod",
  "net_raw",
  "setgid",
  "setuid",
  "setfcap",
  "setpcap",
  "net_bind_service",
  "sys_chroot",
  "kill",
  "audit_write",
] as const;

/**
 * Which capabilities a container gets: the default, with `add` and `drop` (`ALL` allowed in both), limited to what this machine can give.
 * @param available lower case, without `cap_`.
 */
export function chooseCapabilities(add: string[] = [], drop: string[] = [], available: readonly string[]): string[] {
  const plain = (list: string[]) => list.map((name) => name.toLowerCase().replace(/^cap_/, ""));
  const added = plain(add);
  const dropped = plain(drop);
  const base = added.includes("all") ? available : dropped.includes("all") ? [] : defaultCapabilities;
  const chosen = new Set([...base.filter((name) => !dropped.includes(name)), ...added.filter((name) => name !== "all")]);
  return available.filter((name) => chosen.has(name));
}

/** Capability names by bit, Linux 6. */
export const capabilityNames = [
  "chown",
  "dac_override",
  "dac_read_search",
  "fowner",
  "fsetid",
  "kill",
  "setgid",
  "setuid",
  "setpcap",
  "linux_immutable",
  "net_bind_service",
  "net_broadcast",
  "net_admin",
  "net_raw",
  "ipc_lock",
  "ipc_owner",
  "sys_module",
  "sys_rawio",
  "sys_chroot",
  "sys_ptrace",
  "sys_pacct",
  "sys_admin",
  "sys_boot",
  "sys_nice",
  "sys_resource",
  "sys_time",
  "sys_tty_config",
  "mknod",
  "lease",
  "audit_write",
  "audit_control",
  "setfcap",
  "mac_override",
  "mac_admin",
  "syslog",
  "wake_alarm",
  "block_suspend",
  "audit_read",
  "perfmon",
  "bpf",
  "checkpoint_restore",
] as const;

/** The names in a mask as /proc/PID/status shows it (`CapBnd`). */
export function capabilitiesOf(hexMask: string): string[] {
  const mask = BigInt(`0x${hexMask}`);
  return capabilityNames.filter((_, bit) => (mask >> BigInt(bit)) & 1n);
}

/** `setpriv` and its arguments for the container's user; the program follows. */
export function setprivArguments({
  uid,
  gid,
  groups,
  capabilities,
  ambientCapabilities,
  noNewPrivileges,
}: Pick<LaunchSpec, "uid" | "gid" | "groups" | "capabilities" | "ambientCapabilities" | "noNewPrivileges">): string[] {
  const list = (names: string[]) => ["-all", ...names.map((name) => `+${name}`)].join(",");
  const ambient = uid === 0 ? [] : ambientCapabilities;
  return [
    "/usr/bin/setpriv",
    `--reuid=${uid}`,
    `--regid=${gid}`,
    groups.length > 0 ? `--groups=${groups.join(",")}` : "--clear-groups",
    ...(capabilities === undefined
      ? []
      : [`--inh-caps=${list(ambient)}`, `--ambient-caps=${list(ambient)}`, `--bounding-set=${list(capabilities)}`]),
    ...(noNewPrivileges ? ["--no-new-privs"] : []),
    "--",
  ];
}

export function renderShim(spec: LaunchSpec): string {
  const { directory, networkNamespace, stdin, tty } = spec;
  const enter = networkNamespace === undefined ? "" : `nsenter --net=${quote(networkNamespace)} -- `;
  const command = `${enter}unshare --mount --uts --ipc --pid --fork --kill-child --propagation private -- /bin/sh ${quote(`${directory}/launch.sh`)}`;
  // The FIFO is opened for writing too, so that opening it does not wait and its end is seen only when the agent says so.
  const input = stdin ? `<>${quote(`${directory}/stdin`)}` : "</dev/null";
  // Inside script(1) file descriptor 4 is the terminal.
  const line = tty
    ? `script --quiet --return --flush --echo always --command ${quote(`${command} 4>&1 2>shim.err`)} /dev/null ${input} >>log 2>&1`
    : `${command} ${input} >>log 4>&1 2>shim.err`;
  return [
    `cd ${quote(directory)} || exit 128`,
    line,
    "code=$?",
    // unshare ends as its child did, but cannot kill itself with SIGKILL: it fails in the attempt.
    '[ "$code" != 1 ] || ! grep -q "unblock failed" shim.err || code=137',
    "exec 3>&-",
    'echo "$code" >exit.new && mv exit.new exit',
    'exit "$code"',
    "",
  ].join("\n");
}

export function renderLaunch(spec: LaunchSpec): string {
  const {
    directory,
    root,
    hostMounts,
    hostname,
    binds,
    commands,
    closedDirectories,
    environment,
    argv,
    workingDir,
    privileged,
    readOnlyRoot,
  } = spec;
  const lines: string[] = [
    "set -eu",
    // The machine's own /proc is still here: it shows the process id that the agent sees.
    "read -r pid rest </proc/self/stat",
    'echo "pid $pid" >&3',
    "exec 2>&3",
    `S=${quote(`${directory}/scratch`)}`,
    'mkdir -p "$S"',
    `mount -t tmpfs -o mode=755,size=${scratchBytes} fairlead-scratch "$S"`,
    'mkdir "$S/upper" "$S/work" "$S/root"',
    "R=$S/root",
    overlay(root, '"$R"', "upper", "work"),
  ];
  hostMounts.forEach((point, index) => {
    const [upper, work] = [`upper${index}`, `work${index}`];
    lines.push(
      `if [ -d "$R"${quote(point)} ]; then mkdir "$S/${upper}" "$S/${work}"; ${overlay(point, `"$R"${quote(point)}`, upper, work)} 2>/dev/null || mount --bind -o ro ${quote(point)} "$R"${quote(point)}; fi`,
    );
  });
  lines.push(
    'mkdir -p "$R/proc" "$R/sys" "$R/dev" "$R/run" "$R/tmp" "$R/etc"',
    'mount -t proc proc "$R/proc"',
    'mount -t sysfs -o ro sysfs "$R/sys" 2>/dev/null || mount --rbind /sys "$R/sys"',
    'mount -t tmpfs -o mode=755,size=16m tmpfs "$R/run"',
    'mkdir -m 1777 "$R/run/lock"',
    'mount -t tmpfs -o mode=755,size=64k tmpfs "$R/dev"',
    'for d in null zero full random urandom tty; do : >"$R/dev/$d"; mount --bind "/dev/$d" "$R/dev/$d"; done',
    'mkdir "$R/dev/pts"',
    'mkdir -m 1777 "$R/dev/shm"',
    'mount -t tmpfs -o mode=1777,size=64m shm "$R/dev/shm"',
    'mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$R/dev/pts"',
    'ln -s pts/ptmx "$R/dev/ptmx"',
    'ln -s /proc/self/fd "$R/dev/fd"',
    'ln -s /proc/self/fd/0 "$R/dev/stdin"; ln -s /proc/self/fd/1 "$R/dev/stdout"; ln -s /proc/self/fd/2 "$R/dev/stderr"',
    `echo ${quote(hostname)} >/proc/sys/kernel/hostname`,
    'mkdir "$R/.machine"',
    'cd "$R"',
    "pivot_root . .machine",
    "cd /",
  );
  if (!privileged) lines.push("mount --bind /proc/sys /proc/sys", "mount -o remount,bind,ro /proc/sys");
  for (const [path, command] of Object.entries(commands)) {
    lines.push(
      `mkdir -p ${quote(dirname(path))}`,
      `rm -f ${quote(path)}`,
      `printf '%s\\n' '#!/bin/sh' ${quote(`exec ${command.map(quote).join(" ")} "$@"`)} >${quote(path)}`,
      `chmod 755 ${quote(path)}`,
    );
  }
  for (const path of closedDirectories) lines.push(`chmod go+x ${quote(path)}`);
  // Outer mounts before those inside them.
  for (const { source, target, readOnly, isFile } of [...binds].sort((a, b) => depth(a.target) - depth(b.target))) {
    const to = quote(target);
    // A link at the target (as resolv.conf often is) would lead elsewhere.
    lines.push(
      isFile ? `if [ -L ${to} ] || [ ! -f ${to} ]; then mkdir -p ${quote(dirname(target))}; rm -rf ${to}; : >${to}; fi` : `mkdir -p ${to}`,
    );
    lines.push(`mount --${isFile ? "bind" : "rbind"} ${quote(`/.machine${source}`)} ${to}`);
    if (readOnly) lines.push(`mount -o remount,bind,ro ${to}`);
  }
  lines.push(`mkdir -p ${quote(workingDir)}`, "umount -l /.machine", "rmdir /.machine");
  if (readOnlyRoot) lines.push("mount -o remount,bind,ro /");
  const [program = ""] = argv;
  const path = environment.find(([name]) => name === "PATH")?.[1] ?? "";
  lines.push(
    `cd ${quote(workingDir)}`,
    program.includes("/")
      ? `[ -x ${quote(program)} ] && [ ! -d ${quote(program)} ] || { [ -e ${quote(program)} ] && echo ${quote(`exec: "${program}": permission denied`)} >&3 || echo ${quote(`exec: "${program}": stat ${program}: no such file or directory`)} >&3; exit 128; }`
      : `(PATH=${quote(path)}; command -v -- ${quote(program)} >/dev/null) || { echo ${quote(`exec: "${program}": executable file not found in $PATH`)} >&3; exit 128; }`,
    "echo started >&3",
    `exec ${setprivArguments(spec).map(quote).join(" ")} /usr/bin/env -i ${environment.map(([name, value]) => quote(`${name}=${value}`)).join(" ")} ${argv.map(quote).join(" ")} 3>&- 2>&4 4>&-`,
    "",
  );
  return lines.join("\n");
}

function overlay(lower: string, target: string, upper: string, work: string): string {
  // Colons and commas separate the options of overlayfs.
  return `mount -t overlay -o lowerdir=${quote(lower.replace(/[\\:,]/g, "\\$&"))},upperdir="$S/${upper}",workdir="$S/${work}" overlay ${target}`;
}

function depth(path: string): number {
  return path.split("/").filter((part) => part !== "").length;
}

function dirname(path: string): string {
  return path.replace(/\/+[^/]*\/*$/, "") || "/";
}

/** One word for the shell, whatever is in it. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** File systems that hold no programs, or other containers' files: nothing of them is shown to containers. */
const pseudoFileSystems = new Set([
  "proc",
  "sysfs",
  "devtmpfs",
  "devpts",
  "cgroup",
  "cgroup2",
  "securityfs",
  "debugfs",
  "tracefs",
  "pstore",
  "bpf",
  "mqueue",
  "hugetlbfs",
  "fusectl",
  "configfs",
  "autofs",
  "nsfs",
  "binfmt_misc",
  "efivarfs",
  "rpc_pipefs",
  "nfsd",
  "squashfs",
  "overlay",
]);

/**
 * Mount points beside the root file system that containers see, from /proc/self/mountinfo: not the pseudo ones, nothing below /proc, /sys, /dev, /run, and
 * nothing below the node's own state directory.
 */
export function hostMountPoints(mountinfo: string, stateDir: string): string[] {
  const points: string[] = [];
  for (const line of mountinfo.split("\n")) {
    const fields = line.split(" ");
    const point = (fields[4] ?? "").replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
    const type = fields[fields.indexOf("-") + 1] ?? "";
    if (point === "" || point === "/" || pseudoFileSystems.has(type)) continue;
    if (/^\/(proc|sys|dev|run)(\/|$)/.test(point) || point === stateDir || point.startsWith(`${stateDir}/`)) continue;
    if (!points.includes(point)) points.push(point);
  }
  return points;
}
