// Checks against a real API server: objects are changed for one test, the checks run, and everything is put back.
import { expect } from "bun:test";
import { parseAllDocuments } from "yaml";
import { type AnyObject, KubeClient, type ResourceRef, Resources } from "#kube";
import { VERSION } from "#version";
import { categoriesOf, type Selection } from "../checks/categories.ts";
import type { CheckContext } from "../checks/context.ts";
import { type Outcome, runChecks } from "../checks/runner.ts";
import { renderDefaultInstall } from "../commands/install.ts";
import { setPodStatus, type World } from "./world.ts";

export const HINTS = "https://linkerd.io/2.11/checks/#";
const DAY_MS = 86_400_000;

export type Options = Partial<CheckContext> & { readonly selection?: Selection };

/** One way for a check to fail. */
export type Row = {
  readonly what: string;
  readonly given?: (bench: CheckBench) => Promise<unknown>;
  readonly options?: Options | ((bench: CheckBench) => Options);
  /** `error` unless given. */
  readonly result?: "warning";
  readonly description: string;
  readonly anchor: string;
  readonly error: string | RegExp;
  /** It ends the run. */
  readonly isFatal?: boolean;
};

/** A clock that is so many days ahead. */
export const inDays = (days: number): Options => ({ now: () => Date.now() + days * DAY_MS });

export class CheckBench {
  readonly world: World;
  readonly #undo: (() => Promise<unknown>)[] = [];

  constructor(world: World) {
    this.world = world;
  }

  /** After each test. */
  async restore(): Promise<void> {
    for (const undo of this.#undo.splice(0).reverse()) await undo();
  }

  /** Changes an object; without `edit` it is deleted. */
  async change(ref: ResourceRef, edit?: (object: AnyObject) => void): Promise<void> {
    const { client } = this.world;
    const before = await client.get(ref);
    const { resourceVersion, uid, managedFields, creationTimestamp, generation, ...metadata } = before.metadata;
    if (!edit) {
      await client.delete(ref, { gracePeriodSeconds: 0 });
      this.#undo.push(() => client.create(ref, { ...before, metadata }));
      return;
    }
    const after = structuredClone(before);
    edit(after);
    await client.replace(ref, after);
    this.#undo.push(async () => {
      const { metadata: now } = await client.get(ref);
      await client.replace(ref, { ...before, metadata: { ...metadata, resourceVersion: now.resourceVersion } });
    });
  }

  async add(ref: ResourceRef, object: AnyObject): Promise<void> {
    await this.world.client.create(ref, object);
    this.#undo.push(() => this.world.client.delete({ ...ref, name: object.metadata.name }, { gracePeriodSeconds: 0 }));
  }

  /** Puts fields into an object's status, and takes them out again. */
  async setStatus(ref: ResourceRef, status: Record<string, unknown>): Promise<void> {
    const at = { ...ref, subresource: "status" };
    await this.world.client.patch(at, { status });
    const none = Object.fromEntries(Object.keys(status).map((field) => [field, field === "replicas" ? status[field] : null]));
    this.#undo.push(() => this.world.client.patch(at, { status: none }));
  }

  async setPod(namespace: string, pod: string, options: Parameters<typeof setPodStatus>[3]): Promise<void> {
    await setPodStatus(this.world, namespace, pod, options);
    this.#undo.push(() => setPodStatus(this.world, namespace, pod));
  }

  /** Edits the text of linkerd-config's values. */
  async values(edit: (text: string) => string): Promise<void> {
    await this.change(inLinkerd(Resources.configMaps, "linkerd-config"), (object) => {
      const data = object["data"] as Record<string, string>;
      data["values"] = edit(data["values"] as string);
    });
  }

  /** Puts other trust anchors into linkerd-config. */
  async anchors(pem: string): Promise<void> {
    await this.values((text) =>
      text.replace(/identityTrustAnchorsPEM: \|-?\n( +.*\n)+/, `identityTrustAnchorsPEM: ${JSON.stringify(pem)}\n`),
    );
  }

  async secret(name: string, data: Record<string, string>): Promise<void> {
    await this.change(inLinkerd(Resources.secrets, name), (object) => {
      object["data"] = Object.fromEntries(Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString("base64")]));
    });
  }

  async mark(ref: ResourceRef, where: "labels" | "annotations", marks: Record<string, string>): Promise<void> {
    await this.change(ref, ({ metadata }) => {
      metadata[where] = { ...metadata[where], ...marks };
    });
  }

  /** The checks themselves: quicker than the command, and with a clock of the test's own. */
  run({ selection = "default", ...context }: Options = {}): Promise<Outcome[]> {
    return runChecks<CheckContext>({
      categories: categoriesOf(selection),
      context: {
        connect: () => this.world.client,
        kubectlVersion: async () => "Client Version: v1.34.1\n",
        namespace: "linkerd",
        cniNamespace: "linkerd-cni",
        dataPlaneNamespace: "",
        cliVersion: VERSION,
        expectedVersion: undefined,
        cniEnabled: false,
        manifests: async () => parseAllDocuments(await renderDefaultInstall("linkerd")).map((document) => document.toJS()),
        now: Date.now,
        ...context,
      },
      hintBase: HINTS,
      deadlineMs: 0,
      now: Date.now,
      sleep: async () => {},
    });
  }

  /** The row's check fails, as the row says, and ends the run or does not. */
  async expectFailure(selection: Selection, row: Row): Promise<void> {
    await row.given?.(this);
    const options = typeof row.options === "function" ? row.options(this) : row.options;
    const outcomes = await this.run({ selection, ...options });
    const found = outcomes.find(({ description }) => description === row.description);
    expect(found).toMatchObject({ result: row.result ?? "error", hint: HINTS + row.anchor });
    if (typeof row.error === "string") expect(found?.error).toBe(row.error);
    else expect(found?.error).toMatch(row.error);
    if (row.isFatal) expect(outcomes.at(-1)).toBe(found as Outcome);
  }

  as(user: string): KubeClient {
    return new KubeClient({ config: { ...this.world.client.config, impersonate: { user, groups: [] } } });
  }
}

export function inLinkerd(type: ResourceRef, name: string): ResourceRef {
  return { ...type, namespace: "linkerd", name };
}

/** Where nobody listens. */
export function unreachableClient(): KubeClient {
  return new KubeClient({ config: { server: "http://127.0.0.1:1", namespace: "default", context: "none", tls: {} } });
}
