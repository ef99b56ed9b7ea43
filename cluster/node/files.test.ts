// Files: atomic volumes, volume contents and tokens, logs.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkVolumePath, writeAtomically } from "./atomic-writer.ts";
import { LogIndex, readLog } from "./logs.ts";
import { canRunPods } from "./testing.ts";
import type { NodePod, Volume } from "./types.ts";
import { PodVolumes } from "./volumes.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "fairlead-files-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe("writeAtomically", () => {
  const payload = (files: Record<string, string>, mode = 0o644) =>
    new Map(Object.entries(files).map(([path, text]) => [path, { data: Buffer.from(text), mode }]));
  test("swaps all files at once, keeps what is the same, removes what is gone", () => {
    expect(writeAtomically(directory, payload({ a: "1", "sub/b": "2" }, 0o400))).toBe(true);
    const first = readlinkSync(join(directory, "..data"));
    expect(readFileSync(join(directory, "sub/b"), "utf8")).toBe("2");
    expect(statSync(join(directory, "a")).mode & 0o777).toBe(0o400);
    expect(writeAtomically(directory, payload({ a: "1", "sub/b": "2" }, 0o400))).toBe(false);
    expect(writeAtomically(directory, payload({ a: "3" }, 0o400))).toBe(true);
    expect(readlinkSync(join(directory, "..data"))).not.toBe(first);
    expect(readdirSync(directory).filter((name) => !name.startsWith(".."))).toEqual(["a"]);
    expect(readdirSync(directory)).toHaveLength(3);
  });

  test.each(["/abs", "../up", "a/../../b", "", "..data"])("the path %j is refused", (path) => {
    expect(() => checkVolumePath(path, "v")).toThrow("must be relative");
  });
});

describe("volumes", () => {
  let now = 0;
  let issued = 0;
  let isAway = false;
  const pod = (volumes: Volume[]) =>
    ({ metadata: { name: "p", namespace: "n", uid: "u", labels: { a: "1" } }, spec: { containers: [], volumes } }) as unknown as NodePod;
  const volumes = () =>
    new PodVolumes(directory, {
      sources: {
        configMap: (_, name) => (name === "cm" ? { metadata: {}, data: { k: "v", other: "o" } } : undefined),
        secret: () => undefined,
        services: () => [],
      },
      capacity: { cpu: 1, memory: 1 },
      requestToken: async () => {
        if (isAway) throw new Error("the server is away");
        return { token: `token-${++issued}`, expiresAt: now + 1_000_000 };
      },
      now: () => now,
    });
  const addresses = { podIP: "10.0.0.5", hostIP: "10.0.0.1", nodeName: "n" };
  beforeEach(() => {
    now = 1;
    issued = 0;
    isAway = false;
  });

  test("tokens are renewed after four fifths of their life; an absent server is borne until they end", async () => {
    const subject = volumes();
    const one = pod([
      {
        name: "t",
        projected: {
          sources: [
            { serviceAccountToken: { path: "token" } },
            { configMap: { name: "cm", items: [{ key: "k", path: "ca" }] } },
            { downwardAPI: { items: [{ path: "labels", fieldRef: { fieldPath: "metadata.labels" } }] } },
          ],
        },
      },
    ]);
    const token = async () => {
      await subject.setUp(one, addresses);
      return readFileSync(join(directory, "t", "token"), "utf8");
    };
    expect(await token()).toBe("token-1");
    expect(subject.nextRenewal).toBe(800_001);
    now = 800_000;
    expect(await token()).toBe("token-1");
    now = 800_001;
    isAway = true;
    expect(await token()).toBe("token-1");
    isAway = false;
    expect(await token()).toBe("token-2");
    now += 1_000_000;
    isAway = true;
    await expect(token()).rejects.toThrow('MountVolume.SetUp failed for volume "t" : the server is away');
    expect(readFileSync(join(directory, "t", "labels"), "utf8")).toBe('a="1"');
    expect(readFileSync(join(directory, "t", "ca"), "utf8")).toBe("v");
  });

  test.each<[Volume, string]>([
    [{ name: "v", configMap: { name: "gone" } }, 'configmap "gone" not found'],
    [{ name: "v", secret: { secretName: "gone" } }, 'secret "gone" not found'],
    [{ name: "v", configMap: { name: "cm", items: [{ key: "gone", path: "x" }] } }, "references non-existent config key: gone"],
    [{ name: "v", configMap: { name: "cm", items: [{ key: "k", path: "../x" }] } }, "must be relative"],
    [{ name: "v", hostPath: { path: "/no/such/path", type: "Directory" } }, "/no/such/path does not exist"],
    [{ name: "v", hostPath: { path: "/proc/version", type: "Directory" } }, "is not a Directory"],
    [{ name: "v", nfs: {} } as Volume, "not supported (nfs)"],
  ])("%j fails and says why", async (volume, message) => {
    await expect(volumes().setUp(pod([volume]), addresses)).rejects.toThrow(`MountVolume.SetUp failed for volume "v" : `);
    await expect(volumes().setUp(pod([volume]), addresses)).rejects.toThrow(message);
  });

  test("optional sources may be missing", async () => {
    await volumes().setUp(pod([{ name: "v", configMap: { name: "gone", optional: true } }]), addresses);
    expect(readdirSync(join(directory, "v")).filter((name) => !name.startsWith(".."))).toEqual([]);
  });

  test.skipIf(!canRunPods)("a memory volume is mounted, and released", async () => {
    const subject = volumes();
    await subject.setUp(pod([{ name: "m", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } }]), addresses);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).toContain(`${directory}/m `);
    await subject.tearDown();
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(`${directory}/m `);
    expect(existsSync(directory)).toBe(false);
  });
});

describe("logs", () => {
  const read = async (options: Parameters<typeof readLog>[1], isOver = () => true) => {
    let text = "";
    for await (const piece of readLog(directory, options, { isOver, now: () => 99_000, pollMs: 1 })) text += piece.toString("utf8");
    return text;
  };
  const write = (text: string) => appendFileSync(join(directory, "log"), text);

  test("lines have the time at which they were seen", async () => {
    const index = new LogIndex(directory);
    index.observe(500);
    write("one\ntwo\n");
    index.observe(1_000);
    write("three\n");
    index.observe(2_000);
    write("four");
    expect(await read({ timestamps: true })).toBe(
      "1970-01-01T00:00:01.000000000Z one\n1970-01-01T00:00:01.000000000Z two\n1970-01-01T00:00:02.000000000Z three\n1970-01-01T00:01:39.000000000Z four",
    );
    expect(await read({ since: 1_500 })).toBe("three\nfour");
    expect(await read({ tailLines: 2 })).toBe("three\nfour");
    expect(await read({ tailLines: 0 })).toBe("");
    expect(await read({ limitBytes: 5 })).toBe("one\nt");
  });

  test("a log is cut at its bound and not before; the part before is still read", async () => {
    const index = new LogIndex(directory, { maxBytes: 10 });
    write("12345678\n\n");
    index.observe(1);
    expect(existsSync(join(directory, "log.1"))).toBe(false);
    write("x\n");
    index.observe(2);
    expect(statSync(join(directory, "log")).size).toBe(0);
    write("after\n");
    index.observe(3);
    expect(await read({})).toBe("12345678\n\nx\nafter\n");
    write("another line\n");
    index.observe(4);
    expect(await read({})).toBe("after\nanother line\n");
  });

  test("following sees what is written until the container is over, also across a cut", async () => {
    writeFileSync(join(directory, "log"), "old\n");
    let step = 0;
    const text = await read({ follow: true, tailLines: 0 }, () => {
      step++;
      if (step === 2) write("new\n");
      if (step === 4) writeFileSync(join(directory, "log"), "x\n");
      return step >= 7;
    });
    expect(text).toBe("new\nx\n");
  });
});
