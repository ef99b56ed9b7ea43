// Settings: each value checked with the field named, what is fixed stays fixed, images in every spelling.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  addressesOf,
  checkConfig,
  defaultImages,
  layout,
  loadConfig,
  parseImageFlag,
  resolveConfig,
  type Settings,
  saveConfig,
  stateDirOf,
  thisProgram,
} from "./config.ts";
import { ImageTable } from "./node/images.ts";

let stateDir = "";
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), "fl-config-"));
});
afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

const program = { argv: ["/bun", "/checkout/main.ts"], checkout: "/checkout" };

test("defaults", () => {
  const config = checkConfig({}, "/state");
  expect(config).toEqual({
    name: "fairlead",
    stateDir: "/state",
    apiPort: 6443,
    podCidr: "10.244.0.0/24",
    serviceCidr: "10.96.0.0/16",
    linkCidr: "10.250.0.0/30",
    clusterDomain: "cluster.local",
    images: {},
  });
  expect(addressesOf(config)).toEqual({ host: "10.250.0.2", node: "10.250.0.1", apiService: "10.96.0.1", dns: "10.96.0.10" });
});

test.each([
  [{ name: "Upper" }, /^name: "Upper" is not a DNS label/],
  [{ name: "" }, /^name: "" is not a DNS label/],
  [{ apiPort: 0 }, /^apiPort: 0 is not a port/],
  [{ apiPort: 65_536 }, /^apiPort: 65536 is not a port/],
  [{ apiPort: "many" }, /^apiPort: "many" is not a port/],
  [{ podCidr: "10.244.0.0" }, /^podCidr: "10.244.0.0" is not an IPv4 network/],
  [{ podCidr: "10.244.0.0/31" }, /^podCidr: 10.244.0.0\/31 has fewer than 4 addresses/],
  [{ serviceCidr: "10.244.0.0/16" }, /^podCidr 10.244.0.0\/24 overlaps serviceCidr 10.244.0.0\/16/],
  [{ serviceCidr: "10.96.0.0/28" }, /^serviceCidr: 10.96.0.0\/28 is smaller than a \/27/],
  [{ linkCidr: "10.300.0.0/30" }, /^linkCidr: "10.300.0.0" is not an IPv4 address/],
  [{ clusterDomain: "not a domain" }, /^clusterDomain: "not a domain" is not a DNS domain/],
] as [Settings, RegExp][])("%p is refused by name", (settings, message) => {
  expect(() => checkConfig(settings, "/state")).toThrow(message);
});

test("the state directory: flag, environment, home", () => {
  expect(stateDirOf({ env: { HOME: "/home/a" } })).toBe("/home/a/.fairlead/local/fairlead");
  expect(stateDirOf({ name: "b", env: { HOME: "/home/a" } })).toBe("/home/a/.fairlead/local/b");
  expect(stateDirOf({ env: { HOME: "/home/a", FAIRLEAD_LOCAL_DIR: "/x" } })).toBe("/x");
  expect(stateDirOf({ stateDir: "/y", env: { HOME: "/home/a", FAIRLEAD_LOCAL_DIR: "/x" } })).toBe("/y");
  expect(() => stateDirOf({ env: {} })).toThrow("stateDir: HOME is not set");
  expect(() => stateDirOf({ stateDir: "", env: {} })).toThrow("stateDir: must not be empty");
  expect(stateDirOf({ stateDir: `/${"a".repeat(79)}`, env: {} })).toHaveLength(80);
  expect(() => stateDirOf({ stateDir: `/${"a".repeat(80)}`, env: {} })).toThrow("is longer than 80 bytes");
});

test("what a cluster was made with is kept, and cannot be changed but for port and images", () => {
  const made = resolveConfig({ flags: { name: "one", podCidr: "10.1.0.0/24", images: { "a/b": { command: ["/bin/a"] } } }, stateDir });
  saveConfig(made, program);
  expect(loadConfig(stateDir)).toEqual(made);
  const again = resolveConfig({ flags: { apiPort: 7000, images: { "c/d": { command: ["/bin/c"] } } }, stateDir });
  expect(again).toEqual({ ...made, apiPort: 7000, images: { "a/b": { command: ["/bin/a"] }, "c/d": { command: ["/bin/c"] } } });
  expect(resolveConfig({ flags: { podCidr: "10.2.0.0/24" }, stateDir }).podCidr).toBe("10.2.0.0/24");
  writeFileSync(layout(stateDir).kubeconfig, "");
  expect(() => resolveConfig({ flags: { podCidr: "10.2.0.0/24" }, stateDir })).toThrow(
    `podCidr: the cluster in ${stateDir} was made with 10.1.0.0/24; run "fairlead local reset" before starting it with 10.2.0.0/24`,
  );
  const table = ImageTable.parse(readFileSync(layout(stateDir).images, "utf8"), "images.yaml");
  expect(table.resolve("a/b:1").command).toEqual(["/bin/a"]);
  expect(table.resolve("ghcr.io/fairlead/fairlead:stable-0.1.0").command?.at(-1)).toEndWith("main.ts");
});

test.each([
  ["{", /config\.yaml: /],
  ["- a", /config\.yaml: must be a mapping/],
  ["colour: red", /config\.yaml: unknown field colour; known are name, podCidr/],
  ["apiPort: high", /config\.yaml: apiPort: must be a number/],
  ["podCidr: 7", /config\.yaml: podCidr: must be a string/],
  ["images: {a: {comand: [x]}}", /config\.yaml: images: a: unknown field comand/],
] as [string, RegExp][])("a settings file with %p is refused by name", (text, message) => {
  writeFileSync(layout(stateDir).config, text);
  expect(() => loadConfig(stateDir)).toThrow(message);
});

test("a directory without a cluster says so", () => {
  expect(() => loadConfig(stateDir)).toThrow(`there is no cluster in ${stateDir}`);
});

test.each([
  ["web=/bin/web -p 80", "web", ["/bin/web", "-p", "80"]],
  ["reg.io/a/web:v1=run", "reg.io/a/web:v1", ["run"]],
  ['web=["/bin/web", "a b"]', "web", ["/bin/web", "a b"]],
] as [string, string, string[]][])("--image %s", (text, name, command) => {
  expect(parseImageFlag(text)).toEqual([name, { command }]);
});

test.each(["web", "=x", "web=", "a b=c", "web=[1]", "web=[", "web=[]"])("--image %s is refused", (text) => {
  expect(() => parseImageFlag(text)).toThrow(`image: ${JSON.stringify(text)}`);
});

test("the images of the charts and of the sample resolve, by our names and by the tutorials'", () => {
  const table = new ImageTable(defaultImages(program));
  expect(table.resolve("ghcr.io/fairlead/fairlead:stable-0.1.0")).toMatchObject({
    commands: { "/usr/local/bin/fairlead": expect.any(Array) },
  });
  for (const image of ["ghcr.io/fairlead/emojivoto-web:v11", "docker.l5d.io/buoyantio/emojivoto-web:v11"])
    expect(table.resolve(image).command?.at(-1)).toBe("emojivoto-web");
  // The compiled product without the sample beside it has no sample.
  expect(Object.keys(defaultImages({ argv: [join(stateDir, "fairlead")] }))).toEqual(["ghcr.io/fairlead/fairlead"]);
  writeFileSync(join(stateDir, "emojivoto"), "");
  expect(defaultImages({ argv: [join(stateDir, "fairlead")] })["ghcr.io/fairlead/emojivoto-web"]).toMatchObject({
    command: [join(stateDir, "emojivoto"), "emojivoto-web"],
  });
});

test("this program: the checkout, or the compiled executable", () => {
  expect(thisProgram({ execPath: "/bun", moduleDir: "/src/cluster" })).toEqual({ argv: ["/bun", "/src/main.ts"], checkout: "/src" });
  expect(thisProgram({ execPath: "/opt/fairlead", moduleDir: "/$bunfs/root" })).toEqual({ argv: ["/opt/fairlead"] });
});
