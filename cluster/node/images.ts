// "Images" of the embedded cluster: names that a table in its configuration resolves to programs of this machine.
//
// The table is YAML or JSON, a mapping from image to entry, at the top or under `images:`
//
//   images:
//     cr.l5d.io/linkerd/proxy:              # repository: any tag; with a tag or digest: that one only; ending in "/*": all below
//       command: [/opt/fairlead/fairlead]   # the image's entry point; the container's `command` replaces it
//       args: [proxy]                       # the image's default arguments; the container's `command` or `args` replace them
//       env: { PATH: /usr/bin:/bin }        # the image's environment
//       user: "2102"                        # uid[:gid] or a name of the root's /etc/passwd; default 0
//       workingDir: /
//       root: /                             # directory that becomes the container's root, copied on write; default: this machine's
//       capabilities: [NET_ADMIN]           # as file capabilities of the entry point: effective for a user who is not root, when granted to the container
//       commands:                           # programs that the image has at other paths
//         /usr/lib/linkerd/linkerd-await: [/opt/fairlead/fairlead, proxy-await]
//
// Without an entry, `local/NAME` is the command NAME of this machine (`local/curl`), `local/PATH/TO/NAME` the program /PATH/TO/NAME.
import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";

export interface ImageEntry {
  command?: string[];
  args?: string[];
  env?: Record<string, string>;
  user?: string;
  workingDir?: string;
  root?: string;
  capabilities?: string[];
  commands?: Record<string, string[]>;
}

/** A table that cannot be used; the message names file, image and field. */
export class ImageTableError extends Error {
  override readonly name = "ImageTableError";
}

/** Search path of a container whose image and spec set none. */
export const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** Images whose program is named by the image itself. */
const localPrefix = "local/";

export class ImageTable {
  readonly #entries: Map<string, ImageEntry>;
  /** What messages call the table: its file's name. */
  readonly name: string;

  constructor(entries: Record<string, ImageEntry>, name = "the image table") {
    this.#entries = new Map(Object.entries(entries).map(([image, entry]) => [normalizeImage(image), entry]));
    this.name = name;
  }

  /** @throws {ImageTableError} */
  static parse(text: string, name: string): ImageTable {
    let document: unknown;
    try {
      document = parse(text);
    } catch (error) {
      throw new ImageTableError(`${name}: ${(error as Error).message.split("\n")[0]}`);
    }
    const mapping = isRecord(document) && isRecord(document["images"]) ? document["images"] : (document ?? {});
    if (!isRecord(mapping)) throw new ImageTableError(`${name}: must be a mapping from image names to entries`);
    const entries: Record<string, ImageEntry> = {};
    for (const [image, entry] of Object.entries(mapping)) entries[image] = checkEntry(entry, `${name}: ${image}`);
    return new ImageTable(entries, name);
  }

  /** @throws {ImageTableError} */
  static load(file: string): ImageTable {
    let text: string;
    try {
      text = readFileSync(file, "utf8");
    } catch (error) {
      throw new ImageTableError(`${file}: ${(error as Error).message}`);
    }
    return ImageTable.parse(text, file);
  }

  /**
   * The entry of an image: with its tag or digest, then by repository, then by the longest `…/*`, then `local/…`.
   * @throws {ImageTableError} naming the image and the table when there is none.
   */
  resolve(image: string): ImageEntry {
    const full = normalizeImage(image);
    const repository = repositoryOf(full);
    const exact = this.#entries.get(full) ?? this.#entries.get(repository);
    if (exact) return exact;
    for (let slash = repository.lastIndexOf("/"); slash > 0; slash = repository.lastIndexOf("/", slash - 1)) {
      const entry = this.#entries.get(`${repository.slice(0, slash)}/*`);
      if (entry) return entry;
    }
    const local = localCommand(image);
    if (local !== undefined) return { command: [local] };
    throw new ImageTableError(
      `no entry for image ${JSON.stringify(image)} in ${this.name}: add one there, or name a command of this machine as "${localPrefix}COMMAND"`,
    );
  }
}

/** The program that `local/…` names; `undefined` for other images. @throws {ImageTableError} when this machine has no such program. */
function localCommand(image: string): string | undefined {
  if (!image.startsWith(localPrefix)) return undefined;
  const name = repositoryOf(image).slice(localPrefix.length);
  if (name.includes("/")) {
    if (isExecutable(`/${name}`)) return `/${name}`;
    throw new ImageTableError(`image ${JSON.stringify(image)}: this machine has no program /${name}`);
  }
  const found = defaultPath
    .split(":")
    .map((directory) => join(directory, name))
    .find(isExecutable);
  if (found) return found;
  throw new ImageTableError(`image ${JSON.stringify(image)}: this machine has no command ${JSON.stringify(name)} in ${defaultPath}`);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** Docker's short names mean the same as their long forms. */
export function normalizeImage(image: string): string {
  const parts = image.split("/");
  const isHost = parts.length > 1 && /[.:]|^localhost$/.test(parts[0]!);
  if (isHost) return image.replace(/^docker\.io\/library\//, "docker.io/");
  return parts[0] === "local" ? image : `docker.io/${parts.join("/").replace(/^library\//, "")}`;
}

/** Without tag and digest. */
export function repositoryOf(image: string): string {
  const bare = image.split("@", 1)[0]!;
  const colon = bare.lastIndexOf(":");
  return colon > bare.lastIndexOf("/") ? bare.slice(0, colon) : bare;
}

function checkEntry(entry: unknown, where: string): ImageEntry {
  if (!isRecord(entry)) throw new ImageTableError(`${where}: must be a mapping`);
  const checks: Record<string, (value: unknown) => boolean> = {
    command: isStrings,
    args: isStrings,
    env: (value) => isRecord(value) && Object.values(value).every((one) => typeof one === "string"),
    user: (value) => typeof value === "string" || typeof value === "number",
    workingDir: (value) => typeof value === "string" && value.startsWith("/"),
    root: (value) => typeof value === "string" && value.startsWith("/"),
    capabilities: isStrings,
    commands: (value) =>
      isRecord(value) &&
      Object.entries(value).every(([path, command]) => path.startsWith("/") && isStrings(command) && (command as string[]).length > 0),
  };
  for (const [field, value] of Object.entries(entry)) {
    const check = checks[field];
    if (!check) throw new ImageTableError(`${where}: unknown field ${field}; known are ${Object.keys(checks).join(", ")}`);
    if (!check(value)) throw new ImageTableError(`${where}: ${field} has the wrong form`);
  }
  const checked = entry as ImageEntry;
  return checked.user === undefined ? checked : { ...checked, user: String(checked.user) };
}

function isStrings(value: unknown): boolean {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
