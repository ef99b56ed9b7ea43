// Values from files and flags, as Helm reads them; each row is also asked of the real Helm.
import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { clusterTools } from "../../cluster/tools.ts";
import { differenceOf, fromYaml, mergeValues, overlay, readValues, type Values, ValuesError } from "./index.ts";
import { maxSetDepth, maxSetIndex } from "./values.ts";

const dir = mkdtempSync(join(tmpdir(), "fairlead-values-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
mkdirSync(join(dir, "templates"));
writeFileSync(join(dir, "Chart.yaml"), "apiVersion: v2\nname: c\nversion: 1.0.0\n");
const defaults = { a: { b: 1, c: "x" }, list: [1, 2], gone: "here" };
writeFileSync(join(dir, "values.yaml"), JSON.stringify(defaults));
writeFileSync(join(dir, "templates/t.yaml"), "kind: Doc\nv: {{ toJson .Values | quote }}\n");

async function helm(args: readonly string[]): Promise<unknown> {
  const child = Bun.spawn([clusterTools().helm, "template", dir, ...args], { stdout: "pipe", stderr: "pipe" });
  const [out, complaints] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0) throw new Error(complaints);
  return JSON.parse((fromYaml(out.slice(out.indexOf("kind:"))) as { v: string }).v);
}

describe("--set and its like", () => {
  const rows: [string[], string[], Values][] = [
    [["a.b=2"], [], { a: { b: 2 } }],
    [["a.b=true,a.d=null,e=0"], [], { a: { b: true, d: null }, e: 0 }],
    [["gone=null"], [], { gone: null }],
    [["a.c=1.5,x=007,y=1e3,z=-3"], [], { a: { c: "1.5" }, x: "007", y: "1e3", z: -3 }],
    [["list[1]=9,new[2]=x"], [], { list: [null, 9], new: [null, null, "x"] }],
    [["l={1,a,true}"], [], { l: [1, "a", true] }],
    [["l={}"], [], { l: [""] }],
    [["s=a\\,b,k\\.d=1"], [], { s: "a,b", "k.d": 1 }],
    [["m[0].n=1,m[0].o=2"], [], { m: [{ n: 1, o: 2 }] }],
    [["e=,f=1"], [], { e: "", f: 1 }],
    [["u=a=b"], [], { u: "a=b" }],
    [[], ["a.b=2,t=true"], { a: { b: "2" }, t: "true" }],
  ];
  test.each(rows)("%p %p", async (set, setString, expected) => {
    expect(readValues({ set, setString })).toEqual(expected);
    expect(mergeValues(defaults, readValues({ set, setString }))).toEqual(
      (await helm([...set.flatMap((one) => ["--set", one]), ...setString.flatMap((one) => ["--set-string", one])])) as Values,
    );
  });
  test("files, later ones above earlier ones; flags above files; a file's content", () => {
    expect(
      readValues({
        files: [
          { name: "a.yaml", text: "a: {b: 5, z: yes}" },
          { name: "b.yaml", text: "a: {b: 6}\n" },
          { name: "empty.yaml", text: "" },
        ],
        set: ["a.c=7"],
        setFile: ["pem=/x"],
        readFile: (path) => `content of ${path}`,
      }),
    ).toEqual({ a: { b: 6, z: true, c: 7 }, pem: "content of /x" });
  });
  test.each([
    [{ set: ["a"] }, '--set a: key "a" has no value'],
    [{ set: ["=1"] }, "--set =1: a key is empty"],
    [{ set: ["a[x]=1"] }, '--set a[x]=1: "[x" is not an index'],
    [{ set: [`a[${maxSetIndex + 1}]=1`] }, `index ${maxSetIndex + 1} is greater than ${maxSetIndex}`],
    [{ set: ["a={1"] }, "a list must end with '}'"],
    [{ set: [`${Array.from({ length: maxSetDepth + 2 }, () => "a").join(".")}=1`] }, `more than ${maxSetDepth} steps`],
    [{ files: [{ name: "v.yaml", text: "- a" }] }, "v.yaml: expected a mapping of values"],
    [{ files: [{ name: "v.yaml", text: "a: [" }] }, "v.yaml:"],
    [
      {
        setFile: ["a=/nope"],
        readFile: () => {
          throw new Error("no such file");
        },
      },
      "--set-file a=/nope: no such file",
    ],
  ])("%p is refused", (sources, message) => {
    expect(() => readValues(sources)).toThrow(ValuesError);
    expect(() => readValues(sources)).toThrow(message);
  });
  test("an index at the bound", () => {
    expect((readValues({ set: [`a[${maxSetIndex}]=1`] })["a"] as unknown[]).length).toBe(maxSetIndex + 1);
  });
});

test("merging: mapping by mapping, null removes; overlays keep the mark; differences are what an upgrade starts from", () => {
  const over = { a: { c: "y" }, gone: null, list: [3] };
  expect(mergeValues(defaults, over)).toEqual({ a: { b: 1, c: "y" }, list: [3] });
  expect(overlay({ gone: "x", a: 1 }, { gone: null })).toEqual({ gone: null, a: 1 });
  const merged = mergeValues(defaults, over);
  expect(mergeValues(defaults, differenceOf(merged, defaults))).toEqual(merged);
  expect(differenceOf(merged, defaults)).toEqual({ a: { c: "y" }, gone: null, list: [3] });
  expect(defaults).toEqual({ a: { b: 1, c: "x" }, list: [1, 2], gone: "here" });
});
