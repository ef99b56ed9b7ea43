// npm run image: dist/images/fairlead.tar and dist/images/emojivoto.tar, OCI archives of the product and of the sample.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { IMAGE_ENVIRONMENT } from "#image";
import { compile } from "../scripts/build.ts";
import { makeLayer, writeArchive } from "./oci.ts";

const root = join(import.meta.dir, "..");
const REGISTRY = "ghcr.io/fairlead";
/** Programs of the sample; each is an image of its own over one shared layer. */
const SAMPLE = ["emojivoto-emoji-svc", "emojivoto-voting-svc", "emojivoto-web", "emojivoto-vote-bot", "emojivoto-load"];
const SAMPLE_TAG = "v11";

/** The tag of the product's image: the version of package.json with its channel. */
function tag(): string {
  return `stable-${(JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string }).version}`;
}

/** Copies a file of this machine to the same place in the image, following links. */
function take(rootfs: string, path: string): void {
  const to = join(rootfs, path);
  if (existsSync(to)) return;
  mkdirSync(dirname(to), { recursive: true });
  cpSync(path, to, { dereference: true });
}

/** The shared libraries an executable names, with the loader. */
function libraries(executable: string): string[] {
  const listed = Bun.spawnSync(["ldd", executable]).stdout.toString();
  return [...listed.matchAll(/(\/\S+\.so[.\d]*|\/lib64\/\S+)/g)].map((match) => match[1] as string);
}

function skeleton(rootfs: string, executables: readonly { from: string; to: string }[]): void {
  for (const dir of ["etc", "tmp", "run", "proc", "sys", "dev", "usr/local/bin", "usr/lib", "usr/sbin", "usr/bin"])
    mkdirSync(join(rootfs, dir), { recursive: true });
  // Debian's merged /usr: the loader's path begins with /lib64.
  for (const [link, to] of [
    ["lib", "usr/lib"],
    ["lib64", "usr/lib64"],
    ["sbin", "usr/sbin"],
    ["bin", "usr/bin"],
  ] as const) {
    mkdirSync(join(rootfs, to), { recursive: true });
    symlinkSync(to, join(rootfs, link));
  }
  writeFileSync(
    join(rootfs, "etc/passwd"),
    "root:x:0:0:root:/:/sbin/nologin\nproxy:x:2102:2102:proxy:/:/sbin/nologin\ncontroller:x:2103:2103:controller:/:/sbin/nologin\n",
  );
  writeFileSync(join(rootfs, "etc/group"), "root:x:0:\nproxy:x:2102:\ncontroller:x:2103:\n");
  writeFileSync(join(rootfs, "etc/nsswitch.conf"), "hosts: files dns\n");
  for (const { from, to } of executables) {
    const target = join(rootfs, to);
    mkdirSync(dirname(target), { recursive: true });
    cpSync(from, target, { dereference: true });
    for (const library of libraries(from)) take(rootfs, library);
  }
  // glibc opens these by name when it resolves hosts.
  for (const name of ["libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2"]) {
    const found = [`/lib/x86_64-linux-gnu/${name}`, `/lib/aarch64-linux-gnu/${name}`].find(existsSync);
    if (found) take(rootfs, found);
  }
}

/** iptables, as proxy-init calls it: one multi-call program per backend and the extensions it loads. */
function iptables(rootfs: string): void {
  for (const backend of ["nft", "legacy"]) {
    const multi = `/usr/sbin/xtables-${backend}-multi`;
    if (!existsSync(multi)) throw new Error(`${multi} is missing: install Debian's package iptables (apt-get install iptables)`);
    take(rootfs, multi);
    for (const library of libraries(multi)) take(rootfs, library);
    for (const command of ["iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"]) {
      symlinkSync(basename(multi), join(rootfs, "usr/sbin", command.replace("tables", `tables-${backend}`)));
      if (backend === "nft") symlinkSync(basename(multi), join(rootfs, "usr/sbin", command));
    }
  }
  const extensions = ["/usr/lib/x86_64-linux-gnu/xtables", "/usr/lib/aarch64-linux-gnu/xtables"].find(existsSync);
  if (extensions) cpSync(extensions, join(rootfs, extensions), { recursive: true });
}

export async function main(): Promise<void> {
  const out = join(root, "dist", "images");
  mkdirSync(out, { recursive: true });
  const work = mkdtempSync(join(tmpdir(), "fairlead-image-"));
  try {
    const product = join(work, "fairlead");
    const bin = "/usr/local/bin/fairlead";
    // /bin/sleep is what config.alpha.linkerd.io/proxy-wait-before-exit-seconds runs before the proxy ends.
    skeleton(product, [
      { from: compile("fairlead"), to: bin },
      { from: "/bin/sleep", to: "/usr/bin/sleep" },
    ]);
    iptables(product);
    const layer = await makeLayer({ root: product, path: join(work, "fairlead.gz") });
    const env = Object.entries(IMAGE_ENVIRONMENT).map(([name, value]) => `${name}=${value}`);
    await writeArchive({ out: join(out, "fairlead.tar"), images: [{ name: `${REGISTRY}/fairlead:${tag()}`, layer, entrypoint: [bin], env }] });

    const sample = join(work, "emojivoto");
    const sampleBin = "/usr/local/bin/emojivoto";
    skeleton(sample, [{ from: compile("emojivoto"), to: sampleBin }]);
    const sampleLayer = await makeLayer({ root: sample, path: join(work, "emojivoto.gz") });
    const images = SAMPLE.map((name) => ({ name: `${REGISTRY}/${name}:${SAMPLE_TAG}`, layer: sampleLayer, entrypoint: [sampleBin, name] }));
    await writeArchive({ out: join(out, "emojivoto.tar"), images });
    for (const name of ["fairlead", "emojivoto"])
      console.log(`dist/images/${name}.tar  ${(statSync(join(out, `${name}.tar`)).size / 1e6).toFixed(1)} MB compressed`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

if (import.meta.main) await main();
