// Captures inside another network namespace: this program as a child of `ip netns exec`. Its standard output: "ready", and when its
// standard input ends one line of JSON. Usage: ip netns exec NAMESPACE bun e2e/capture-process.ts INTERFACE
import { Capture, type Segment } from "./capture.ts";

type Report = { dropped: number; segments: (Omit<Segment, "payload"> & { payload: string })[] };

export type NamespaceCapture = {
  /** Ends the capture and gives what it saw. @throws {Error} when segments were too many to keep. */
  stop: () => Promise<Segment[]>;
};

/** Captures on `interfaceName` of the network namespace `namespace` from the moment it resolves. @throws {Error} with what the child said. */
export async function captureIn(namespace: string, interfaceName: string): Promise<NamespaceCapture> {
  const child = Bun.spawn(["ip", "netns", "exec", namespace, process.execPath, import.meta.path, interfaceName], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  const reader = child.stdout.pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>).getReader();
  const failed = async () => new Error(`capture on ${interfaceName} in ${namespace}: ${(await new Response(child.stderr).text()).trim()}`);
  let said = "";
  while (!said.startsWith("ready\n")) {
    const { value, done } = await reader.read();
    if (done) throw await failed();
    said += value;
  }
  return {
    stop: async () => {
      await child.stdin.end();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        said += value;
      }
      if ((await child.exited) !== 0) throw await failed();
      const { dropped, segments } = JSON.parse(said.slice("ready\n".length)) as Report;
      if (dropped > 0) throw new Error(`capture on ${interfaceName} in ${namespace}: ${dropped} segments more than it can keep`);
      return segments.map((segment) => ({ ...segment, payload: Buffer.from(segment.payload, "base64") }));
    },
  };
}

if (import.meta.main) {
  const capture = new Capture(process.argv[2] ?? "");
  console.log("ready");
  for await (const _ of Bun.stdin.stream());
  const segments = capture.stop().map((segment) => ({ ...segment, payload: Buffer.from(segment.payload).toString("base64") }));
  await Bun.write(Bun.stdout, `${JSON.stringify({ dropped: capture.dropped, segments } satisfies Report)}\n`);
}
