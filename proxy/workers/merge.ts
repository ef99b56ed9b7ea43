// One page of metrics from those of several threads: series of the same name and labels are added up. Counters, histograms and
// gauges of what is open all add; what is of the process alone comes from one page only.

/** @param pages by groups, as Registry.parts gives them; groups of the same place belong together */
export function mergePages(pages: readonly (readonly string[])[]): string {
  const groups = Math.max(0, ...pages.map(({ length }) => length));
  let page = "";
  for (let i = 0; i < groups; i++) page += mergeTexts(pages.map((parts) => parts[i] ?? "").filter((text) => text !== ""));
  return page;
}

type Section = { readonly heading: string; readonly series: Map<string, number> };

function mergeTexts(texts: readonly string[]): string {
  if (texts.length <= 1) return texts[0] ?? "";
  const sections = new Map<string, Section>();
  for (const text of texts) add(text, sections);
  let merged = "";
  for (const { heading, series } of sections.values()) {
    merged += heading;
    for (const [name, value] of series) merged += `${name} ${value}\n`;
  }
  return merged;
}

/** Lines are `# HELP …`, `# TYPE …`, `name{labels} value`. */
function add(text: string, sections: Map<string, Section>): void {
  let section: Section = { heading: "", series: new Map() };
  let heading = "";
  for (const line of text.split("\n")) {
    if (line.startsWith("#")) {
      heading += `${line}\n`;
      continue;
    }
    if (heading !== "") {
      section = enter(heading, sections);
      heading = "";
    }
    const space = line.lastIndexOf(" ");
    if (space < 0) continue;
    const name = line.slice(0, space);
    section.series.set(name, (section.series.get(name) ?? 0) + Number(line.slice(space + 1)));
  }
  // A family without series at the end.
  if (heading !== "") enter(heading, sections);
}

/** Headings of families without series stand together with the next one's. */
function enter(headings: string, sections: Map<string, Section>): Section {
  let section: Section = { heading: "", series: new Map() };
  for (const heading of headings.match(/# HELP [^\n]*\n# TYPE [^\n]*\n/g) ?? []) {
    section = sections.get(heading) ?? { heading, series: new Map() };
    sections.set(heading, section);
  }
  return section;
}
