// The template language: rows of Go's and Sprig's behaviour, errors that name their place, bounds; and toYaml against Helm's own.
import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { clusterTools } from "../../../cluster/tools.ts";
import { Chart, printManifests, type Values } from "../index.ts";
import { maxIncludeDepth } from "./execute.ts";
import { maxGenerated, semverMatches, sprintf } from "./functions.ts";
import { toYaml } from "./go-yaml.ts";
import { maxParseDepth } from "./parse.ts";

const chartOf = (templates: Record<string, string>, values = "") =>
  new Chart({
    "Chart.yaml": "name: c\nversion: 1.0.0\n",
    "values.yaml": values,
    ...Object.fromEntries(Object.entries(templates).map(([name, text]) => [`templates/${name}`, text])),
  });
/** A template's text, through a file that is no manifest. */
const run = (template: string, values: Values = {}) =>
  chartOf({ "_t.tpl": `{{- define "t" -}}${template}{{- end -}}` }).include("t", values);

describe("language", () => {
  const rows: [string, Values, string][] = [
    ["a{{ .Values.x }}b", { x: 1 }, "a1b"],
    ["a  {{- .Values.x -}}  b", { x: 1 }, "a1b"],
    ["a{{/* note */}}b {{- /* gone\n */ -}} c", {}, "abc"],
    ["{{ .Values.missing }}|{{ .Values.a.b }}", { a: {} }, "|"],
    ["{{ if .Values.x }}y{{ else if .Values.z }}z{{ else }}n{{ end }}", { z: true }, "z"],
    ["{{ if and .Values.x (fail `no`) }}y{{ else }}n{{ end }}", {}, "n"],
    ["{{ or .Values.x .Values.y 3 }}", { y: "" }, "3"],
    ["{{ with .Values.x }}{{ . }}{{ $.Values.y }}{{ else }}none{{ end }}", { x: "a", y: "b" }, "ab"],
    ["{{ range $i, $v := .Values.l }}{{ $i }}={{ $v }},{{ end }}", { l: ["a", "b"] }, "0=a,1=b,"],
    ["{{ range $k, $v := .Values.m }}{{ $k }}={{ $v }},{{ end }}", { m: { b: 1, a: 2 } }, "a=2,b=1,"],
    ["{{ range .Values.l }}{{ . }}{{ else }}empty{{ end }}", { l: [] }, "empty"],
    [
      "{{ range .Values.l }}{{ if eq . 2 }}{{ continue }}{{ end }}{{ if eq . 4 }}{{ break }}{{ end }}{{ . }}{{ end }}",
      { l: [1, 2, 3, 4, 5] },
      "13",
    ],
    ["{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ $y := 3 }}{{ end }}{{ $x }}", {}, "2"],
    ["{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ $x }}{{ end }}{{ $x }}", {}, "21"],
    ["{{ \"a\\tb\" }}{{ `raw\\n` }}{{ 'x' }}", {}, "a\tbraw\\n120"],
    ["{{ (index .Values.l 1).a }}", { l: [0, { a: "deep" }] }, "deep"],
    ["{{ .Values.x | default `d` | upper | quote }}", {}, '"D"'],
    [
      "{{ printf `%s-%d-%v-%q-%05d|%-4s|` `a` 2 .Values.m `q` 7 `l` }}",
      { m: { b: [1], a: true } },
      'a-2-map[a:true b:[1]]-"q"-00007|l   |',
    ],
    ["{{ 3.5 }} {{ -1 }} {{ 0x10 }} {{ 1e3 }}", {}, "3.5 -1 16 1000"],
    ['{{ block "inner" . }}x{{ .Values.a }}{{ end }}', { a: 1 }, "x1"],
  ];
  test.each(rows)("%s", (template, values, expected) => {
    expect(run(template, values)).toBe(expected);
  });
});

describe("functions", () => {
  const rows: [string, string][] = [
    ["{{ list 1 2 | join `,` }}", "1,2"],
    ["{{ dict `a` 1 `b` 2 | toJson }}", '{"a":1,"b":2}'],
    ["{{ $d := dict `a` 1 }}{{ $_ := set $d `b` 2 }}{{ $_ := unset $d `a` }}{{ toJson $d }}", '{"b":2}'],
    ["{{ merge (dict `a` (dict `x` 1)) (dict `a` (dict `x` 2 `y` 3)) | toJson }}", '{"a":{"x":1,"y":3}}'],
    ["{{ mergeOverwrite (dict `a` 1) (dict `a` 2) | toJson }}", '{"a":2}'],
    ["{{ ternary `y` `n` (empty ``) }}{{ coalesce `` 0 `c` }}", "yc"],
    ["{{ indent 2 `a\nb` }}|{{ nindent 2 `a` }}", "  a\n  b|\n  a"],
    ["{{ trimSuffix `-` `a-` }}{{ trimPrefix `a` `ab` }}{{ trunc 2 `abc` }}{{ trunc -2 `abc` }}", "ababbc"],
    ["{{ `abc` | b64enc | b64dec }}{{ sha256sum `abc` | trunc 6 }}", "abcba7816"],
    ["{{ regexMatch `^a+$` `aaa` }} {{ regexReplaceAll `(a)(b)` `abab` `${2}${1}` }}", "true baba"],
    ["{{ has 2 (list 1 2) }} {{ without (list 1 2 3) 2 }} {{ first (list 1 2) }} {{ uniq (list 1 1 2) }}", "true [1 3] 1 [1 2]"],
    ["{{ add 1 2 }} {{ sub 5 3 }} {{ mul 2 3 }} {{ div 7 2 }} {{ mod 7 2 }} {{ max 1 3 2 }} {{ int `42` }}", "3 2 6 3 1 3 42"],
    ["{{ splitList `,` `a,b` | last }} {{ (split `,` `a,b`)._1 }}", "b b"],
    ["{{ kindOf (list) }} {{ kindIs `map` (dict) }} {{ typeOf 1 }}", "slice true int"],
    ["{{ toYaml (dict `b` (list 1 `x`) `a` `yes`) }}", 'a: "yes"\nb:\n- 1\n- x'],
    ["{{ (fromYaml `a: {b: yes}`).a.b }}", "true"],
    ["{{ tpl `{{ .x }}` (dict `x` 5) }}", "5"],
    ["{{ eq 1 2 1 }} {{ lt 1 2 }} {{ ge `b` `a` }} {{ ne `a` `b` }} {{ not 0 }} {{ len `äb` }}", "true true true true true 3"],
    [
      "{{ until 3 }} {{ untilStep 0 6 2 }} {{ seqless | default `x` }}".replace(
        "{{ seqless | default `x` }}",
        "{{ dig `a` `b` `d` (dict `a` (dict `b` 1)) }}",
      ),
      "[0 1 2] [0 2 4] 1",
    ],
    ["{{ semverCompare `>=1.21-0` `v1.34.0` }}", "true"],
  ];
  test.each(rows)("%s", (template, expected) => {
    expect(run(template)).toBe(expected);
  });
  test("semver", () => {
    for (const [constraint, version, expected] of [
      ["^1.2.3", "1.9.0", true],
      ["^1.2.3", "2.0.0", false],
      ["~1.2.3", "1.2.9", true],
      ["~1.2.3", "1.3.0", false],
      [">=1.0.0 <2.0.0", "1.5.0", true],
      ["1.x || 3.x", "3.1.0", true],
      [">1.0.0", "1.1.0-rc.1", false],
      [">1.0.0-0", "1.1.0-rc.1", true],
    ] as const)
      expect(semverMatches(constraint, version)).toBe(expected);
  });
  test("printf tells of arguments that do not fit", () => {
    expect(sprintf("%d %s", ["a"])).toBe("%!d(string=a) %!s(MISSING)");
    expect(sprintf("x", [1])).toBe("x%!(EXTRA int=1)");
  });
});

describe("errors name template, line and value", () => {
  const rows: [string, Values, RegExp][] = [
    [
      "a\nb {{ .Values.a.b.c }}",
      { a: {} },
      /^c\/templates\/_t\.tpl:2: nil pointer evaluating \.Values\.a\.b\.c: \.Values\.a\.b is not set$/,
    ],
    ["{{ .Values.a.b }}", { a: "text" }, /:1: can't evaluate field b of \.Values\.a, which is the string text$/],
    ["{{ required `say who` .Values.who }}", {}, /:1: \.Values\.who: say who$/],
    ["{{ fail `never` }}", {}, /:1: never$/],
    ["{{ nope 1 }}", {}, /:1: function "nope" not defined$/],
    ["{{ $x }}", {}, /:1: undefined variable "\$x"$/],
    ["{{ index .Values.l 5 }}", { l: [] }, /:1: index \.Values\.l 5: index out of range: 5$/],
    ['{{ include "none" . }}', {}, /:1: no template "none"$/],
    ["{{ upper 5 }}", {}, /:1: upper 5: expected a string, found the int 5$/],
    ["{{ eq 1 `a` }}", {}, /incompatible types for comparison: int and string$/],
    ["{{ range 1.5 }}{{ end }}", {}, /range can't iterate over the float64 1\.5$/],
    ["{{ .Files.Nope }}", {}, /\.Files \(engine\.files\) has no field or method "Nope"$/],
  ];
  test.each(rows)("%s", (template, values, message) => {
    expect(() => run(template, values)).toThrow(message);
  });
  test.each([
    ["{{ if }}x{{ end }}", /:1: missing value for command/],
    ["{{ if true }}", /:1: \{\{if\}\} of line 1 without \{\{end\}\}/],
    ["x\n{{ end }}", /:2: unexpected \{\{end\}\}/],
    ['{{ "open }}', /:1: unterminated quoted string/],
    ["{{ .x", /:1: unclosed action/],
    ["{{/* x", /:1: unclosed comment/],
    ["{{ (1 }}", /:1: unclosed left paren|unexpected/],
    ["{{ break }}", /:1: \{\{break\}\} outside \{\{range\}\}/],
    ["{{ @ }}", /:1: unexpected "@" in command/],
  ])("%s does not parse", (text, message) => {
    expect(() => chartOf({ "t.yaml": text })).toThrow(message);
  });
  test("a result that is no manifest", async () => {
    await expect(chartOf({ "t.yaml": "a: [" }).render()).rejects.toThrow(/c\/templates\/t\.yaml:1: the result is not YAML/);
    await expect(chartOf({ "t.yaml": "- a" }).render()).rejects.toThrow(/the result is not a mapping/);
  });
});

describe("bounds", () => {
  test("a template that includes itself", () => {
    const chart = chartOf({
      "_t.tpl":
        '{{ define "t" }}{{ include "t" . }}{{ end }}{{ define "n" }}{{ if gt .n 0 }}{{ include "n" (dict "n" (sub .n 1)) }}{{ else }}done{{ end }}{{ end }}',
    });
    expect(() => chart.include("t", {})).toThrow(`included more than ${maxIncludeDepth} deep`);
    expect(chart.include("n", {}, { more: { n: maxIncludeDepth } })).toBe("done");
  });
  test("nesting of actions and parentheses", () => {
    const nested = (depth: number) => `${"{{ if true }}".repeat(depth)}x${"{{ end }}".repeat(depth)}`;
    expect(run(nested(maxParseDepth - 5))).toBe("x");
    expect(() => run(nested(maxParseDepth + 1))).toThrow(`nested deeper than ${maxParseDepth}`);
    expect(() => run(`{{ ${"(".repeat(maxParseDepth)}1${")".repeat(maxParseDepth)} }}`)).toThrow(`nested deeper than ${maxParseDepth}`);
  });
  test("what grows", () => {
    expect(run(`{{ len (until ${maxGenerated}) }}`)).toBe(String(maxGenerated));
    expect(() => run(`{{ until ${maxGenerated + 1} }}`)).toThrow(`more than ${maxGenerated} items`);
    expect(run(`{{ len (repeat ${maxGenerated} "x") }}`)).toBe(String(maxGenerated));
    expect(() => run(`{{ repeat ${maxGenerated + 1} "x" }}`)).toThrow(`longer than ${maxGenerated}`);
  });
});

test("names like __proto__ are data", () => {
  expect(run("{{ toJson .Values }}{{ .Values.constructor }}", JSON.parse('{"__proto__":{"a":1}}') as Values)).toBe('{"__proto__":{"a":1}}');
});

describe("toYaml is Helm's", () => {
  const dir = mkdtempSync(join(tmpdir(), "fairlead-yaml-"));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  const text = fc.oneof(
    fc.string({ maxLength: 12 }),
    fc.constantFrom(
      "",
      "yes",
      "no",
      "on",
      "y",
      "null",
      "~",
      "true",
      "1",
      "1.5",
      "0x1F",
      "1e3",
      "1_000",
      "2021-09-30",
      "1:20",
      ".5",
      "-",
      "- a",
      "a: b",
      "a #b",
      "#a",
      "a\nb",
      "a\nb\n",
      "\na",
      " a",
      "a ",
      "a\n\n",
      "'q'",
      '"q"',
      "*a",
      "&a",
      "!a",
      "%a",
      "@a",
      "`a`",
      "|",
      ">",
      "?",
      "? a",
      ":",
      "a:",
      "{",
      "[",
      "a,b",
      "é",
      "日本",
      "\u00a0",
      "a\tb",
      "=",
      "<<",
      "---",
      "...",
      "0",
      "-1",
      "+1",
      "08",
      "0o7",
      ".inf",
      "NaN",
      ".nan",
    ),
    fc
      .array(fc.constantFrom("word", "longer", "a", "sentence", "of", "several", "it's"), { minLength: 15, maxLength: 40 })
      .map((words) => words.join(" ")),
  );
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      text,
      fc.integer({ min: -100_000, max: 100_000 }),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie("value"), { maxLength: 4 }),
      fc.dictionary(
        text.filter((key) => key !== "" && !key.includes("\n") && key !== "__proto__" && key.length < 100),
        tie("value"),
        { maxKeys: 4 },
      ),
    ),
  }));

  test("for any value", async () => {
    const values = fc.sample(value, { numRuns: 400, seed: 7 });
    mkdirSync(join(dir, "templates"), { recursive: true });
    writeFileSync(join(dir, "Chart.yaml"), "apiVersion: v2\nname: c\nversion: 1.0.0\n");
    writeFileSync(join(dir, "values.yaml"), JSON.stringify({ list: values.map((one) => JSON.stringify(one)) }));
    const template =
      '{{- range $i, $one := .Values.list }}\n---\nkind: Doc\ndata: {{ toYaml (dict "v" (fromJson (printf "{\\"x\\": %s}" $one)).x) | b64enc }}\n{{- end }}\n';
    writeFileSync(join(dir, "templates/t.yaml"), template);
    const child = Bun.spawn([clusterTools().helm, "template", dir], { stdout: "pipe", stderr: "pipe" });
    const [expected, complaints] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    expect(complaints).toBe("");
    const theirs = [...expected.matchAll(/data: (\S+)/g)].map((match) => Buffer.from(match[1] as string, "base64").toString());
    expect(theirs).toHaveLength(values.length);
    for (const [i, one] of values.entries()) expect(toYaml({ v: one })).toBe(theirs[i] as string);
    const ours = await new Chart({
      "Chart.yaml": "name: c\nversion: 1.0.0\n",
      "values.yaml": JSON.stringify({ list: values.map((one) => JSON.stringify(one)) }),
      "templates/t.yaml": template,
    }).render();
    expect(printManifests(ours)).toBe(expected);
  });
});
